"""Write a plugin of the losses that a library's module exports."""

from __future__ import annotations

import argparse
import importlib
import keyword
import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from lossreg.cli.distribution import advice, filled, written
from lossreg.cli.output import complain, say
from lossreg.cli.ownership import add_owner_arguments, licence_file, owner_of, owner_values
from lossreg.cli.plugins import make_importable
from lossreg.errors import LossregError, printable
from lossreg.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from torch import nn

    from lossreg.cli.bridging.source import Bridged
    from lossreg.cli.ownership import Owner

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = {
    "lossreg bridge acme_losses": "the folder lossreg-acme-losses, a plugin of what it exports",
    "lossreg bridge acme_losses --name acme": "the same as lossreg-acme, whose losses are acme_...",
}

_FILES: dict[str, str | None] = {
    ".github/workflows/release.yml": "release.yml.txt",
    ".github/workflows/test.yml": "workflow.yml.txt",
    ".gitignore": "gitignore.txt",
    "README.md": "bridge_README.md.txt",
    "constraints-lowest.txt": "constraints-lowest.txt",
    "pyproject.toml": "pyproject.toml.txt",
    "src/{{package}}/py.typed": None,
}
_NONE = (
    "  a class counts as a loss if its name, or its module's, has 'loss' or 'criterion' in it, or "
    "if it is derived from a loss of torch"
)
_PREFIX = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "module",
        metavar="MODULE",
        help="the module that exports the losses, as in monai.losses: it is imported, and its "
        "losses are built and run on small batches",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path(),
        help="where the folder, lossreg-PREFIX, is made; by default, the working directory",
    )
    parser.add_argument(
        "--name",
        metavar="PREFIX",
        type=_prefix,
        help="what the losses' names begin with; by default, the module's first word",
    )
    add_owner_arguments(parser)


def _prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected small letters, digits and single underscores between them"
        )
    return text


def run(arguments: argparse.Namespace) -> int:
    """Import the module, try its losses, and write those that could be described."""
    library = arguments.module
    try:
        make_importable(library, str(Path.cwd()))
        module = importlib.import_module(library)
    except LossregError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a library raises
        complain(f"error: {printable(library)} cannot be imported: {printable(repr(error))}")
        return 1
    prefix = arguments.name or library.partition(".")[0].strip("_").lower()
    losses, refused = _described(module, prefix)
    if not losses:
        complain(f"error: {printable(library)} exports no loss that could be described")
        complain("\n".join(f"  {printable(line)}" for line in refused) or _NONE)
        return 1
    owner = owner_of(arguments)
    files = _distribution(library, prefix, losses, refused, owner)
    folder = arguments.out / f"lossreg-{prefix.replace('_', '-')}"
    if not written(folder, files):
        return 1
    say(advice(folder, files, owner))
    count = "1 loss" if len(losses) == 1 else f"{len(losses)} losses"
    say(f"{count} written, {len(refused)} not{':' * bool(refused)}")
    for line in refused:
        say(f"  {printable(line)}")
    say("correct what is marked: grep -rn '# guessed' src tests")
    return 0


def _described(module: ModuleType, prefix: str) -> tuple[list[Bridged], list[str]]:
    """The losses that were described and ran once; and of the others, why not."""
    import torch  # noqa: F401 - a library may import it only later

    from lossreg.cli.bridging.finding import exported_functions, exported_losses

    losses: list[Bridged] = []
    refused = []
    for name, loss in exported_losses(module).items():
        bridged = _bridged(loss, prefix, {other.name for other in losses})
        if isinstance(bridged, str):
            refused.append(f"{name}: {bridged}")
        else:
            losses.append(bridged)
    functions = exported_functions(module)
    refused += [
        f"{name}: a function; LossDefinition.from_function describes one" for name in functions
    ]
    return losses, refused


def _bridged(loss: type[nn.Module], prefix: str, taken: set[str]) -> Bridged | str:
    from lossreg.cli.bridging.source import Bridged
    from lossreg.cli.bridging.trying import guessed_types, tried
    from lossreg.plugin import LossDefinition
    from lossreg.plugin.from_module.naming import loss_name

    own = loss_name(loss.__name__)
    name = f"{prefix}_{own}"
    owners = Registry.installed().claimants(name)
    if name in taken or owners:
        owner = " and ".join(owners) or "this bridge"
        return f"{owner} already has a loss '{name}'"
    types = guessed_types(loss)
    try:
        definition = LossDefinition.from_module(loss, name=name, types=types)
    except (TypeError, ValueError) as error:
        return str(error)
    trial = tried(definition)
    return (
        trial
        if isinstance(trial, str)
        else Bridged(name, _file(own), loss, definition, trial, tuple(types))
    )


def _distribution(
    library: str, prefix: str, losses: Iterable[Bridged], refused: list[str], owner: Owner
) -> dict[str, str]:
    """The files of the bridge: from each path to its text."""
    from lossreg.cli.bridging.source import plugin_source, test_source

    package, own = f"lossreg_{prefix}", library.partition(".")[0]
    required = _requirement(own)
    rows = [f"| `{loss.name}` | `{library}.{loss.module.__name__}` |" for loss in losses]
    distribution = f"lossreg-{prefix.replace('_', '-')}"
    values = {
        **owner_values(owner, distribution),
        "distribution": distribution,
        "package": package,
        "version": metadata.version("lossreg"),
        "subject": f"Losses of {library}",
        "library": library,
        "library_version": required or own,
        "dependencies": f', "{required}"' if required else "",
        "entry_points": "\n".join(f'{loss.name} = "{package}.{loss.file}"' for loss in losses),
        "untyped": f'\n\n[[tool.mypy.overrides]]\nmodule = ["{own}", "{own}.*"]\n'
        'ignore_missing_imports = true\nfollow_imports = "skip"',
        "losses": "\n".join(rows),
        "refused": "\n".join(f"- {line}" for line in refused) or "Nothing: every loss was.",
    }
    files = filled({**_FILES, **licence_file(owner)}, values)
    files[f"src/{package}/__init__.py"] = f'"""Losses of {library}, as a plugin of lossreg."""\n'
    for loss in losses:
        files[f"src/{package}/{loss.file}.py"] = plugin_source(loss, library)
        files[f"tests/test_{loss.name}.py"] = test_source(loss)
    return files


def _file(name: str) -> str:
    # A module's name must be an identifier, and not a keyword: neither 3d nor lambda is.
    is_word = name.isidentifier() and not keyword.iskeyword(name)
    return name if is_word else f"loss_{name}"


def _requirement(own: str) -> str:
    """The distribution of a library, at least as it is installed; empty if there is none."""
    owners = metadata.packages_distributions().get(own, [])
    if not owners or owners[0] == "torch":  # every bridge requires torch
        return ""
    release = metadata.version(owners[0]).partition("+")[0]  # `>=` takes no local version
    return f"{owners[0]}>={release}"
