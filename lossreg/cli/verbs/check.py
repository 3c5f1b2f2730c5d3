"""Check configs as a compiler checks source code, without building them."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lossreg.cli.options import add_override_argument, add_plugin_arguments
from lossreg.cli.output import complain, is_coloured, say, say_json
from lossreg.cli.plugins import registry_of
from lossreg.cli.render.report import diagnostic_text, github_text, summary_text
from lossreg.cli.sources import STANDARD_INPUT, document
from lossreg.config import examine
from lossreg.errors import Diagnostic

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from lossreg.config import Examined
    from lossreg.registry import Registry

__all__ = ["add_arguments", "run"]

_SUFFIXES = {".yaml", ".yml"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "paths",
        metavar="FILE|FOLDER",
        nargs="+",
        help="a YAML file; a folder, in which every .yaml and .yml with an objective is checked; "
        "or - for standard input",
    )
    parser.add_argument(
        "--key",
        help="check only the objective at this path, as in model.criterion; by default, every "
        "objective of a document is checked",
    )
    add_override_argument(parser)
    add_plugin_arguments(parser)
    parser.add_argument("--strict", action="store_true", help="warnings fail as well")
    output = parser.add_mutually_exclusive_group()
    output.add_argument(
        "--format", choices=("human", "json", "github"), default="human", help="the output's form"
    )
    output.add_argument(
        "--json", dest="format", action="store_const", const="json", help="as --format json"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what is wrong with each file."""
    registry = registry_of(arguments)
    reported: list[Diagnostic] = []
    checked = skipped = 0
    not_followed: list[str] = []
    for path, in_folder in _files(arguments.paths, reported, not_followed):
        diagnostics = _examine(path, registry, arguments).diagnostics
        if in_folder and any(map(_says_no_objective, diagnostics)):
            # A part of an objective (LR905) is reported even so.
            diagnostics = tuple(fault for fault in diagnostics if fault.code == "LR905")
            if not diagnostics:
                skipped += 1
                continue
        checked += 1
        reported.extend(diagnostics)
    if not checked and not skipped and not reported:
        complain("error: found no .yaml or .yml file")
        return 2
    _print(reported, arguments, checked, skipped, not_followed)
    failing = ("error", "warning") if arguments.strict else ("error",)
    return int(any(diagnostic.severity in failing for diagnostic in reported))


def _says_no_objective(diagnostic: Diagnostic) -> bool:
    # An LR109 with a path is about a key that looks misspelt.
    return diagnostic.code == "LR011" or (diagnostic.code == "LR109" and not diagnostic.path)


def _files(
    paths: list[str], reported: list[Diagnostic], not_followed: list[str]
) -> Iterator[tuple[str, bool]]:
    """Each file's path, and whether it was found in a folder rather than named.

    Args:
        paths: The files and folders.
        reported: Collects a diagnostic for each folder that cannot be read.
        not_followed: Collects the links to folders.
    """

    def unread(error: OSError) -> None:
        message = f"the folder cannot be read: {error.strerror}"
        reported.append(Diagnostic(code="LR001", message=message, file=str(error.filename)))

    for path in paths:
        if path != STANDARD_INPUT and Path(path).is_dir():
            for folder, folders, names in os.walk(path, onerror=unread):
                folders[:] = sorted(inner for inner in folders if not inner.startswith("."))
                paths_inside = (Path(folder, inner) for inner in folders)
                not_followed.extend(str(inner) for inner in paths_inside if inner.is_symlink())
                for name in sorted(names):
                    if Path(name).suffix.lower() in _SUFFIXES:
                        yield str(Path(folder, name)), True
        else:
            yield path, False


def _examine(path: str, registry: Registry, arguments: argparse.Namespace) -> Examined:
    return examine(
        document(path),
        key=arguments.key,
        registry=registry,
        overrides=arguments.overrides,
        name="<stdin>",
        every=True,
    )


def _print(
    reported: list[Diagnostic],
    arguments: argparse.Namespace,
    checked: int,
    skipped: int,
    not_followed: list[str],
) -> None:
    form = arguments.format
    if form == "json":
        report = {
            "files": checked,
            "skipped": skipped,
            "not_followed": not_followed,
            "diagnostics": [asdict(diagnostic) for diagnostic in reported],
        }
        say_json(report)
        return
    if form == "github":
        for diagnostic in reported:
            say(github_text(diagnostic))
        return
    colour = is_coloured(sys.stdout)
    for diagnostic in reported:
        say(diagnostic_text(diagnostic, colour=colour), end="\n\n", coloured=colour)
    wanted = "an objective" if arguments.key is None else f"'{arguments.key}'"
    notes = [f"{skipped} without {wanted} skipped"] * bool(skipped)
    notes += [f"{_counted(len(not_followed), 'linked folder')} not followed"] * bool(not_followed)
    aside = f" ({', '.join(notes)})" if notes else ""
    # "no problems" would be wrong where no file was checked.
    result = f": {summary_text(reported)}" if checked or reported else ""
    say(f"{_counted(checked, 'file')} checked{aside}{result}")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
