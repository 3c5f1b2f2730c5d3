"""Say what differs in meaning between two configs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.cli.options import add_plugin_arguments
from lossreg.cli.output import complain, say, say_json
from lossreg.cli.plugins import registry_of
from lossreg.cli.standard_input import MARK, NAME, source
from lossreg.config.tools.diff import differences
from lossreg.config.tools.documents import whole
from lossreg.errors import printable

if TYPE_CHECKING:
    import argparse

    from lossreg.config.tools.diff import Difference, Side

__all__ = ["EXAMPLES", "add_arguments", "run"]


EXAMPLES = {
    "lossreg diff loss.yaml other.yaml": "the exit code is 1 if something differs",
    "lossreg expand loss.yaml | lossreg diff loss.yaml -": "with standard input",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "first", metavar="A", help="a YAML file with one objective or several, or - for one of them"
    )
    parser.add_argument("second", metavar="B", help="another one")
    parser.add_argument("--key", help="where the objective is in both, as in model.criterion")
    add_plugin_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print each difference; return 1 if there is one."""
    files = (arguments.first, arguments.second)
    if files == (MARK, MARK):
        complain("error: only one of the two can be standard input")
        return 2
    registry = registry_of(arguments)
    first, second = (whole(source(file), arguments.key, registry, name=NAME) for file in files)
    found = differences(first, second)
    if arguments.json:
        say_json([_as_dict(difference) for difference in found])
    else:
        for difference in found:
            say(printable(_in_words(difference)))
        if not found:
            say("the same objective")
    return int(bool(found))


def _in_words(difference: Difference) -> str:
    what, key, before, after = difference
    if key:
        return f"{what}  {key}: {_shown(before)} -> {_shown(after)}"
    side, which = (after, "second") if before.text is None else (before, "first")
    place = f" ({side.place})" if side.place else ""
    return f"{what}  only in the {which}{place}"


def _shown(side: Side) -> str:
    text = "the default" if side.text is None else side.text
    return f"{text} ({side.place})" if side.place else text


def _as_dict(difference: Difference) -> dict[str, object]:
    sides = {"before": difference.before, "after": difference.after}
    return {
        "what": difference.what,
        "key": difference.key,
        **{name: {"text": side.text, "place": side.place} for name, side in sides.items()},
    }
