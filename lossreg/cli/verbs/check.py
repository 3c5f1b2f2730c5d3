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
from lossreg.cli.render.report import diagnostic_text, summary_text
from lossreg.cli.standard_input import MARK, NAME, source
from lossreg.config import examine
from lossreg.config.foreign import may_hold_objective, of_objectives
from lossreg.config.read.documents import MAX_BYTES
from lossreg.errors import Diagnostic

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from lossreg.config import Examined
    from lossreg.registry import Registry

__all__ = ["EXAMPLES", "add_arguments", "run"]

_SUFFIXES = {".yaml", ".yml"}


EXAMPLES = {
    "lossreg check configs": "every objective in the files of a folder",
    "lossreg check loss.yaml --set terms.fit.weight=0.3": "with another value",
    "lossreg check conf --interpolations": "a folder of Hydra's files",
}


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
    parser.add_argument(
        "--skip-without-objective",
        action="store_true",
        help="skip and count files without an objective, also those that are named and those that "
        "are not YAML as lossreg reads it; for hooks",
    )
    parser.add_argument(
        "--interpolations",
        action="store_true",
        help="pass over values with ${...}, and over ???, which Hydra or OmegaConf fills in",
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


class _Outcome:
    """What is known of all files.

    Attributes:
        reported: The diagnostics.
        not_followed: The links to folders.
        unread: What keeps each file that was skipped from being read.
        checked: How many files were checked.
        skipped: How many have no objective.
        passed_over: How many interpolations were passed over.
    """

    def __init__(self) -> None:
        self.reported: list[Diagnostic] = []
        self.not_followed: list[str] = []
        self.unread: list[Diagnostic] = []
        self.checked = self.skipped = self.passed_over = 0


def run(arguments: argparse.Namespace) -> int:
    """Print what is wrong with each file."""
    outcome = _checked(arguments, registry_of(arguments))
    if not (outcome.checked or outcome.skipped or outcome.unread or outcome.reported):
        complain("error: found no .yaml or .yml file")
        return 2
    _print(outcome, arguments)
    failing = ("error", "warning") if arguments.strict else ("error",)
    return int(any(diagnostic.severity in failing for diagnostic in outcome.reported))


def _checked(arguments: argparse.Namespace, registry: Registry) -> _Outcome:
    outcome = _Outcome()
    leniently = arguments.skip_without_objective
    for path, in_folder in _files(arguments.paths, outcome.reported, outcome.not_followed):
        config = source(path)
        examined = examine(
            config,
            key=arguments.key,
            registry=registry,
            overrides=arguments.overrides,
            name=NAME,
            every=True,
            interpolations=arguments.interpolations,
        )
        diagnostics: Sequence[Diagnostic] = examined.diagnostics
        if leniently and not examined.is_read and _is_foreign(config, examined):
            outcome.unread.append(diagnostics[-1])
            continue
        if (in_folder or leniently) and diagnostics:
            diagnostics = of_objectives(examined, leniently=leniently)
            if not diagnostics:
                outcome.skipped += 1
                continue
        outcome.checked += 1
        outcome.passed_over += examined.passed_over
        outcome.reported.extend(diagnostics)
    return outcome


def _is_foreign(config: str | bytes, examined: Examined) -> bool:
    """Whether a file that could not be read as a document has no key of an objective."""
    if any(diagnostic.code in ("LR001", "LR011") for diagnostic in examined.diagnostics):
        return False
    if isinstance(config, bytes):
        return not may_hold_objective(config)
    if not Path(config).is_file():
        return False  # a pipe cannot be read twice
    with Path(config).open("rb") as file:
        return not may_hold_objective(file.read(MAX_BYTES + 1))


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
        if path != MARK and Path(path).is_dir():
            for folder, folders, names in os.walk(path, onerror=unread):
                folders[:] = sorted(inner for inner in folders if not inner.startswith("."))
                paths_inside = (Path(folder, inner) for inner in folders)
                not_followed.extend(str(inner) for inner in paths_inside if inner.is_symlink())
                for name in sorted(names):
                    if Path(name).suffix.lower() in _SUFFIXES:
                        yield str(Path(folder, name)), True
        else:
            yield path, False


def _print(outcome: _Outcome, arguments: argparse.Namespace) -> None:
    form = arguments.format
    if form == "json":
        report = {
            "files": outcome.checked,
            "skipped": outcome.skipped,
            "unread": [asdict(diagnostic) for diagnostic in outcome.unread],
            "not_followed": outcome.not_followed,
            "passed_over": outcome.passed_over,
            "diagnostics": [asdict(diagnostic) for diagnostic in outcome.reported],
        }
        say_json(report)
        return
    colour = is_coloured(sys.stdout)
    if form == "github":
        _annotate(outcome.reported)
    else:
        for diagnostic in outcome.reported:
            say(diagnostic_text(diagnostic, colour=colour), end="\n\n", coloured=colour)
    say(_summary(outcome, arguments.key))


def _annotate(reported: list[Diagnostic]) -> None:
    from lossreg.cli.render.annotations import github_text, repository_root

    root = repository_root()
    for diagnostic in reported:
        say(github_text(diagnostic, root))


def _summary(outcome: _Outcome, key: str | None) -> str:
    """How many files were checked, what was left out of that, and how many faults there are."""
    wanted = "an objective" if key is None else f"'{key}'"
    codes = ", ".join(sorted({diagnostic.code for diagnostic in outcome.unread}))
    notes = [
        f"{outcome.skipped} without {wanted} skipped" * bool(outcome.skipped),
        f"{len(outcome.unread)} unreadable without one skipped ({codes})" * bool(outcome.unread),
        f"{_counted(len(outcome.not_followed), 'linked folder')} not followed"
        * bool(outcome.not_followed),
        f"{_counted(outcome.passed_over, 'interpolation')} passed over" * bool(outcome.passed_over),
    ]
    aside = ", ".join(filter(None, notes))
    # "no problems" would be wrong where no file was checked.
    result = f": {summary_text(outcome.reported)}" if outcome.checked or outcome.reported else ""
    count = _counted(outcome.checked, "file")
    return f"{count} checked{f' ({aside})' if aside else ''}{result}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
