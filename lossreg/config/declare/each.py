"""`each` of a group: the lists that its terms are repeated over."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lossreg.config.declare.fields import check_float32, is_mapping, read_number, read_whole_number
from lossreg.config.declare.keys import as_meant
from lossreg.config.declare.routes import read_route
from lossreg.config.declare.tree import Declared
from lossreg.config.declare.values import read_values
from lossreg.config.faults.faults import clipped, describe
from lossreg.config.faults.guesses import Guesses
from lossreg.config.grammar import EACH, ELEMENT_WEIGHTS, PICK
from lossreg.config.models import Each, ElementWeights
from lossreg.names import closest
from lossreg.vocabulary.paths import PathError, ValuePath
from lossreg.vocabulary.routes import Route

if TYPE_CHECKING:
    from typing import TypeAlias

    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.models import TermConfig
    from lossreg.config.read.nodes import Node, Span

    _Part: TypeAlias = tuple[int | None, int | None, int]

__all__ = ["check_group", "check_repeated", "read_each"]

_MOST_LEVELS = 8
_MOST_PLACES = 1_000_000
_HOW = (
    "sum adds the elements' values up, mean averages them, pooled divides all entries by one number"
)
_TOWARDS = (
    "with towards: last, the last element has the weight 1 and each one before it 'decay' times "
    "the next; with towards: first, the first one has 1"
)


def read_each(node: Node, path: ConfigPath, faults: Faults, key: Span) -> Each | None:
    """The lists that a group is repeated over; None after noting a fault.

    Args:
        node: The mapping.
        path: Its place.
        faults: Takes the faults.
        key: Where its key is written.
    """
    if not isinstance(node.value, dict):
        source = f"{clipped(node.value)}" if _last_key(node.value) else "layers"
        wanted = f"a mapping: each: {{over: {{{_last_key(source)}: {source}}}, combine: sum}}"
        is_mapping(node, path, faults, wanted=wanted)
        return None
    if "over" not in node.value and not Guesses.of(EACH, node).written:
        message = f"the key 'over', names to lists, is missing; write each: {_with_over(node)}"
        faults.add("LR102", path, message, key)
        return None
    node = as_meant(EACH, node, path, faults)
    each = Declared(EACH, "each", node, path, key)
    read_values(each, faults)
    for name, wanted in (("over", "names to lists"), ("combine", _HOW)):
        if name not in node.value:
            faults.add("LR102", path, f"the key '{name}' is missing: {wanted}", key)
            each.is_complete = False
    values = node.value
    if "over" in values:
        each.put("over", _read_over(values["over"], (path, "over"), faults))
    if "nested" in values:
        place = (path, "nested")
        levels = read_whole_number(values["nested"], place, faults, least=1, most=_MOST_LEVELS)
        each.put("nested", levels)
    if "pick" in values:
        names = tuple(each.get("over") or ())
        each.put("pick", _read_pick(values["pick"], (path, "pick"), names, faults))
    if "weights" in values:
        weights = _read_weights(values["weights"], (path, "weights"), node.keys["weights"], faults)
        each.put("weights", weights)
    if not each.is_complete:
        return None
    read = Each(**{name: each.get(name) for name in EACH.keys})
    return read if _have_one_length(read, values["over"], (path, "over"), faults) else None


def _with_over(node: Node) -> str:
    """The mapping with its names under `over`, if they stand in its place."""
    names = {name: child.value for name, child in node.value.items() if name not in EACH.keys}
    named = {name: clipped(value) for name, value in names.items() if isinstance(value, str)}
    shown = ", ".join(f"{clipped(name)}: {source}" for name, source in named.items())
    return f"{{over: {{{shown or 'NAME: path'}}}, combine: sum}}"


def _last_key(value: object) -> str:
    """The last key of a path; empty if it has none, or the value is not a path."""
    try:
        steps = ValuePath.parse(value).steps if isinstance(value, str) else ()
    except PathError:
        return ""
    return next((clipped(step) for step in reversed(steps) if isinstance(step, str)), "")


def _read_over(
    node: Node, path: ConfigPath, faults: Faults
) -> dict[str, Route | tuple[Route, ...]] | None:
    if not isinstance(node.value, dict):
        written = node.value if isinstance(node.value, str) else None
        paths = [element.value for element in node.value] if isinstance(node.value, list) else []
        named = {_last_key(source): source for source in (written, *paths) if _last_key(source)}
        shown = ", ".join(f"{name}: {clipped(source)}" for name, source in named.items())
        message = f"expected names to lists, found {describe(node.value)}"
        faults.add("LR101", path, f"{message}; write over: {{{shown or 'layer: layers'}}}", node)
        return None
    if not node.value:
        faults.add("LR102", path, "expected at least one name, found none", node)
        return None
    over: dict[str, Route | tuple[Route, ...]] = {}
    for name, source in node.value.items():
        place, key = (path, name), node.keys[name]
        if _last_key(name) != name:
            message = "expected a name that a path can start with, without dots and brackets"
            faults.add("LR206", place, f"{message}, found {describe(name)}", key)
            continue
        read = _read_source(source, place, key, faults)
        if read is not None:
            over[name] = read
    return over if len(over) == len(node.value) else None


def _read_source(
    node: Node, path: ConfigPath, key: Span, faults: Faults
) -> Route | tuple[Route, ...] | None:
    """The route of a list, or those of its elements."""
    if not isinstance(node.value, list):
        return read_route(node, path, faults, key, gives="list")
    if not node.value:
        faults.add("LR102", path, "expected at least one path, found none", node)
        return None
    read = [read_route(child, (path, index), faults) for index, child in enumerate(node.value)]
    routes = tuple(route for route in read if route is not None)
    return routes if len(routes) == len(read) else None


def _have_one_length(each: Each, node: Node, path: ConfigPath, faults: Faults) -> bool:
    """Whether lists whose elements are written one by one have one length after `pick`."""
    first: tuple[str, int] | None = None
    for name, source in each.over.items() if each.nested == 1 else ():
        if isinstance(source, Route):
            continue
        picked = source if each.pick is None else source[slice(*each.pick[name])]
        size = len(picked)
        if first is None:
            first = name, size
        if size != first[1] or not size:
            message = f"expected at least one element, found none of '{clipped(name)}'"
            if size:
                message = (
                    f"expected lists of equal length, found {first[1]} of '{clipped(first[0])}' "
                    f"and {size} of '{clipped(name)}'"
                )
            faults.add("LR220", (path, name), message, node.value[name])
            return False
    return True


def _read_pick(
    node: Node, path: ConfigPath, names: tuple[str, ...], faults: Faults
) -> dict[str, _Part] | None:
    if not is_mapping(node, path, faults, wanted="a mapping with start, end or step"):
        return None
    is_by_name = any(isinstance(child.value, dict) for child in node.value.values())
    if not (is_by_name or any(name in names for name in node.value)):
        part = _read_part(node, path, faults)
        return None if part is None else dict.fromkeys(names, part)
    parts: dict[str, _Part] = dict.fromkeys(names, (None, None, 1))
    is_fine = True
    for name, child in node.value.items():
        if names and name not in names:
            meant = closest(name, names)
            hint = f"did you mean '{meant}'?" if meant else f"it has {', '.join(names)}"
            message = f"'over' has no name '{clipped(name)}'; {hint}"
            faults.add("LR104", (path, name), message, node.keys[name])
            is_fine = False
        elif is_mapping(child, (path, name), faults, wanted="a mapping with start, end or step"):
            part = _read_part(child, (path, name), faults)
            is_fine = is_fine and part is not None
            parts[name] = part or (None, None, 1)
        else:
            is_fine = False
    return parts if is_fine else None


def _read_part(node: Node, path: ConfigPath, faults: Faults) -> _Part | None:
    node = as_meant(PICK, node, path, faults)
    if not any(name in node.value for name in PICK.keys):
        if not node.value:
            faults.add("LR102", path, "expected start, end or step, found none", node)
        return None
    read: list[int | None] = [None, None, 1]
    is_fine = True
    for index, name in enumerate(PICK.keys):
        if name in node.value:
            least = 1 if name == "step" else -_MOST_PLACES
            number = read_whole_number(
                node.value[name], (path, name), faults, least=least, most=_MOST_PLACES
            )
            is_fine = is_fine and number is not None
            read[index] = number
    return (read[0], read[1], read[2] or 1) if is_fine else None


def _read_weights(node: Node, path: ConfigPath, key: Span, faults: Faults) -> ElementWeights | None:
    if isinstance(node.value, list):
        return _read_listed(node, path, faults)
    if not is_mapping(node, path, faults, wanted="a list of numbers or a mapping with 'decay'"):
        return None
    node = as_meant(ELEMENT_WEIGHTS, node, path, faults)
    weights = Declared(ELEMENT_WEIGHTS, "weights", node, path, key)
    read_values(weights, faults)
    values = node.value
    if "decay" in values:
        weights.put("decay", _read_decay(values["decay"], (path, "decay"), faults))
        if "towards" not in values:
            message = f"the key 'towards' is missing beside 'decay': {_TOWARDS}"
            faults.add("LR102", path, message, node.keys["decay"])
            return None
    elif "towards" in values:
        message = "the key 'decay', a number such as 0.8, is missing beside 'towards'"
        faults.add("LR102", path, message, node.keys["towards"])
        return None
    elif not any(name in values for name in ELEMENT_WEIGHTS.keys):
        if not values:
            message = f"expected at least one of {', '.join(ELEMENT_WEIGHTS.keys)}, found none"
            faults.add("LR102", path, message, node)
        return None
    if "zero" in values:
        weights.put("zero", _read_places(values["zero"], (path, "zero"), faults))
    if not weights.is_complete:
        return None
    return ElementWeights(**weights.values)


def _read_listed(node: Node, path: ConfigPath, faults: Faults) -> ElementWeights | None:
    read = [_read_weight(child, (path, i), faults) for i, child in enumerate(node.value)]
    numbers = tuple(number for number in read if number is not None)
    if len(numbers) < len(read):
        return None
    if not any(numbers):
        faults.add("LR220", path, "expected a weight above 0, found none", node)
        return None
    return ElementWeights(listed=numbers)


def _read_weight(node: Node, path: ConfigPath, faults: Faults) -> float | None:
    number = read_number(node, path, faults)
    if number is None or not check_float32(node, path, faults):
        return None
    if number < 0:
        message = f"expected a weight of at least 0, found {number:g}"
        faults.add("LR202", path, message, node)
        return None
    return number


def _read_decay(node: Node, path: ConfigPath, faults: Faults) -> float | None:
    number = read_number(node, path, faults)
    if number is None or 0 < number <= 1:
        return number
    message = f"expected a number above 0 and at most 1, found {number:g}"
    if number > 1 and math.isfinite(number):
        message += f" ({1 / number:g}?); 'towards' says which end counts most"
    faults.add("LR202", path, message, node)
    return None


def _read_places(node: Node, path: ConfigPath, faults: Faults) -> tuple[int, ...] | None:
    if not isinstance(node.value, list) or not node.value:
        is_number = isinstance(node.value, int) and not isinstance(node.value, bool)
        hint = f"; write [{node.value}]" if is_number else ", such as [-1]"
        message = f"expected a list of places, found {describe(node.value)}{hint}"
        faults.add("LR101", path, message, node)
        return None
    read = [
        read_whole_number(child, (path, index), faults, least=-_MOST_PLACES, most=_MOST_PLACES)
        for index, child in enumerate(node.value)
    ]
    twice = [index for index, place in enumerate(read) if place in read[:index]]
    for index in twice:
        if read[index] is not None:
            message = f"the place {read[index]} stands in the list twice; remove one"
            faults.add("LR202", (path, index), message, node.value[index])
    places = tuple(place for place in read if place is not None)
    return None if twice or len(places) < len(read) else places


def check_group(group: Declared, terms: list[TermConfig], around: Any, faults: Faults) -> None:
    """Note what does not fit an `each`: one inside another, names that mean two things.

    Args:
        group: The group that has it.
        terms: The group's terms.
        around: The settings of the groups around it, its own included.
        faults: Takes the faults.
    """
    each, place, node = around.each, ((group.path, "each"), "over"), group.node.value["each"]
    inherited = None if around.divide_by is None else around.divide_by.route
    starts = _starts(terms, len(each.origin.steps))
    is_read = any(name in starts for name in each.over)
    for name in each.over:
        message = ""
        if (name,) == each.origin.steps[:1]:
            message = f"'{clipped(name)}' is where the group's paths start; choose another name"
        elif inherited is not None and any(path.steps[0] == name for path in inherited.paths):
            message = (
                f"'divide_by' of a group is looked up where the group stands, so '{inherited}' "
                "does not start at the element; give the term its own 'divide_by', or choose "
                "another name"
            )
        elif is_read and name not in starts:  # terms that read no name at all are noted one by one
            meant = closest(name, [start for start in starts if start not in each.over])
            hint = f"; did you mean '{clipped(meant)}'?" if meant else "; remove it"
            message = f"no term of the group has a path that starts with '{clipped(name)}'{hint}"
        if message:
            faults.add("LR220", (place, name), message, node.value["over"].keys[name])


def _starts(terms: list[TermConfig], depth: int) -> list[str]:
    """The first keys of the terms' paths, as they are written in a group that starts so deep."""
    paths = [path for term in terms for route in _routes(term) for path in route.paths]
    each = {name for term in terms if term.each is not None for name in term.each.over}
    steps = [path.steps if path.steps[0] in each else path.steps[depth:] for path in paths]
    return list(dict.fromkeys(str(own[0]) for own in steps if own))


def _routes(term: TermConfig) -> list[Route]:
    divisor = None if term.divide_by is None else term.divide_by.route
    routes = (*term.inputs.values(), term.mask, term.sample_weight, divisor)
    return [route for route in routes if route is not None]


def check_repeated(declared: Declared, term: TermConfig, each: Each, faults: Faults) -> None:
    """Note a term that cannot be repeated: it reads no element, or has nothing to pool.

    Args:
        declared: The term as it is written.
        term: The term.
        each: What its group is repeated over.
        faults: Takes the faults.
    """
    routes = [route for route in (*term.inputs.values(), term.mask, term.sample_weight) if route]
    if any(each.varies(route) for route in term.weight.routes):
        message = (
            "a weight is one number for all elements, so its path cannot start at the element; "
            "write how much each element counts under 'weights' of 'each'"
        )
        faults.add("LR220", (declared.path, "weight"), message, declared.place("weight"))
    if not any(each.varies(route) for route in routes):
        names = " or ".join(f"'{clipped(name)}'" for name in each.over)
        message = (
            f"expected a path that starts with {names}, found none: every element would give the "
            "same value; move the term out of the group"
        )
        faults.add("LR220", declared.path, message, declared.place("inputs"))
    if each.combine != "pooled":
        return
    has_divisor = term.divide_by is not None and term.divide_by.route is not None
    if term.reduction == "sum":
        message = (
            "combine: pooled divides by one number, and this term is a sum; write combine: sum"
        )
    elif "none" not in term.definition.reductions and not has_divisor:
        message = (
            f"'{term.definition.name}' has no entries that combine: pooled could count; write "
            "combine: sum or mean"
        )
    else:
        return
    faults.add("LR220", declared.path, message, declared.key)
