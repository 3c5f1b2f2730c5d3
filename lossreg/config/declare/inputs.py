"""A term's `inputs`: the route of the tensor of each argument of its loss."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, TypeAlias

from lossreg.config.declare.fields import is_mapping
from lossreg.config.declare.routes import read_route
from lossreg.config.faults.faults import clipped, describe
from lossreg.config.faults.guesses import Guesses, missing_space
from lossreg.config.grammar import CONSTANT, ROUTE, TERM
from lossreg.config.read.nodes import MOST_FAULTS
from lossreg.names import closest
from lossreg.vocabulary.routes import Transform

if TYPE_CHECKING:
    from lossreg.config.declare.tree import Loss
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.read.nodes import Node, Span
    from lossreg.vocabulary.routes import Route

    # An argument, the value bound to it, that value's key or index, and where the key is written.
    _Bound: TypeAlias = tuple[str, Node, str | int, Span | None]

__all__ = ["check_inputs", "read_inputs"]


def read_inputs(
    inputs: Node, path: ConfigPath, key: Span, loss: Loss, faults: Faults
) -> dict[str, Route] | None:
    """The route of each argument, as it is written; None after noting a fault.

    Args:
        inputs: A list or a mapping.
        path: Its place.
        key: Where its key is written.
        loss: The loss that has the arguments.
        faults: Takes the faults.
    """
    arguments = loss.arguments
    if isinstance(inputs.value, list):
        bound = _by_position(inputs, path, loss, faults)
    elif isinstance(inputs.value, dict):
        bound = _by_name(inputs, path, key, loss, faults)
    else:
        message = (
            f"expected a list or a mapping of paths for {', '.join(arguments)}, "
            f"found {describe(inputs.value)}"
        )
        faults.add("LR101", path, message, inputs)
        return None
    routes: dict[str, Route] = {}
    constants: list[_Bound] = []
    for argument, node, step, written in bound:
        if type(node.value) is dict and _is_constant(node):
            constants.append((argument, node, step, written))
            continue
        route = _read(node, argument, (path, step), loss, faults, written)
        if route is not None:
            routes[argument] = route
    if constants:
        _read_constants(constants, routes, path, loss, faults)
    if len(routes) < len(bound) or not routes.keys() >= set(loss.required):
        return None
    if len(set(routes.values())) < len(routes):
        _warn_of_twins(routes, bound, path, faults)
    # In the order of the arguments, as the loss is called with them.
    if not constants:
        return routes
    return {name: routes[name] for name in arguments if name in routes}


def _read_constants(
    constants: list[_Bound],
    routes: dict[str, Route],
    path: ConfigPath,
    loss: Loss,
    faults: Faults,
) -> None:
    """Add the routes of constants, which have the shape of inputs that are tensors."""
    from lossreg.config.declare.constants import read_constant  # imported late: few have constants

    holds = {entry.name: entry.holds for entry in loss.definition.inputs}
    tensors = {name: route for name, route in routes.items() if holds[name] == "tensor"}
    is_complete = routes.keys() | {bound[0] for bound in constants} >= set(loss.required)
    for argument, node, step, written in constants:
        if not tensors:
            if is_complete:
                message = "expected an input that is a tensor, found constants only"
                faults.add("LR206", (path, step), message, node)
            continue
        route = read_constant(node, argument, tensors, (path, step), loss, faults, written)
        if route is not None:
            routes[argument] = route


def _read(
    node: Node,
    argument: str,
    path: ConfigPath,
    loss: Loss,
    faults: Faults,
    key: Span | None,
) -> Route | None:
    """The route of an input that is not a constant."""
    holds = loss.definition.input(argument).holds
    if holds == "tensor":
        return read_route(node, path, faults, key)
    if holds == "list":
        return _read_list(node, path, faults, key)
    if isinstance(node.value, int | float) and not isinstance(node.value, bool):
        message = f"expected a path, found {describe(node.value)}; write {{constant: "
        faults.add("LR206", path, f"{message}{clipped(str(node.value))}}}", node)
        return None
    return read_route(node, path, faults, key)


def _read_list(node: Node, path: ConfigPath, faults: Faults, key: Span | None) -> Route | None:
    """The route of a list of tensors: where it is, or a list of the routes of its tensors."""
    if not isinstance(node.value, list):
        return read_route(node, path, faults, key, gives="list")
    if not node.value:
        message = "expected at least one path, found an empty list"
        faults.add("LR206", path, message, node)
        return None
    routes = [read_route(child, (path, index), faults) for index, child in enumerate(node.value)]
    known = [route for route in routes if route is not None]
    if len(known) < len(routes):
        return None
    appended = (Transform("appended", (("other", route),)) for route in known[1:])
    transforms = (*known[0].transforms, Transform("listed"), *appended)
    return known[0]._replace(transforms=transforms)


def _is_constant(node: Node) -> bool:
    """Whether an input is written as a constant, or probably meant as one."""
    if "constant" in node.value or not ROUTE.keys.keys().isdisjoint(node.value):
        return "from" not in node.value and "constant" in node.value
    is_near = bool(Guesses.of(CONSTANT, node).written)
    return is_near and not Guesses.of(ROUTE, node).written


def check_inputs(inputs: Node, path: ConfigPath, faults: Faults) -> None:
    """Note the faults of the inputs of an unknown loss."""
    if isinstance(inputs.value, list):
        for index, node in enumerate(inputs.value):
            if not (type(node.value) is dict and _is_constant(node)):
                read_route(node, (path, index), faults)
    elif is_mapping(inputs, path, faults, wanted="a list or a mapping of paths"):
        for name, node in inputs.value.items():
            if type(node.value) is dict and _is_constant(node):
                continue  # which numbers it may be is not known
            if node.value is not None or ":" not in name:  # not a key that lacks its space
                read_route(node, (path, name), faults, inputs.keys[name])


def _warn_of_twins(
    routes: dict[str, Route], bound: list[_Bound], path: ConfigPath, faults: Faults
) -> None:
    readers: dict[Route, str] = {}
    for argument, node, step, _ in bound:
        route = routes[argument]
        first = readers.setdefault(route, argument)
        if first != argument:
            message = f"'{first}' and '{argument}' read the same tensor, '{clipped(str(route))}'"
            faults.add("LR902", (path, step), message, node, severity="warning")


def _by_position(inputs: Node, path: ConfigPath, loss: Loss, faults: Faults) -> list[_Bound]:
    arguments, required = loss.arguments, loss.required
    # Those behind the last one that every term needs may be left out.
    least = arguments.index(required[-1]) + 1
    if not least <= len(inputs.value) <= len(arguments):
        count = f"{len(arguments)} path{'' if len(arguments) == 1 else 's'}"
        if least < len(arguments):
            count = f"{least} to {count}"
        message = (
            f"expected {count} for {', '.join(arguments)} of "
            f"'{loss.definition.name}', found {len(inputs.value)}"
        )
        faults.add("LR106", path, message, inputs)
    return list(zip(arguments, inputs.value, range(len(arguments)), repeat(None), strict=False))


def _by_name(inputs: Node, path: ConfigPath, key: Span, loss: Loss, faults: Faults) -> list[_Bound]:
    arguments = loss.arguments
    unknown = [name for name in inputs.value if name not in arguments][: MOST_FAULTS + 1]
    missing = [name for name in loss.required if name not in inputs.value]
    if unknown:
        inputs, missing = _as_meant(inputs, path, loss, unknown, faults)
    for name in missing:
        message = f"the input '{name}' of '{loss.definition.name}' is missing"
        faults.add("LR102", path, message, key)
    values, keys = inputs.value, inputs.keys
    return [(name, values[name], name, keys[name]) for name in arguments if name in values]


def _as_meant(
    inputs: Node, path: ConfigPath, loss: Loss, unknown: list[str], faults: Faults
) -> tuple[Node, list[str]]:
    """The inputs as probably meant, after noting the unknown ones; and the missing arguments."""
    definition, arguments = loss.definition, loss.arguments
    astray = {}
    for name in unknown:
        stem, _ = missing_space(name)
        if stem in definition.config.model_fields:
            astray[name] = "it is a parameter: move it under 'params'"
        elif stem in TERM.keys and closest(stem, arguments) is None:
            astray[name] = "it is a key of the term: move it one level up"
    guesses = Guesses(inputs, arguments, astray=astray)
    written = guesses.written
    missing = [name for name in loss.required if name not in inputs.value and name not in written]
    strange = [name for name in unknown if name not in astray and name not in written.values()]
    if len(missing) == len(strange) == 1:
        written[missing.pop()] = strange[0]
    what, otherwise = f"unknown input of '{definition.name}'", f"it has {', '.join(arguments)}"
    guesses.note(unknown, path, faults, code="LR106", what=what, otherwise=otherwise)
    return guesses.applied(path, faults), missing
