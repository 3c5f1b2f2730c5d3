"""The arguments of a transform: each is checked for its kind, all by the transform's rule."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from lossreg.config.declare.fields import check_float32
from lossreg.config.declare.keys import as_meant
from lossreg.config.declare.routes import read_route
from lossreg.config.faults.faults import clipped, describe, is_interpolation
from lossreg.config.grammar import ROUTE, SCHEDULED, Construct, Key
from lossreg.config.read.scalars import without_comma
from lossreg.names import closest
from lossreg.vocabulary.arguments import NUMBER, REQUIRED, Argument
from lossreg.vocabulary.routes import Transform

if TYPE_CHECKING:
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.read.nodes import Node, Span
    from lossreg.vocabulary.arguments import Kind
    from lossreg.vocabulary.transforms import TransformDefinition

__all__ = ["read_arguments", "read_number_or_schedule"]

_CONSTANT = Argument(
    "constant", NUMBER._replace(wanted="a finite number or a schedule", is_routed=False)
)
_ROUTE_KEYS = frozenset((*ROUTE.names, *ROUTE.foreign))
# A word that begins as a number does is not read as a path: it is a number in quotes, or a typo.
_LIKE_A_NUMBER = re.compile(r"[-+]?\.?[0-9]|[-+]?\.?(inf|nan)$", re.IGNORECASE)


def read_arguments(
    definition: TransformDefinition,
    node: Node | None,
    path: ConfigPath,
    key: Span,
    faults: Faults,
) -> Transform | None:
    """A transform with its arguments, or None after noting their faults.

    Args:
        definition: The transform.
        node: A mapping of its arguments, a single value, or None if it has no arguments.
        path: Its place.
        key: Where its name is written.
        faults: Takes the faults.
    """
    if node is not None and faults.passes_over(node):
        return None
    written = _by_name(definition, node, path, faults)
    if written is None:
        return None
    values: dict[str, Any] = {}
    for argument in definition.arguments:
        name = argument.name
        if name in written:
            value = _value(argument, written[name], (path, name), faults, key)
            if value is not REQUIRED:
                values[name] = value
        elif argument.default is REQUIRED:
            message = f"'{definition.name}' needs '{name}' ({argument.kind.wanted})"
            faults.add("LR211", path, message + _with_names(definition, node), key)
        else:
            values[name] = argument.default
    names = {argument.name for argument in definition.arguments}
    # The rule holds for all arguments together, so it cannot judge some of them.
    if len(values) < len(names) or not written.keys() <= names:
        return None
    violation = None if definition.rule is None else definition.rule(values)
    if violation is None:
        return Transform(definition.name, tuple(values.items()))
    if violation.argument in written:
        place: ConfigPath = (path, violation.argument)
        faults.add("LR211", place, violation.message, written[violation.argument])
    else:
        faults.add("LR211", path, violation.message, key)
    return None


def _with_names(definition: TransformDefinition, node: Node | None) -> str:
    """What to write for a single value where other arguments are needed as well."""
    if node is None or isinstance(node.value, dict | list):
        return ""
    first, *others = definition.arguments
    named = "".join(f", {entry.name}: ..." for entry in others if entry.default is REQUIRED)
    return f"; write {{{definition.name}: {{{first.name}: {clipped(str(node.value))}{named}}}}}"


def read_number_or_schedule(node: Node, path: ConfigPath, faults: Faults, key: Span) -> Any:
    """A finite number or a schedule; None after noting a fault."""
    value = _value(_CONSTANT, node, path, faults, key)
    return None if value is REQUIRED else value


def _by_name(
    definition: TransformDefinition, node: Node | None, path: ConfigPath, faults: Faults
) -> dict[str, Node] | None:
    """The written arguments by name; unknown ones are noted and included."""
    if node is None or node.value is None or node.value == {}:
        return {}
    names = tuple(argument.name for argument in definition.arguments)
    if not names:
        message = f"'{definition.name}' takes no argument, found {describe(node.value)}"
        faults.add("LR211", path, message, node)
        return None
    if isinstance(node.value, dict) and "constant" in node.value and "constant" not in names:
        number = clipped(str(node.value["constant"].value))
        message = "only an input of a loss is written as a constant; here the number itself stands"
        message += f": write {{{definition.name}: {number}}}" * (not definition.by_name)
        faults.add("LR211", path, message, node)
        return None
    if isinstance(node.value, dict) and not _is_single(definition, node):
        keys = (Key(argument.name, "argument", "") for argument in definition.arguments)
        meant = as_meant(Construct(definition.name, *keys), node, path, faults)
        return dict(meant.value)
    if definition.by_name:
        written = "a list" if isinstance(node.value, list) else describe(node.value)
        ways = " or ".join(f"{{{definition.name}: {{{name}: ...}}}}" for name in names)
        message = f"'{definition.name}' takes its arguments by name, found {written}; write {ways}"
        faults.add("LR211", path, message, node)
        return None
    if definition.by_list and isinstance(node.value, list) and len(node.value) == len(names):
        return dict(zip(names, node.value, strict=True))
    if isinstance(node.value, list) and 1 < len(node.value) <= len(names):
        first = definition.arguments[0].kind
        if not (first.accepts(tuple(_plain(node))) or first.accepts((0, 1))):
            pairs = zip(names, node.value, strict=False)
            named = ", ".join(f"{name}: {clipped(str(element.value))}" for name, element in pairs)
            message = f"expected {first.wanted}, found a list; write "
            faults.add("LR211", path, f"{message}{{{definition.name}: {{{named}}}}}", node)
            return None
    return {names[0]: node}


def _plain(node: Node) -> list[Any]:
    return [element.value for element in node.value]


def _is_single(definition: TransformDefinition, node: Node) -> bool:
    """Whether a mapping is the first argument, a route or a schedule, and not all arguments."""
    first, names = definition.arguments[0], [argument.name for argument in definition.arguments]
    if definition.by_name or all(key in names for key in node.value):
        return False
    if not first.kind.is_routed:  # refused as what it is, not key by key
        return any(name in node.value for name in (*ROUTE.names, *SCHEDULED.names))
    return _is_route(node) or (first.kind.is_scheduled and _is_schedule(node))


def _is_route(node: Node) -> bool:
    return not _ROUTE_KEYS.isdisjoint(islice(node.value, len(_ROUTE_KEYS)))


def _is_schedule(node: Node) -> bool:
    from lossreg.vocabulary.schedules import SCHEDULES  # imported late: six models

    if any(name in node.value for name in SCHEDULED.names):
        return True
    values = (child.value for child in islice(node.value.values(), len(SCHEDULES)))
    return any(isinstance(value, str) and value in SCHEDULES for value in values)


def _value(argument: Argument, node: Node, path: ConfigPath, faults: Faults, key: Span) -> Any:
    """An argument's value, or `REQUIRED` after noting that it is not of its kind."""
    kind, value = argument.kind, node.value
    if value is None and argument.default is None:
        return None
    if isinstance(value, list):
        value = tuple(element.value for element in value)
    if kind.accepts(value):
        fits = not kind.is_float or check_float32(node, path, faults, "LR211")
        return value if fits else REQUIRED
    if isinstance(value, dict) and kind.is_scheduled and not _is_route(node) and _is_schedule(node):
        return _schedule(kind, node, path, faults, key)
    is_path = (
        isinstance(value, str) and not _LIKE_A_NUMBER.match(value) and not is_interpolation(value)
    )
    if kind.is_routed and (is_path or (isinstance(value, dict) and _is_route(node))):
        route = read_route(node, path, faults, key)
        return REQUIRED if route is None else route
    message = f"expected {kind.wanted}, found {_described(node)}"
    if kind.words and isinstance(value, str):
        word = value.removeprefix("torch.")
        meant = dict(kind.foreign).get(word) or closest(word, kind.words)
        message += f"; did you mean '{meant}'?" if meant else ""
    elif node.rewrite and not node.rewrite.isalpha():
        message += f"; write {node.rewrite}"
    elif kind.is_float and isinstance(value, str):
        message += _without_quotes(value)
    faults.add("LR211", path, message, node)
    return REQUIRED


def _without_quotes(text: str) -> str:
    if re.fullmatch(r"-?\d+,\d+", text):
        return f"; a number has a decimal point: write {without_comma(text)}"
    try:
        float(text)
    except ValueError:
        return ""
    return "; leave out the quotes"


def _schedule(kind: Kind, node: Node, path: ConfigPath, faults: Faults, key: Span) -> Any:
    """A schedule whose numbers are all of a kind; a number if it never changes."""
    from lossreg.config.declare.weights import read_schedule  # imported late, with the models

    schedule = read_schedule(node, path, faults, key)
    if schedule is None:
        return REQUIRED
    least, most = schedule.bounds()
    # Between two numbers of different signs is 0, which some kinds do not accept.
    between = least if least > 0 or most < 0 else 0.0
    for number in (least, most, between):
        if not kind.accepts(number):
            expected = kind.wanted.partition(",")[0]
            message = f"expected {expected} at any time, found a schedule that gives {number:g}"
            faults.add("LR211", path, message, node)
            return REQUIRED
    return least if least == most else schedule


def _described(node: Node) -> str:
    if not isinstance(node.value, list):
        return describe(node.value)
    return clipped(f"[{', '.join(describe(element.value) for element in node.value)}]")
