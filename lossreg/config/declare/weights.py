"""Reads the weights of terms and groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.config.declare.fields import read_number
from lossreg.config.declare.keys import as_meant
from lossreg.config.declare.parameters import validated
from lossreg.config.declare.routes import read_route
from lossreg.config.faults.faults import clipped, describe, is_interpolation
from lossreg.config.faults.guesses import Guesses
from lossreg.config.grammar import GROUP, LEARNED, ROUTE, SCHEDULED
from lossreg.config.models import Learned, Weight
from lossreg.config.read.nodes import Node
from lossreg.names import closest

if TYPE_CHECKING:
    from lossreg.config.declare.tree import Declared
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.grammar import Construct
    from lossreg.config.read.nodes import Span
    from lossreg.vocabulary.schedules import Schedule

__all__ = ["FORMS", "check_weight", "read_schedule", "read_weight"]

FORMS = ("log_variance", "kendall")
_MOST_INITIAL = 85  # half of exp(-s) has all its digits in float32
# Each kind of mapping that a weight may be, by the key by which it is known.
_KINDS = {"schedule": SCHEDULED, "learned": LEARNED, "from": ROUTE}
# Other keys that only one kind has.
_ALSO = {"initial": LEARNED, "apply": ROUTE}
_OF_A_RAMP = frozenset(("to", "steps", "end"))


def read_weight(node: Node, path: ConfigPath, faults: Faults, key: Span) -> Weight | None:
    """A number, or a mapping with `schedule`, `from` or `learned`.

    Args:
        node: The number or the mapping.
        path: Its place.
        faults: Takes the faults.
        key: Where its key is written.
    """
    if isinstance(node.value, dict):
        kind = _kind(node, path, faults)
        if kind is None:
            return None
        if kind is LEARNED:
            return _read_learned(node, path, faults, key)
        if kind is ROUTE:
            route = read_route(node, path, faults, key)
            return None if route is None else Weight(routes=(route,))
        schedule = read_schedule(node, path, faults, key, others=", 'from' or 'learned'")
        if schedule is None:
            return None
        numbers = schedule.bounds()
        # Read a schedule that never changes as a number: a constant 0 must leave the graph.
        constant = numbers[0] == numbers[1]
        return Weight(numbers[0]) if constant else Weight(schedules=(schedule,))
    wanted = _wanted_mapping(node) if isinstance(node.value, str) else ""
    if wanted:
        faults.add("LR201", path, f"expected a number, {wanted}", node)
        return None
    number = read_number(node, path, faults)
    return None if number is None else Weight(number)


def _wanted_mapping(node: Node) -> str:
    """The mapping that a word in the place of a number probably stands for, in words."""
    word = node.value
    if _is_schedule(word):
        return f"or a mapping: {{schedule: {word}, ...}}"
    if word in LEARNED.foreign or word in ("learned", *FORMS):
        return f"or a mapping: {{learned: {word if word in FORMS else FORMS[0]}}}"
    if node.rewrite or not word.replace(".", "").isidentifier():
        return ""
    path = clipped(word)
    found = describe(word)
    return f"found {found}; if it is a path to a number of the step, write {{from: {path}}}"


def _kind(node: Node, path: ConfigPath, faults: Faults) -> Construct | None:
    """Which kind of mapping a weight is written as, or else probably meant as; None for two."""
    marks = [mark for mark in _KINDS if mark in node.value]
    start = node.value.get("from")
    is_number = start is not None and isinstance(start.value, int | float)
    if is_number and ("schedule" in marks or not _OF_A_RAMP.isdisjoint(node.value)):
        marks.remove("from")  # a ramp may be written with `from` and `to`
    if len(marks) > 1:
        first, second, *_ = marks
        message = f"a weight has '{first}' or '{second}', not both; remove one of the two"
        faults.add("LR215", (path, second), message, node.keys[second])
        return None
    if marks:
        return _KINDS[marks[0]]
    for key, kind in _ALSO.items():
        if key in node.value:
            return kind
    for mark, kind in _KINDS.items():
        if mark in Guesses.of(kind, node).written and mark != "from":
            return kind
    written = Guesses.of(ROUTE, node).written.get("from")
    is_path = written is not None and isinstance(node.value[written].value, str)
    return ROUTE if is_path and "type" not in node.value else SCHEDULED


def _read_learned(node: Node, path: ConfigPath, faults: Faults, key: Span) -> Weight | None:
    node = as_meant(LEARNED, node, path, faults)
    if "learned" not in node.value:
        message = "the key 'learned', log_variance or kendall, is missing"
        faults.add("LR102", path, message, key)
        return None
    form, initial = node.value["learned"], 0.0
    is_fine = True
    if form.value not in FORMS:
        meant = closest(form.value, FORMS)
        hint = f"; did you mean '{meant}'?" if meant else ""
        message = (
            "expected log_variance, which adds exp(-s)·L + s, or kendall, which adds half of each; "
            f"found {describe(form.value)}{hint}"
        )
        faults.add("LR203", (path, "learned"), message, form)
        is_fine = False
    if "initial" in node.value:
        place, written = (path, "initial"), node.value["initial"]
        number = read_number(written, place, faults)
        if number is None:
            return None
        if abs(number) > _MOST_INITIAL:
            message = (
                f"expected a number from -{_MOST_INITIAL} to {_MOST_INITIAL}, because the weight "
                f"is exp(-s), which float32 must hold; found {describe(written.value)}"
            )
            faults.add("LR202", place, message, written)
            is_fine = False
        initial = number
    return Weight(learned=Learned(form.value, initial)) if is_fine else None


def check_weight(declared: Declared, faults: Faults) -> None:
    """Note a weight that does not fit the other keys of its term or group, or is negative.

    Args:
        declared: The term or the group.
        faults: Takes the faults.
    """
    weight: Weight | None = declared.values.get("weight")
    if weight is None:
        return
    path: ConfigPath = (declared.path, "weight")
    node = declared.node.value["weight"]
    is_group = declared.construct is GROUP
    maximizes = not is_group and declared.get("maximize")
    message = ""
    if weight.learned is not None:
        if is_group:
            message = "a group has no learned weight; give each of its terms one"
        elif maximizes:
            message = (
                "a learned weight is meant for a term that is minimised, and this one has "
                "maximize: true; remove one of the two"
            )
    elif weight.least < 0:
        if not maximizes:
            message = f"the weight is negative, so the term is maximised{_meant(weight, is_group)}"
            faults.add("LR904", path, message, node, severity="warning")
            return
        message = (
            "expected a positive weight beside maximize: true, which says already that the total "
            "has minus this term; remove the minus sign"
        )
    if message:
        faults.add("LR215", path, message, node)
        declared.is_complete = False


def _meant(weight: Weight, is_group: bool) -> str:
    """What to write where a negative weight is meant."""
    if is_group:
        return "; if this is meant, write maximize: true in its terms, and a positive weight here"
    if weight.schedules:
        ends = weight.schedules[0].bounds()
        if ends[1] > 0:
            return " where it is below 0; split the schedule if this is not meant"
        return "; if this is meant, write maximize: true, and the schedule without the minus signs"
    positive = f"{-weight.factor!r}".removesuffix(".0")
    return f"; if this is meant, write maximize: true, weight: {positive}"


def _is_schedule(value: object) -> bool:
    from lossreg.vocabulary.schedules import SCHEDULES

    return isinstance(value, str) and value in SCHEDULES


def read_schedule(
    node: Node, path: ConfigPath, faults: Faults, key: Span | None, others: str = ""
) -> Schedule | None:
    """The schedule that a mapping with `schedule` describes.

    Args:
        node: The mapping.
        path: Its place.
        faults: Takes the faults.
        key: Where its key is written.
        others: What the mapping may have instead of 'schedule', in words.
    """
    from lossreg.vocabulary.schedules import SCHEDULES  # imported late: six models

    names = ", ".join(SCHEDULES)
    if "schedule" not in node.value:
        guesses = Guesses.of(SCHEDULED, node)
        guesses.note(guesses.written.values(), path, faults)
        node = guesses.applied(path, faults)
    if "schedule" not in node.value:
        message = f"expected a number, or a mapping with 'schedule' ({names}){others}"
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
