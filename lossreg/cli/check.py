"""Check configs as a compiler checks source code, without building them."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lossreg.cli.output import complain, is_coloured, say, say_json
from lossreg.cli.plugins import add_plugin_arguments, registry_of
from lossreg.cli.report import diagnostic_text, github_text, summary_text
from lossreg.config import examine
from lossreg.errors import LossregError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from lossreg.config import Examined
    from lossreg.errors import Diagnostic
    from lossreg.registry import Registry

__all__ = ["add_arguments", "run"]

_SUFFIXES = {".yaml", ".yml"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "paths",
        metavar="FILE|FOLDER",
        nargs="+",
        help="a YAML file; a folder, of which every .yaml and .yml with a loss is checked; or - "
        "for standard input",
    )
    parser.add_argument("--key", help="where the loss is in a larger document: model.criterion")
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        help="override one value, as in loss.terms.rebuild.weight=0.3; may be repeated",
    )
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
    found: list[Diagnostic] = []
    checked = skipped = 0
    for path, in_folder in _files(arguments.paths):
        examined = _examine(path, registry, arguments)
        if in_folder and any(map(_says_no_loss, examined.diagnostics)):
            skipped += 1
            continue
        checked += 1
        found.extend(examined.diagnostics)
    if not checked and not skipped:
        complain("error: there is no .yaml or .yml file there")
        return 2
    _print(found, arguments.format, checked, skipped)
    failing = ("error", "warning") if arguments.strict else ("error",)
    return int(any(each.severity in failing for each in found))


def _says_no_loss(diagnostic: Diagnostic) -> bool:
    # With a path, LR109 is about a key that looks like a misspelt loss.
    return diagnostic.code == "LR011" or (diagnostic.code == "LR109" and not diagnostic.path)


def _files(paths: list[str]) -> Iterator[tuple[str, bool]]:
    """Each file's path, and whether it was found in a folder rather than named."""
    for path in paths:
        if path != "-" and Path(path).is_dir():
            for folder, folders, names in os.walk(path):
                folders[:] = sorted(each for each in folders if not each.startswith("."))
                for name in sorted(names):
                    if Path(name).suffix.lower() in _SUFFIXES:
                        yield str(Path(folder, name)), True
        else:
            yield path, False


def _examine(path: str, registry: Registry, arguments: argparse.Namespace) -> Examined:
    return examine(
        _standard_input() if path == "-" else path,
        key=arguments.key,
        registry=registry,
        overrides=arguments.overrides,
        name="<stdin>",
    )


def _standard_input() -> bytes:
    if sys.stdin is None:
        raise LossregError("there is no standard input")
    return sys.stdin.buffer.read()


def _print(found: list[Diagnostic], form: str, checked: int, skipped: int) -> None:
    if form == "json":
        report = {
            "files": checked,
            "skipped": skipped,
            "diagnostics": [asdict(each) for each in found],
        }
        say_json(report)
        return
    if form == "github":
        for each in found:
            say(github_text(each))
        return
    colour = is_coloured(sys.stdout)
    for each in found:
        say(diagnostic_text(each, colour=colour), end="\n\n", coloured=colour)
    files = f"{checked} file{'' if checked == 1 else 's'} checked"
    without = f" ({skipped} without a loss skipped)" if skipped else ""
    say(f"{files}{without}: {summary_text(found)}")
