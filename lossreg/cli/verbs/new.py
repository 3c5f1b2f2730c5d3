"""Write the distribution of a new loss plugin."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import shlex
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from lossreg.cli.output import complain, say
from lossreg.config.read.scalars import resolve
from lossreg.errors import printable
from lossreg.registry import Registry

__all__ = ["EXAMPLES", "Owner", "add_arguments", "distribution", "run"]

# Each file that is written, and its template. Templates end in .txt because they are not valid
# Python or TOML before they are filled in.
_FILES: dict[str, str | None] = {
    ".github/workflows/release.yml": "release.yml.txt",
    ".github/workflows/test.yml": "workflow.yml.txt",
    ".gitignore": "gitignore.txt",
    "CHANGELOG.md": "CHANGELOG.md.txt",
    "README.md": "README.md.txt",
    "constraints-lowest.txt": "constraints-lowest.txt",
    "pyproject.toml": "pyproject.toml.txt",
    "src/{{package}}/__init__.py": "package.py.txt",
    "src/{{package}}/module.py": "module.py.txt",
    "src/{{package}}/plugin.py": "plugin.py.txt",
    "src/{{package}}/py.typed": None,
    "tests/test_{{name}}.py": "test_loss.py.txt",
}
# Licences whose text is written as well.
_LICENCES = ("BSD-3-Clause", "MIT")
_SPDX = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*")
_AUTHOR = re.compile(r"(?P<name>[^<>]+?)(?: <(?P<email>[^<>@ ]+@[^<>@ ]+)>)?")
_PLACE = re.compile(r"\{\{(\w+)\}\}")
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST = 40
# `LossConfig` and `lossreg_losses`, the names made from these words, are lossreg's own.
_TAKEN = ("loss", "losses")
# Bools of YAML 1.1 that few parsers know.
_BOOLS = ("y", "n")


EXAMPLES = {
    "lossreg new log_cosh": "the folder lossreg-log-cosh, a plugin whose tests pass",
    "lossreg new tweedie --license MIT --author 'Ada Lovelace <ada@example.org>'": "the same, "
    "ready to be published",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "name",
        metavar="NAME",
        type=_name,
        help="the loss's name: small letters, digits and single underscores between them",
    )
    parser.add_argument(
        "--into",
        metavar="FOLDER",
        type=Path,
        default=Path(),
        help="where its folder, lossreg-NAME, is made; by default, the working directory",
    )

    parser.add_argument(
        "--license",
        metavar="SPDX",
        type=_licence,
        help="its licence, such as MIT (https://spdx.org/licenses); the texts of "
        f"{' and '.join(_LICENCES)} are written. Until one is chosen, PyPI refuses an upload",
    )
    parser.add_argument(
        "--author",
        metavar="NAME",
        type=_author,
        action="append",
        default=[],
        help="who wrote it, 'Ada Lovelace <ada@example.org>' or a name; may be repeated",
    )
    parser.add_argument("--url", metavar="URL", type=_url, help="its repository's address")


class Owner(NamedTuple):
    """Whose a distribution is.

    Attributes:
        licence: The SPDX expression of its licence, or None until one is chosen.
        authors: Each author's name and mail address, or "" for no address.
        url: The repository's address, or None.
    """

    licence: str | None = None
    authors: tuple[tuple[str, str], ...] = ()
    url: str | None = None


_NOBODY = Owner()


def _licence(text: str) -> str:
    if not _SPDX.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected a name of https://spdx.org/licenses, as in MIT or Apache-2.0"
        )
    return text


def _author(text: str) -> tuple[str, str]:
    parts = _AUTHOR.fullmatch(text)
    if parts is None or not text.isprintable() or not parts["name"].strip():
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected a name, and a mail address in angle brackets if there is one, as "
            "in 'Ada Lovelace <ada@example.org>'"
        )
    return parts["name"].strip(), parts["email"] or ""


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s\"\\]+", text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected an address, as in https://github.com/ada/lossreg-tweedie"
        )
    return text.rstrip("/")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text) or len(text) > _LONGEST:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected small letters, digits and single underscores between them, a "
            f"letter first, {_LONGEST} characters at most, as in smooth_l1"
        )
    if text in _TAKEN:
        raise argparse.ArgumentTypeError(f"{text!r}: lossreg uses that word itself")
    if resolve(text) != (text, "") or text in _BOOLS:
        raise argparse.ArgumentTypeError(
            f"{text!r}: YAML reads that word as true, false or nothing, so `type: {text}` would "
            "not name a loss; choose another name"
        )
    return text


def run(arguments: argparse.Namespace) -> int:
    """Write the files, unless the name or the folder is taken, and print the next steps."""
    name = arguments.name
    owners = Registry.installed().claimants(name)
    if owners:
        complain(
            f"error: {' and '.join(owners)} already has a loss '{name}', and a config cannot pick "
            "between two losses by the name that they share; choose another name"
        )
        return 1
    owner = Owner(arguments.license, tuple(arguments.author), arguments.url)
    files = distribution(name, owner)
    folder = arguments.into / _distribution(name)
    try:
        arguments.into.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        for path, text in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
    except FileExistsError as error:
        place = printable(str(error.filename))
        complain(f"error: {place} already exists; nothing is overwritten")
        return 1
    except OSError as error:
        complain(f"error: {printable(str(error.filename))}: {error.strerror}")
        return 1
    say(_advice(folder, files, owner))
    return 0


def distribution(name: str, owner: Owner = _NOBODY) -> dict[str, str]:
    """The files of a new plugin distribution: from each path to its text.

    Args:
        name: The loss's name.
        owner: Whose it is.
    """
    written = owner.licence in _LICENCES
    values = {
        "name": name,
        "distribution": _distribution(name),
        "package": f"lossreg_{name}",
        "title": "".join(word.capitalize() for word in name.split("_")),
        "version": version("lossreg"),
        **_metadata(owner, has_text=written),
        "year": str(dt.datetime.now(tz=dt.timezone.utc).year),
        "holder": ", ".join(author for author, _ in owner.authors)
        or f"the authors of {_distribution(name)}",
    }
    files = {**_FILES, **({"LICENSE": f"{owner.licence}.txt"} if written else {})}
    templates = resources.files("lossreg.cli") / "templates"

    def filled(text: str) -> str:
        return _PLACE.sub(lambda match: values[match[1]], text)

    return {
        filled(path): filled((templates / template).read_text(encoding="utf-8")) if template else ""
        for path, template in sorted(files.items())
    }


def _metadata(owner: Owner, *, has_text: bool) -> dict[str, str]:
    """What is said in pyproject.toml and the README of whose it is."""
    text = 'license-files = ["LICENSE"]\n' * has_text
    # A string of JSON is one of TOML as well.
    authors = ", ".join(
        f"{{name = {json.dumps(name, ensure_ascii=False)}"
        + (f", email = {json.dumps(email)}" if email else "")
        + "}"
        for name, email in owner.authors
    )
    url = owner.url
    pages = "" if url is None else f'Homepage = "{url}"\nIssues = "{url}/issues"\n'
    if owner.licence is None:
        words = (
            "Not chosen yet: put a licence's text into `LICENSE`, its name as `license` into "
            "`pyproject.toml`,\nand remove the classifier `Private :: Do Not Upload` there."
        )
    elif has_text:
        words = f"{owner.licence}, as in [LICENSE](LICENSE)."
    else:
        words = f"{owner.licence}: put its text into `LICENSE`."
    return {
        "license": "" if owner.licence is None else f'license = "{owner.licence}"\n{text}',
        "private": '  "Private :: Do Not Upload", # until a licence is chosen: PyPI refuses it\n'
        * (owner.licence is None),
        "authors": f"authors = [{authors}]\n" * bool(authors),
        "urls": f"[project.urls]\n{pages}\n" * bool(pages),
        "licence_in_words": words,
    }


def _distribution(name: str) -> str:
    return f"lossreg-{name.replace('_', '-')}"


def _advice(folder: Path, files: dict[str, str], owner: Owner) -> str:
    lines = [f"wrote {printable(folder.as_posix())}:"]
    lines += [f"  {path}" for path in files]
    lines += [
        "next:",
        f"  cd {printable(shlex.quote(str(folder)))}",
        "  python -m pip install --editable . pytest",
        "  python -m pytest",
    ]
    if owner.licence is None:
        lines += ["before it is published, choose a licence: its README.md says how"]
    return "\n".join(lines)
