"""Runs paths and transforms: from a step's values to the tensors that a loss is called with."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lossreg.errors import InputError
from lossreg.runtime.derived import DerivedNames
from lossreg.runtime.lookup import (
    MISSING,
    SEQUENCES,
    MissingTensorError,
    child,
    find,
    follow,
    not_a_tensor,
    shown,
)
from lossreg.runtime.numbers import Numbers
from lossreg.vocabulary.routes import Route, is_schedule
from lossreg.vocabulary.transforms import definition_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lossreg.vocabulary.paths import ValuePath

__all__ = ["MissingTensorError", "Router", "find", "follow", "follows"]

_SINGLE = 4  # bytes


def follows(route: Route) -> bool:
    """Whether the result's dtype depends on the tensor that it meets."""
    return any(definition_of(name).follows for name, _ in route.transforms)


class _Stop:
    """One tensor, or list of tensors, to find: at a path, or made from another by a transform.

    Attributes:
        route: How it is found.
        parent: The place of the stop that its transform is applied to; None at a path.
        term: The term that needs it, for errors.
        argument: The argument that it becomes, for errors.
        optional: Whether it may be missing.
        path: Where the search begins.
        key: The path, if it is one name.
        holds: What is expected at the path: a `tensor`, a `list` of tensors or a `number`.
        operands: By argument of the transform, the place of its tensor.
        numbers: By argument of the transform, the place of its schedule's number.
        values: The transform's arguments; those that are operands or numbers are filled in.
        like: The place of the tensor whose dtype the result follows; None if there is none.
        follows: Whether the transform follows a dtype.
    """

    __slots__ = (
        "argument",
        "follows",
        "holds",
        "key",
        "like",
        "numbers",
        "operands",
        "optional",
        "parent",
        "path",
        "route",
        "term",
        "transform",
        "values",
    )

    def __init__(self, route: Route, term: str, argument: str) -> None:
        self.route = route
        self.parent: int | None = None
        self.term = term
        self.argument = argument
        self.optional = True
        self.path = route.path
        self.holds = "tensor"
        self.operands: list[tuple[int, int]] = []
        self.numbers: list[tuple[int, int]] = []
        self.like: int | None = None
        self.follows = False
        steps = route.path.steps
        # Most paths are one name, and looking that up needs no loop.
        self.key = steps[0] if len(steps) == 1 and isinstance(steps[0], str) else None
        self.transform, arguments = route.transforms[-1] if route.transforms else ("", ())
        self.values = tuple(value for _, value in arguments)


class Router:
    """Finds every tensor that a composite's terms need, each distinct one once.

    Args:
        numbers: The current numbers of schedules in transforms; none by default.
        derived: The names that messages show instead of their routes; none by default.
    """

    def __init__(self, numbers: Numbers | None = None, derived: DerivedNames | None = None) -> None:
        self.derived = DerivedNames() if derived is None else derived
        self._numbers = Numbers() if numbers is None else numbers
        self._stops: list[_Stop] = []
        self._index: dict[ValuePath | str, int] = {}
        # By term: each place that it needs, for which argument, and whether it may be missing.
        self._needs: dict[str, list[tuple[int, str, bool]]] = {}
        # By place what is looked up: all, or what some of the terms need, with None for the rest.
        # A graph is compiled for each list, so it is made once for the same terms. All have one
        # length: torch 2.6 makes a symbol of a number that differs at the same place of a list.
        self._current: Sequence[_Stop | None] = self._stops
        self._narrowed: dict[tuple[str, ...], Sequence[_Stop | None]] = {}

    def add(
        self,
        route: Route,
        term: str,
        argument: str,
        optional: bool,
        *,
        like: int | None = None,
        holds: str = "tensor",
    ) -> int:
        """Plan for one more tensor.

        Args:
            route: Where it comes from.
            term: The term that needs it, for errors.
            argument: The argument that it becomes, for errors.
            optional: Whether it may be missing.
            like: The place of the tensor that it meets, for transforms that follow a dtype.
            holds: What is expected: a `tensor`, a `list` of tensors or a `number`.

        Returns:
            Its place in the list that `run` returns.
        """
        return self._add(route, (term, argument, optional), like, holds=holds)

    def _add(
        self, route: Route, need: tuple[str, str, bool], like: int | None, *, holds: str
    ) -> int:
        term, argument, optional = need
        # By its text: routes with 2 and 2.0 compare as equal, but can give different dtypes.
        key = str(route) if route.transforms else route.path
        stop = _Stop(route, term, argument)
        if route.transforms:
            *before, last = route.transforms
            definition = definition_of(last.name)
            shorter = Route(route.path, tuple(before))
            stop.parent = self._add(shorter, need, like, holds=definition.takes)
            # What is looked up for an argument meets the tensor before the transform.
            stop.operands = [
                (index, self._add(value, need, stop.parent, holds="tensor"))
                for index, value in enumerate(stop.values)
                if isinstance(value, Route)
            ]
            if follows(route):
                key = f"{key} like {like}"
            stop.follows = definition.follows
            stop.like = like if definition.follows else None
        elif holds != "tensor":
            stop.holds, key = holds, f"a {holds} at {key}"  # a path has no blanks
        place = self._index.get(key)
        if place is None:
            place = self._index[key] = len(self._stops)
            stop.numbers = [
                (index, self._numbers.place(value))
                for index, value in enumerate(stop.values)
                if is_schedule(value)
            ]
            self._stops.append(stop)
        self._needs.setdefault(term, []).append((place, argument, optional))
        stop = self._stops[place]
        if stop.optional and not optional:
            stop.optional, stop.term, stop.argument = False, term, argument
        return place

    def narrow(self, terms: tuple[str, ...]) -> None:
        """Look up only what some of the terms need, and as they need it.

        Args:
            terms: Their names.
        """
        if terms not in self._narrowed:
            self._narrowed[terms] = self._needed(terms)
        self._current = self._narrowed[terms]

    def _needed(self, terms: tuple[str, ...]) -> list[_Stop | None]:
        """By place the stops that these terms need."""
        needs: dict[int, tuple[str, str, bool]] = {}
        for term in terms:
            for place, argument, optional in self._needs.get(term, ()):
                if place not in needs or (needs[place][2] and not optional):
                    needs[place] = (term, argument, optional)
        stops: list[_Stop | None] = [None] * len(self._stops)
        for place, (term, argument, optional) in needs.items():
            stop = stops[place] = copy(self._stops[place])
            stop.term, stop.argument, stop.optional = term, argument, optional
        return stops

    def _at_place(self, place: int) -> _Stop:
        return self._current[place] or self._stops[place]

    def get(self, values: Any, place: int) -> Any:
        """One tensor by its place, without looking up the others; as `run`."""
        stop = self._at_place(place)
        if stop.parent is None:
            return _looked_up(values, stop)
        before = self.get(values, stop.parent)
        operands = [self.get(values, operand) for _, operand in stop.operands]
        return self._transformed(stop, before, operands, None)

    def peek(self, values: Any, place: int) -> Any:
        """The value at the path of one tensor, before any transform.

        None if it is missing, or if a tensor is that one of its transforms needs.
        """
        found = [self._at(values, stop.path) for stop in self._sources(place)]
        return None if any(value is None for value in found) else found[0]

    def _sources(self, place: int) -> list[_Stop]:
        """The paths that a tensor is made from, its own first."""
        stop = self._stops[place]
        if stop.parent is None:
            return [stop]
        sources = self._sources(stop.parent)
        for _, operand in stop.operands:
            sources += self._sources(operand)
        return sources

    @staticmethod
    def _at(values: Any, path: ValuePath) -> Any:
        value = values
        for step in path.steps:
            value = child(value, step)
            if value is MISSING:
                return None
        return value

    def absence(self, values: Any, place: int, *, term: str, argument: str) -> str:
        """Say why a tensor is missing; arguments as for `find`."""
        paths = [stop.path for stop in self._sources(place)]
        path = next((path for path in paths if self._at(values, path) is None), paths[0])
        try:
            find(values, path, term=term, argument=argument)
        except MissingTensorError as error:
            return str(error)
        return f"term '{term}', input '{argument}' (path '{path}'): the value at this path is None"

    def run(self, values: Any) -> list[Any]:
        """Every tensor or list of tensors, in the order of `add`.

        None for a missing optional one, and for what the terms do not need at the moment.

        Raises:
            InputError: A tensor is missing, a value is not a tensor, or a transform failed.
        """
        tensors: list[Any] = []
        is_dict = isinstance(values, dict)
        for stop in self._current:
            if stop is None:
                tensors.append(None)
                continue
            if stop.parent is not None:
                operands = [tensors[place] for _, place in stop.operands]
                like = None if stop.like is None else tensors[stop.like]
                tensors.append(self._transformed(stop, tensors[stop.parent], operands, like))
                continue
            value, key = None, stop.key
            if is_dict and key is not None and key in values and stop.holds != "list":
                value = values[key]
            tensors.append(value if isinstance(value, Tensor) else _looked_up(values, stop))
        return tensors

    def _transformed(self, stop: _Stop, before: Any, operands: list[Any], like: Any) -> Any:
        """The result of a stop's transform; None if something that it needs is missing.

        Args:
            stop: The stop.
            before: The tensor or list that the transform is applied to.
            operands: The tensors of its arguments.
            like: The tensor whose dtype the result follows.

        Raises:
            InputError: The transform failed.
        """
        if before is None:
            return None
        filled = list(stop.values)
        if operands or stop.numbers or stop.follows:
            for (index, _), operand in zip(stop.operands, operands):  # noqa: B905 - for torch 2.6
                if operand is None:
                    return None
                filled[index] = operand
            for index, place in stop.numbers:
                filled[index] = self._numbers.beside(before, place)
            if stop.follows:
                floats = isinstance(like, Tensor) and like.is_floating_point()
                filled.append(like.dtype if floats else None)
        try:
            run = definition_of(stop.transform).run
            if stop.numbers and before.is_floating_point() and before.dtype.itemsize < _SINGLE:
                # A number that is a tensor would be rounded to half precision before it is used.
                result = run(before.float(), *filled)
                return result.to(before.dtype) if result.is_floating_point() else result
            return run(before, *filled)
        except torch.OutOfMemoryError:
            raise  # a RuntimeError, but not for the tensor's reason
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise _failed(stop, self.derived.shown(stop.route), before, error) from error


def _looked_up(values: Any, stop: _Stop) -> Any:
    term, argument = stop.term, stop.argument
    if not stop.optional and stop.holds == "tensor":
        return follow(values, stop.path, term=term, argument=argument)
    if not stop.optional:
        value = find(values, stop.path, term=term, argument=argument)
    else:
        value = values
        for step in stop.path.steps:
            value = child(value, step)
            if value is MISSING:
                return None
        # A model may leave out what it did not compute, or return None for it.
        if value is None:
            return None
    if stop.holds == "list":
        _check_list(value, stop)
    elif stop.holds == "number":
        _check_number(value, stop)
    elif not isinstance(value, Tensor):
        raise not_a_tensor(value, stop.path, term=term, argument=argument)
    return value


def _check_number(value: Any, stop: _Stop) -> None:
    # A tuple: torch 2.6 does not trace `isinstance` of a union.
    if isinstance(value, Tensor) or (
        isinstance(value, (int, float)) and not isinstance(value, bool)
    ):
        return
    raise InputError(
        f"term '{stop.term}', input '{stop.argument}': expected a number at '{stop.path}', found "
        f"{shown(value)}",
        term=stop.term,
        argument=stop.argument,
        path=str(stop.path),
    )


def _check_list(value: Any, stop: _Stop) -> None:
    found = shown(value)
    if isinstance(value, SEQUENCES):
        if len(value) and all(isinstance(element, Tensor) for element in value):
            return
        others = [element for element in value if not isinstance(element, Tensor)]
        found += f" with {shown(others[0])} in it" if others else ""
    raise InputError(
        f"term '{stop.term}', input '{stop.argument}': expected a list of tensors at "
        f"'{stop.path}', found {found}",
        term=stop.term,
        argument=stop.argument,
        path=str(stop.path),
    )


def _failed(stop: _Stop, route: str, before: Any, error: Exception) -> InputError:
    reason = str(error).strip().partition("\n")[0]
    is_tensor = isinstance(before, Tensor)
    what = f"{tuple(before.shape)} {before.dtype}" if is_tensor else shown(before)
    return InputError(
        f"term '{stop.term}', input '{stop.argument}' (path '{route}'): "
        f"'{stop.transform}' of {what} failed: {reason}",
        term=stop.term,
        argument=stop.argument,
        path=route,
    )
