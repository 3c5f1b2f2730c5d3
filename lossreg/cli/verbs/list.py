"""List what is installed: losses, or tasks."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from lossreg.cli.options import add_plugin_arguments
from lossreg.cli.output import say, say_json
from lossreg.cli.plugins import registry_of
from lossreg.cli.render.report import table
from lossreg.plugin.requirements import unmet
from lossreg.registry import KINDS, LOSSES

if TYPE_CHECKING:
    import argparse

    from lossreg.plugin.requirements import Unmet
    from lossreg.registry import RegistryEntry

__all__ = ["EXAMPLES", "add_arguments", "run"]

_KINDS = {kind.noun: kind for kind in KINDS}


EXAMPLES = {
    "lossreg list": "every installed loss",
    "lossreg list --plugin my_losses": "with those of a module of your own",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--kind", choices=_KINDS, default=LOSSES.noun, help="what to list; by default, losses"
    )
    add_plugin_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print every loss, or every task, including broken and conflicting ones."""
    entries = registry_of(arguments).of(_KINDS[arguments.kind]).entries()
    if arguments.json:
        say_json([_as_dict(entry) for entry in entries])
        return 0
    rows = [
        (
            entry.name,
            f"{entry.distribution or entry.module} {entry.version or ''}".rstrip(),
            _about(entry),
        )
        for entry in entries
    ]
    width = min(shutil.get_terminal_size().columns, 120)
    say(table([("NAME", "FROM", "SUMMARY"), *rows], width=width))
    return 0


def _about(entry: RegistryEntry) -> str:
    if entry.state == "ok" and entry.definition is not None:
        lacking = "".join(f" (needs {requirement})" for requirement in _missing(entry))
        return entry.definition.summary + " (generated)" * bool(_generated(entry)) + lacking
    return f"{entry.state.upper()}: {entry.reason} ({entry.module})"


def _as_dict(entry: RegistryEntry) -> dict[str, str | bool | list[str] | None]:
    return {
        "name": entry.name,
        "summary": entry.definition.summary if entry.definition else None,
        "distribution": entry.distribution,
        "version": entry.version,
        "module": entry.module,
        "state": entry.state,
        "reason": entry.reason or None,
        "generated": _generated(entry),
        "missing": [requirement.text for requirement in _missing(entry)],
    }


def _missing(entry: RegistryEntry) -> list[Unmet]:
    """What the loss requires that is not installed."""
    return unmet(getattr(entry.definition, "requires", ()))


def _generated(entry: RegistryEntry) -> bool | None:
    """Whether a loss's parameters are inferred; None for a task, or if it does not load."""
    return getattr(entry.definition, "generated", None)
