"""Check configs as a compiler checks source code, without building them."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lossreg.cli.output import complain, is_coloured, say, say_json
from lossreg.cli.plugins import add_plugin_arguments, registry_of
from lossreg.cli.render.report import diagnostic_text, github_text, summary_text
from lossreg.config import examine
from lossreg.config.read.documents import MAX_BYTES
from lossreg.errors import Diagnostic, LossregError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from lossreg.config import Examined
    from lossreg.registry import Registry

__all__ = ["add_arguments", "run"]

_SUFFIXES = {".yaml", ".yml"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "paths",
        metavar="FILE|FOLDER",
        nargs="+",
        help="a YAML file; a folder, of which every .yaml and .yml with an objective is checked; "
        "or - for standard input",
    )
    parser.add_argument(
        "--key",
        help="check only the objective that stands there: model.criterion; without it, every "
        "objective of a document is",
    )
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
    left_out: list[str] = []
    for path, in_folder in _files(arguments.paths, found, left_out):
        diagnostics = _examine(path, registry, arguments).diagnostics
        if in_folder and any(map(_says_no_objective, diagnostics)):
            # What looks like a part of an objective is reported all the same.
            diagnostics = tuple(each for each in diagnostics if each.code == "LR905")
            if not diagnostics:
                skipped += 1
                continue
        checked += 1
        found.extend(diagnostics)
    if not checked and not skipped and not found:
        complain("error: there is no .yaml or .yml file there")
        return 2
    _print(found, arguments, checked, skipped, left_out)
    failing = ("error", "warning") if arguments.strict else ("error",)
    return int(any(each.severity in failing for each in found))


def _says_no_objective(diagnostic: Diagnostic) -> bool:
    # With a path, LR109 is about a key that looks like a misspelt one.
    return diagnostic.code == "LR011" or (diagnostic.code == "LR109" and not diagnostic.path)


def _files(
    paths: list[str], found: list[Diagnostic], left_out: list[str]
) -> Iterator[tuple[str, bool]]:
    """Each file's path, and whether it was found in a folder rather than named.

    Args:
        paths: The files and folders.
        found: Takes the folders that cannot be read.
        left_out: Takes the links to folders, which are not followed.
    """

    def unread(error: OSError) -> None:
        message = f"the folder cannot be read: {error.strerror}"
        found.append(Diagnostic(code="LR001", message=message, file=str(error.filename)))

    for path in paths:
        if path != "-" and Path(path).is_dir():
            for folder, folders, names in os.walk(path, onerror=unread):
                folders[:] = sorted(each for each in folders if not each.startswith("."))
                inner = (Path(folder, each) for each in folders)
                left_out.extend(str(each) for each in inner if each.is_symlink())
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
        every=True,
    )


def _standard_input() -> bytes:
    if sys.stdin is None:
        raise LossregError("there is no standard input")
    # One byte more than is read tells that there is too much; a stream may have no end.
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def _print(
    found: list[Diagnostic],
    arguments: argparse.Namespace,
    checked: int,
    skipped: int,
    left_out: list[str],
) -> None:
    form = arguments.format
    if form == "json":
        report = {
            "files": checked,
            "skipped": skipped,
            "not_followed": left_out,
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
    wanted = "an objective" if arguments.key is None else f"'{arguments.key}'"
    notes = [f"{skipped} without {wanted} skipped"] * bool(skipped)
    notes += [f"{_counted(len(left_out), 'linked folder')} not followed"] * bool(left_out)
    aside = f" ({', '.join(notes)})" if notes else ""
    # Of files that nobody has looked at, there is nothing to say.
    result = f": {summary_text(found)}" if checked or found else ""
    say(f"{_counted(checked, 'file')} checked{aside}{result}")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
