"""Write the distribution of a new loss plugin."""

from __future__ import annotations

import argparse
import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from lossreg.cli.distribution import advice, filled, written
from lossreg.cli.output import complain, say
from lossreg.cli.ownership import (
    NOBODY,
    add_owner_arguments,
    licence_file,
    owner_of,
    owner_values,
)
from lossreg.config.read.scalars import resolve
from lossreg.registry import Registry

if TYPE_CHECKING:
    from lossreg.cli.ownership import Owner

__all__ = ["EXAMPLES", "add_arguments", "distribution", "run"]

# Each file that is written, and its template.
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
    add_owner_arguments(parser)


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
    owner = owner_of(arguments)
    files = distribution(name, owner)
    folder = arguments.into / _distribution(name)
    if not written(folder, files):
        return 1
    say(advice(folder, files, owner))
    return 0


def distribution(name: str, owner: Owner = NOBODY) -> dict[str, str]:
    """The files of a new plugin distribution: from each path to its text.

    Args:
        name: The loss's name.
        owner: Whose it is.
    """
    package = f"lossreg_{name}"
    values = {
        "name": name,
        "distribution": _distribution(name),
        "package": package,
        "title": "".join(word.capitalize() for word in name.split("_")),
        "version": version("lossreg"),
        **owner_values(owner, _distribution(name)),
        "subject": f"The loss {name}",
        "dependencies": "",
        "entry_points": f'{name} = "{package}.plugin"',
        "untyped": "",
    }
    return filled({**_FILES, **licence_file(owner)}, values)


def _distribution(name: str) -> str:
    return f"lossreg-{name.replace('_', '-')}"
