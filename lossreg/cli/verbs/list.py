"""List the installed losses."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from lossreg.cli.output import say, say_json
from lossreg.cli.plugins import add_plugin_arguments, registry_of
from lossreg.cli.render.report import table

if TYPE_CHECKING:
    import argparse

    from lossreg.registry import RegistryEntry

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    add_plugin_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print every loss, the broken and the conflicting ones included."""
    entries = registry_of(arguments).entries()
    if arguments.json:
        say_json([_as_dict(each) for each in entries])
        return 0
    rows = [
        (
            each.name,
            f"{each.distribution or each.module} {each.version or ''}".rstrip(),
            _about(each),
        )
        for each in entries
    ]
    width = min(shutil.get_terminal_size().columns, 120)
    say(table([("NAME", "FROM", "SUMMARY"), *rows], width=width))
    return 0


def _about(entry: RegistryEntry) -> str:
    if entry.state == "ok" and entry.definition is not None:
        return entry.definition.summary + " (generated)" * entry.definition.generated
    return f"{entry.state.upper()}: {entry.reason} ({entry.module})"


def _as_dict(entry: RegistryEntry) -> dict[str, str | bool | None]:
    return {
        "name": entry.name,
        "summary": entry.definition.summary if entry.definition else None,
        "distribution": entry.distribution,
        "version": entry.version,
        "module": entry.module,
        "state": entry.state,
        "reason": entry.reason or None,
        "generated": entry.definition.generated if entry.definition else None,
    }
