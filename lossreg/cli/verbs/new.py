"""Write the distribution of a new loss plugin."""

from __future__ import annotations

import argparse
import re
import shlex
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from lossreg.cli.output import complain, say
from lossreg.config.read.scalars import resolve
from lossreg.errors import printable
from lossreg.registry import Registry

__all__ = ["EXAMPLES", "add_arguments", "distribution", "run"]

# Each file that is written, and its template. Templates end in .txt because they are not valid
# Python or TOML before they are filled in.
_FILES: dict[str, str | None] = {
    ".github/workflows/test.yml": "workflow.yml.txt",
    ".gitignore": "gitignore.txt",
    "README.md": "README.md.txt",
    "pyproject.toml": "pyproject.toml.txt",
    "src/{{package}}/__init__.py": "package.py.txt",
    "src/{{package}}/module.py": "module.py.txt",
    "src/{{package}}/plugin.py": "plugin.py.txt",
    "src/{{package}}/py.typed": None,
    "tests/test_{{name}}.py": "test_loss.py.txt",
}
_PLACE = re.compile(r"\{\{(\w+)\}\}")
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST = 40
# `LossConfig` and `lossreg_losses`, the names made from these words, are lossreg's own.
_TAKEN = ("loss", "losses")
# Bools of YAML 1.1 that few parsers know.
_BOOLS = ("y", "n")


EXAMPLES = {
    "lossreg new log_cosh": "the folder lossreg-log-cosh, a plugin whose tests pass",
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
    files = distribution(name)
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
    say(_advice(folder, files))
    return 0


def distribution(name: str) -> dict[str, str]:
    """The files of a new plugin distribution: from each path to its text.

    Args:
        name: The loss's name.
    """
    values = {
        "name": name,
        "distribution": _distribution(name),
        "package": f"lossreg_{name}",
        "title": "".join(word.capitalize() for word in name.split("_")),
        "version": version("lossreg"),
    }
    templates = resources.files("lossreg.cli") / "templates"

    def filled(text: str) -> str:
        return _PLACE.sub(lambda match: values[match[1]], text)

    return {
        filled(path): filled((templates / template).read_text(encoding="utf-8")) if template else ""
        for path, template in _FILES.items()
    }


def _distribution(name: str) -> str:
    return f"lossreg-{name.replace('_', '-')}"


def _advice(folder: Path, files: dict[str, str]) -> str:
    lines = [f"wrote {printable(folder.as_posix())}:"]
    lines += [f"  {path}" for path in files]
    lines += [
        "next:",
        f"  cd {printable(shlex.quote(str(folder)))}",
        "  python -m pip install --editable '.[test]'",
        "  python -m pytest",
    ]
    return "\n".join(lines)
