"""What reads a path of the step: each argument of each term, for every element of `each`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from lossreg.errors import InputError
from lossreg.runtime.lookup import MISSING, SEQUENCES, child
from lossreg.runtime.numbers import Numbers
from lossreg.runtime.plan import seen
from lossreg.runtime.routing import Router
from lossreg.vocabulary.paths import ValuePath
from lossreg.vocabulary.routes import Route, Transform
from lossreg.vocabulary.transforms import definition_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lossreg.config.models import Each, TermConfig

__all__ = ["Reading", "at_path", "readings", "result_of"]

# How many elements a list gets in the words that are suggested.
_SUGGESTED = 2


class Reading(NamedTuple):
    """A tensor that one argument of a term is made from.

    Attributes:
        term: The term.
        argument: The argument of its loss, `mask`, `sample_weight`, `divide_by`, `weight`, or
            `each` for a list.
        route: Where it is in the step's values, also for an element of `each`.
        element: Which element of `each` it belongs to.
    """

    term: TermConfig
    argument: str
    route: Route
    element: int = 0


def readings(term: TermConfig, values: Any) -> list[Reading]:
    """Every reading of a term.

    Args:
        term: The term.
        values: The step's values, which say how many elements lists have; a list that is not there
            counts as one of a few elements.
    """
    divisor = None if term.divide_by is None else term.divide_by.route
    routes: list[tuple[str, Route | None]] = [
        *_of_inputs(term, values),
        ("mask", term.mask),
        ("sample_weight", term.sample_weight),
        ("divide_by", divisor),
        *(("weight", route) for route in term.weight.routes),
    ]
    present = [(argument, route) for argument, route in routes if route is not None]
    if term.each is None:
        return [Reading(term, argument, route) for argument, route in present]
    found = [Reading(term, "each", route) for route in term.each.routes]
    for index, names in enumerate(_elements(term.each, values)):
        found += [
            Reading(term, argument, _resolved(route, names), index) for argument, route in present
        ]
    return found


def _of_inputs(term: TermConfig, values: Any) -> Iterator[tuple[str, Route]]:
    """Each argument with its route; one that is a list at a path, with those of its tensors."""
    for argument in term.inputs:
        route = seen(term, argument)
        before = route.transforms[:1]
        is_list = term.definition.input(argument).holds == "list"
        if is_list and all(definition_of(transform.name).takes == "list" for transform in before):
            for element in _inside(Route(route.path), values):
                detached = (Transform("detach"),) * len(route.transforms)
                yield argument, element._replace(transforms=detached)
        else:
            yield argument, route


def _resolved(route: Route, names: Mapping[str, Route]) -> Route:
    """A route of an element as a route of the step."""
    route = route.with_operands(lambda operand: _resolved(operand, names))
    first, *rest = route.path.steps
    if first not in names:
        return route
    element = names[str(first)]
    path = ValuePath((*element.path.steps, *rest))
    return route._replace(path=path, transforms=element.transforms + route.transforms)


def _elements(each: Each, values: Any) -> list[dict[str, Route]]:
    """For each element, the route of what stands at each name of `over`."""
    lists = {}
    for name, source in each.over.items():
        part = slice(None) if each.pick is None else slice(*each.pick[name])
        if isinstance(source, Route):
            lists[name] = list(_listed(source, each.nested, values, part))
        else:
            routes = list(source)
            for _ in range(each.nested - 1):
                routes = [inner for route in routes for inner in _listed(route, 1, values, part)]
            lists[name] = routes
    return [dict(zip(lists, routes, strict=True)) for routes in zip(*lists.values(), strict=False)]


def _listed(route: Route, levels: int, values: Any, part: slice) -> Iterator[Route]:
    for element in _inside(route, values)[part if levels == 1 else slice(None)]:
        if levels > 1:
            yield from _listed(element, levels - 1, values, part)
        else:
            yield element


def _inside(route: Route, values: Any) -> list[Route]:
    """The routes of the elements of one list or mapping."""
    if route.transforms:
        *before, last = route.transforms
        if last.name != "unbind":
            return []
        whole = result_of(Route(route.path, tuple(before)), values)
        dim = dict(last.arguments)["dim"]
        fits = whole is not None and -whole.dim() <= dim < whole.dim()
        count = whole.shape[dim] if whole is not None and fits else _SUGGESTED
        picks = (Transform("select", (("index", index), ("dim", dim))) for index in range(count))
        return [Route(route.path, (*before, pick)) for pick in picks]
    container = at_path(values, route.path)
    keys: list[str | int] = []
    if container is MISSING:
        keys = list(range(_SUGGESTED))
    elif isinstance(container, dict):
        keys = list(container)
    elif isinstance(container, SEQUENCES):
        keys = list(range(len(container)))
    return [Route(ValuePath((*route.path.steps, key))) for key in keys]


def at_path(values: Any, path: ValuePath) -> Any:
    """What is at a path; `MISSING` if nothing is."""
    for step in path.steps:
        values = child(values, step)
        if values is MISSING or values is None:
            return MISSING
    return values


def result_of(route: Route, values: Any) -> Tensor | None:
    """The tensor that a route gives; None where it gives none."""
    router = Router(Numbers(route.schedules))
    place = router.add(route, "", "", optional=False)
    try:
        result = router.get(values, place)
    except InputError:  # the run reports it
        return None
    return result if isinstance(result, Tensor) else None
