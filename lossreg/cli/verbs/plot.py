"""Draw the weights of an objective over time."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossreg.cli.options import add_override_argument, add_plugin_arguments
from lossreg.cli.output import complain, say, say_json
from lossreg.cli.plugins import registry_of
from lossreg.cli.standard_input import MARK, NAME, source
from lossreg.config.tools.documents import whole
from lossreg.errors import LossregError, MissingExtraError, printable

if TYPE_CHECKING:
    from lossreg.experiments.weight_lines import Timeline

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = {
    "lossreg plot loss.yaml -o weights.svg": "a picture of every term's weight",
    "lossreg plot loss.yaml --steps 1000": "of the first 1,000 steps, as loss-weights.png",
}

_FORMS = {".png": "png", ".svg": "svg"}
_LONGEST = 2**31


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "file", metavar="FILE", help="a YAML file with one objective or several, or -"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=_picture,
        metavar="OUT",
        help="the picture, .png or .svg; by default FILE-weights.png in the working directory",
    )
    parser.add_argument(
        "--steps",
        type=_count,
        metavar="N",
        help="how many steps to draw; by default, to the end of the last schedule or active window "
        "and a tenth more",
    )
    parser.add_argument(
        "--steps-per-epoch",
        type=_count,
        metavar="K",
        help="how many steps an epoch has; needed if some schedules count epochs and some steps",
    )
    parser.add_argument("--key", help="where the objective is, as in model.criterion")
    add_override_argument(parser)
    add_plugin_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _picture(text: str) -> Path:
    if Path(text).suffix.lower() not in _FORMS:
        raise argparse.ArgumentTypeError(f"'{text}': expected a name that ends in .png or .svg")
    return Path(text)


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) < _LONGEST:
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text}': expected a number of at least 1, below 2^31")


def run(arguments: argparse.Namespace) -> int:
    """Write the picture, and say what it shows."""
    registry = registry_of(arguments)
    examined = whole(
        source(arguments.file), arguments.key, registry, arguments.overrides, name=NAME
    )
    configs = dict(examined.by_name)
    if examined.loss is not None:
        configs = {"": examined.loss}
    from lossreg.experiments.weight_lines import TimeError, timeline

    try:
        lines = timeline(configs, steps=arguments.steps, steps_per_epoch=arguments.steps_per_epoch)
    except TimeError as error:
        complain(f"error: {printable(str(error))}")
        return 2
    try:
        from lossreg.experiments.weight_picture import weights_picture
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        missing = {"extra": "experiments", "missing": "matplotlib"}
        raise MissingExtraError("`lossreg plot`", **missing) from None

    file = Path("stdin" if arguments.file == MARK else arguments.file)
    output = arguments.output or Path(f"{file.stem}-weights.png")
    picture = weights_picture(lines, printable(file.name), _FORMS[output.suffix.lower()])
    try:
        output.write_bytes(picture)
    except OSError as error:
        reason = error.strerror or error
        raise LossregError(f"'{output}' cannot be written: {reason}") from error
    if arguments.json:
        say_json(_as_dict(lines, output))
    else:
        say(_text(lines, output))
    return 0


def _as_dict(lines: Timeline, output: Path) -> dict[str, Any]:
    return {
        "file": str(output),
        "unit": lines.unit,
        "end": lines.end,
        "terms": [
            {
                "objective": name,
                "name": line.name,
                "first": line.active[0][1] if line.active else None,
                "last": line.active[-1][1] if line.active else None,
                "note": line.note,
            }
            for name, objective in lines.objectives.items()
            for line in objective
        ],
        "not_drawn": dict(lines.not_drawn),
    }


def _text(lines: Timeline, output: Path) -> str:
    count = sum(len(objective) for objective in lines.objectives.values())
    nouns = f"{count} term{'s' * (count != 1)}, {lines.end} {lines.unit}{'s' * (lines.end != 1)}"
    rows = [f"{output}: {nouns}"]
    rows += [f"not drawn: '{name}': {why}" for name, why in lines.not_drawn.items()]
    return printable("\n".join(rows), keep="\n")
