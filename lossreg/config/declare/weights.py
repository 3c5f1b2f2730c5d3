"""Reads a term's weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.config.declare.fields import read_number
from lossreg.config.declare.parameters import validated
from lossreg.config.faults.faults import clipped, describe, is_interpolation
from lossreg.config.faults.guesses import Guesses
from lossreg.config.grammar import SCHEDULED
from lossreg.config.models import Weight
from lossreg.config.read.nodes import Node
from lossreg.names import closest

if TYPE_CHECKING:
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.read.nodes import Span
    from lossreg.vocabulary.schedules import Schedule

__all__ = ["read_schedule", "read_weight"]


def read_weight(node: Node, path: ConfigPath, faults: Faults, key: Span) -> Weight | None:
    """A number, or a mapping with `schedule`.

    Args:
        node: The number or the mapping.
        path: Its place.
        faults: Takes the faults.
        key: Where its key is written.
    """
    if isinstance(node.value, dict):
        schedule = read_schedule(node, path, faults, key)
        if schedule is None:
            return None
        numbers = schedule.bounds()
        # Read a schedule that never changes as a number: a constant 0 must leave the graph.
        constant = numbers[0] == numbers[1]
        weight = Weight(numbers[0]) if constant else Weight(schedules=(schedule,))
        least = numbers[0]
    else:
        if isinstance(node.value, str) and _is_schedule(node.value):
            message = f"expected a number, or a mapping: {{schedule: {node.value}, ...}}"
            faults.add("LR201", path, message, node)
            return None
        number = read_number(node, path, faults)
        if number is None:
            return None
        weight, least = Weight(number), number
    if least < 0:
        message = "the weight is negative, so the term is maximised"
        faults.add("LR904", path, message, node, severity="warning")
    return weight


def _is_schedule(value: object) -> bool:
    from lossreg.vocabulary.schedules import SCHEDULES

    return isinstance(value, str) and value in SCHEDULES


def read_schedule(
    node: Node, path: ConfigPath, faults: Faults, key: Span | None
) -> Schedule | None:
    """The schedule that a mapping with `schedule` describes; arguments as for `read_weight`."""
    from lossreg.vocabulary.schedules import SCHEDULES  # imported late: six models

    names = ", ".join(SCHEDULES)
    if "schedule" not in node.value:
        guesses = Guesses.of(SCHEDULED, node)
        guesses.note(guesses.written.values(), path, faults)
        node = guesses.applied(path, faults)
    if "schedule" not in node.value:
        message = f"expected a number, or a mapping with 'schedule' ({names})"
        wrong = next((name for name in node.value if _is_schedule(node.value[name].value)), None)
        if wrong is None:
            faults.add("LR102", path, message, key or node)
            return None
        message += f"; write 'schedule: {node.value[wrong].value}' instead of '{clipped(wrong)}'"
        faults.add("LR102", path, message, key or node)
        node = node.copy()
        node.value["schedule"], node.keys["schedule"] = node.value.pop(wrong), node.keys.pop(wrong)
    name = node.value["schedule"]
    if not isinstance(name.value, str) or name.value not in SCHEDULES:
        meant = closest(name.value, SCHEDULES)
        shown = f"'{clipped(name.value)}'" if isinstance(name.value, str) else describe(name.value)
        hint = f"did you mean '{meant}'?" if meant else f"expected one of {names}"
        message = f"there is no schedule {shown}; {hint}"
        if is_interpolation(name.value):
            message = f"expected the name of a schedule, found {describe(name.value)}"
        faults.add("LR212", (path, "schedule"), message, name)
        if meant is None:
            return None
        # Validated as what was probably meant: one run finds what else is wrong.
        name = Node(meant, *name.span)
    options = node.copy()
    del options.value["schedule"], options.keys["schedule"]
    owner = f"schedule {name.value}"
    model = SCHEDULES[name.value]
    return validated(model, options, owner=owner, path=path, faults=faults, key=key)
