"""Train a task with the objective of an experiment file."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossreg.cli.interrupts import Interruptible
from lossreg.cli.options import add_override_argument, add_plugin_arguments
from lossreg.cli.output import complain, is_terminal, say, say_json
from lossreg.cli.plugins import registry_of
from lossreg.cli.render.report import error_text
from lossreg.errors import InputError, LossregError, NonFiniteError, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from lossreg.experiments.runner import Result

__all__ = ["EXAMPLES", "add_arguments", "run"]


EXAMPLES = {
    "lossreg run configs/digits.yaml": "train, and print a table",
    "lossreg run configs/digits.yaml --set trainer.max_epochs=1 --json": "one epoch, as JSON",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="an experiment: a YAML file with `task:`")
    add_override_argument(parser)
    add_plugin_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Check the file, train, and print a table of results."""
    from lossreg.config import load_kept_experiment

    experiment, document = load_kept_experiment(
        arguments.file, registry=registry_of(arguments), overrides=arguments.overrides
    )
    from lossreg import experiments
    from lossreg.experiments.folder import kept_config

    file = Path(arguments.file)
    options = [f"--plugin {module}" for module in arguments.plugins]
    options += [f"--set {override}" for override in arguments.overrides]
    try:
        result = experiments.run(
            experiment,
            name=printable(file.stem),
            document=kept_config(document, file.name, options),
            progress=is_terminal(sys.stdout) and is_terminal(sys.stderr),
            interruptible=Interruptible(),
        )
    except (LossregError, KeyboardInterrupt) as error:
        rank = experiments.rank()
        if rank == 0:
            raise
        # Rank 0 reports what all ranks share; an error in another rank's tensors only shows there.
        if isinstance(error, InputError | NonFiniteError):
            complain(f"rank {rank}: {error_text(error)}")
        return 1 if isinstance(error, LossregError) else 130
    if result is not None:
        if arguments.json:
            say_json(_as_dict(result))
        else:
            say(_text(result))
    return 0


def _as_dict(result: Result) -> dict[str, Any]:
    first, last = result.rows[0], result.rows[-1]
    return {
        "folder": str(result.folder),
        "steps": last.step,
        "epochs": last.epoch,
        "seconds": round(result.seconds, 3),
        "terms": {
            name: {
                "first": _or_none(first.terms[name]),
                "last": _or_none(last.terms[name]),
                "weighted": _or_none(last.weighted[name]),
            }
            for name in last.terms
        },
        "total": {"first": _or_none(first.total), "last": _or_none(last.total)},
        "held_out": {
            measure.name: {
                "value": _or_none(result.held_out.get(measure.name, math.nan)),
                "baseline": measure.baseline,
                "baseline_name": measure.baseline_name,
            }
            for measure in result.measures
        },
    }


def _text(result: Result) -> str:
    first, last = result.rows[0], result.rows[-1]
    terms = [["term", "first", "last", "weighted"]]
    for name in last.terms:
        values = (first.terms[name], last.terms[name], last.weighted[name])
        terms.append([name, *(f"{value:.4g}" for value in values)])
    terms.append(["total", f"{first.total:.4g}", f"{last.total:.4g}", f"{last.total:.4g}"])
    measures = [["held out", "this run", "baseline"]]
    for measure in result.measures:
        value = result.held_out.get(measure.name, math.nan)
        measures.append([measure.label, f"{value:.4g}", f"{measure.baseline:.4g}"])
    lines = _columns(measures)
    for index, measure in enumerate(result.measures, start=1):
        lines[index] += f"  {measure.baseline_name}"
    steps = f"{last.step} step{'s' * (last.step != 1)}"
    epochs = f"{last.epoch} epoch{'s' * (last.epoch != 1)}"
    end = f"{steps}, {epochs}, {result.seconds:.1f} s: {result.folder}"
    return "\n".join([*_columns(terms), "", *lines, "", end])


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Names flush left, numbers flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]


def _or_none(value: float) -> float | None:
    """JSON has no nan."""
    return value if math.isfinite(value) else None
