"""Running paths and transforms: from a step's values to the tensors a loss is called with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lossreg.errors import InputError
from lossreg.names import closest
from lossreg.vocabulary.paths import Path
from lossreg.vocabulary.routes import Route
from lossreg.vocabulary.transforms import TRANSFORMS

__all__ = ["MissingTensorError", "Router", "find", "follow"]

# A constant of Python: torch 2.6 does not trace `is` between a number and any other object.
_MISSING = ...
# Tuples: torch 2.6 does not trace `isinstance` of a union.
_SEQUENCES = (list, tuple)
_WITH_PLACES = (Tensor, *_SEQUENCES)
_MOST_KEYS_SHOWN = 20
# What classes raise for a name that they do not have, or where they take no names at all.
_NOTHING_THERE = (
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    NotImplementedError,
    AssertionError,
)


class MissingTensorError(InputError):
    """There is nothing at a path."""


def find(values: Any, path: Path, *, term: str, argument: str) -> Any:
    """What is at a path.

    Args:
        values: The step's values: anything with `[]` or attributes, nested.
        path: Where to look.
        term: For whom, for the error.
        argument: As what, for the error.

    Raises:
        InputError: There is nothing there.
    """
    here = values
    for index, step in enumerate(path.steps):
        found = _step(here, step)
        if found is _MISSING:
            _refuse(here, path, index, term=term, argument=argument)
        here = found
    return here


def follow(values: Any, path: Path, *, term: str, argument: str) -> Tensor:
    """The tensor at a path; as `find`.

    Raises:
        InputError: There is nothing there, or it is no tensor.
    """
    here = find(values, path, term=term, argument=argument)
    if not isinstance(here, Tensor):
        raise _not_a_tensor(here, path, term=term, argument=argument)
    return here


def _not_a_tensor(here: Any, path: Path, *, term: str, argument: str) -> InputError:
    return InputError(
        f"term '{term}', input '{argument}': expected a tensor at '{path}', found {_shown(here)}",
        term=term,
        argument=argument,
        path=str(path),
    )


def _step(here: Any, step: str | int) -> Any:
    """What is one step further, or `_MISSING`.

    torch.compile guards on what it was asked (`in`, a length, `hasattr`), but not on an error that
    was caught: a graph would take for missing for ever what one batch lacked.
    """
    if isinstance(step, int):
        return _at_index(here, step)
    if isinstance(here, Mapping):
        # Asked first, for looking a key up may put it there: a defaultdict's. And `in` it is, not
        # `get`, which a mapping may have overridden.
        return here[step] if step in here else _MISSING  # noqa: SIM401
    # A tensor's attributes (`grad`, `T`, `shape`) are no part of a step's values.
    if isinstance(here, Tensor):
        return _MISSING
    return _at_name(here, step)


def _at_index(here: Any, step: int) -> Any:
    if isinstance(here, _WITH_PLACES):
        size = 0 if isinstance(here, Tensor) and not here.dim() else len(here)
        return here[step] if -size <= step < size else _MISSING
    makes_up = hasattr(type(here), "__missing__")
    if (makes_up or isinstance(here, dict)) and step in here:
        return here[step]
    # Some mappings (Hugging Face's outputs) have places as well as keys.
    if makes_up or type(here) is dict:
        return _MISSING
    try:
        return here[step]
    except _NOTHING_THERE:
        return _MISSING


def _at_name(here: Any, step: str) -> Any:
    fault: Exception | None = None
    if hasattr(type(here), "__getitem__") and not isinstance(here, _SEQUENCES):
        try:
            return here[step]
        except Exception as error:  # noqa: BLE001 - what a class raises for a name is its own choice
            fault = error
    # From `__class__` a config could reach whatever the process has loaded.
    found = _MISSING if step.startswith("_") else getattr(here, step, _MISSING)
    if found is _MISSING and fault is not None and not isinstance(fault, _NOTHING_THERE):
        raise fault
    return found


def _refuse(here: Any, path: Path, index: int, *, term: str, argument: str) -> None:
    parent = str(Path(path.steps[:index])) if index else ""
    where = f"under '{parent}'" if parent else "among the values"
    step = path.steps[index]
    names = _names(here)
    wanted = f"[{step}]" if isinstance(step, int) else f"'{step}'"
    message = f"term '{term}', input '{argument}' (path '{path}'): there is no {wanted} {where}"
    if names:
        shown = ", ".join(f"{name} {_shown_at(here, name)}" for name in names[:_MOST_KEYS_SHOWN])
        more = ", …" if len(names) > _MOST_KEYS_SHOWN else ""
        message += f"; there is: {shown}{more}"
    else:
        message += f"; it is {_shown(here)}" if index else "; there are none"
    meant = closest(step, names)
    if meant:
        message += f". Did you mean '{meant}'?"
    raise MissingTensorError(message, term=term, argument=argument, path=str(path))


def _names(here: Any) -> list[str]:
    if isinstance(here, Tensor):
        return []
    keys = getattr(here, "keys", None)
    if callable(keys):
        with contextlib.suppress(Exception):  # it may mean something else there
            return [key for key in keys() if isinstance(key, str)]
    # A NamedTuple, or a dataclass with slots, has no __dict__.
    declared: Iterable[str] = getattr(here, "_fields", ()) or getattr(
        here, "__dataclass_fields__", ()
    )
    names = dict.fromkeys([*declared, *getattr(here, "__dict__", ())])
    return [name for name in names if not name.startswith("_")]


def _shown_at(here: Any, name: str) -> str:
    try:
        return _shown(_step(here, name))
    except Exception as error:  # noqa: BLE001 - a message must not end in an object's own fault
        return f"(reading it raises {type(error).__name__})"


def _shown(value: Any) -> str:
    """A value's shape, length or type."""
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    if isinstance(value, Mapping):
        return f"a mapping of {len(value)}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


class _Stop:
    """One tensor to find: at a path, or made from another one by a transform."""

    __slots__ = (
        "argument",
        "key",
        "optional",
        "parent",
        "path",
        "route",
        "term",
        "transform",
        "values",
    )

    def __init__(self, route: Route, parent: int | None, term: str, argument: str) -> None:
        self.route = route
        self.parent = parent
        self.term = term
        self.argument = argument
        self.optional = True
        self.path = route.path
        steps = route.path.steps
        # Most paths are one name, and looking that up needs no loop.
        self.key = steps[0] if len(steps) == 1 and isinstance(steps[0], str) else None
        self.transform, arguments = route.transforms[-1] if route.transforms else ("", ())
        self.values = tuple(value for _, value in arguments)


class Router:
    """Finds every tensor that a composite's terms want, each distinct one once."""

    def __init__(self) -> None:
        self._stops: list[_Stop] = []
        self._index: dict[Path | str, int] = {}

    def add(self, route: Route, term: str, argument: str, optional: bool) -> int:
        """Plan for one more tensor.

        Args:
            route: Where it comes from.
            term: For whom, for errors.
            argument: As what, for errors.
            optional: Whether it may be missing.

        Returns:
            Its place in the list that `run` gives.
        """
        parent = None
        if route.transforms:
            shorter = Route(route.path, route.transforms[:-1])
            parent = self.add(shorter, term, argument, optional)
        # By its text: routes that differ in 2 and 2.0 are equal, but integers divided are not.
        key = str(route) if route.transforms else route.path
        index = self._index.get(key)
        if index is None:
            index = self._index[key] = len(self._stops)
            self._stops.append(_Stop(route, parent, term, argument))
        stop = self._stops[index]
        if stop.optional and not optional:
            stop.optional, stop.term, stop.argument = False, term, argument
        return index

    def get(self, values: Any, place: int) -> Tensor | None:
        """One tensor by its place, whatever the others are; as `run`."""
        stop = self._stops[place]
        if stop.parent is None:
            return _looked_up(values, stop)
        before = self.get(values, stop.parent)
        return None if before is None else _transformed(stop, before)

    def peek(self, values: Any, place: int) -> Any:
        """What is at the path of one tensor, before any transform; None for nothing."""
        here = values
        for step in self._stops[place].path.steps:
            here = _step(here, step)
            if here is _MISSING:
                return None
        return here

    def absence(self, values: Any, place: int, *, term: str, argument: str) -> str:
        """Why there is no tensor at a place; as `find` for the rest."""
        path = self._stops[place].path
        try:
            find(values, path, term=term, argument=argument)
        except MissingTensorError as error:
            return str(error)
        return f"term '{term}', input '{argument}' (path '{path}'): what is there is None"

    def run(self, values: Any) -> list[Tensor | None]:
        """Every tensor, in the order of planning; None for a missing one that is optional.

        Raises:
            InputError: A tensor is missing, is none, or a transform failed.
        """
        found: list[Tensor | None] = []
        is_dict = isinstance(values, dict)
        for stop in self._stops:
            if stop.parent is not None:
                before = found[stop.parent]
                found.append(None if before is None else _transformed(stop, before))
                continue
            here, key = None, stop.key
            if is_dict and key is not None and key in values:
                here = values[key]
            found.append(here if isinstance(here, Tensor) else _looked_up(values, stop))
        return found


def _looked_up(values: Any, stop: _Stop) -> Tensor | None:
    if not stop.optional:
        return follow(values, stop.path, term=stop.term, argument=stop.argument)
    here = values
    for step in stop.path.steps:
        here = _step(here, step)
        if here is _MISSING:
            return None
    # What a model did not compute it may leave out, or give as None.
    if here is None or isinstance(here, Tensor):
        return here
    raise _not_a_tensor(here, stop.path, term=stop.term, argument=stop.argument)


def _transformed(stop: _Stop, tensor: Tensor) -> Tensor:
    try:
        return TRANSFORMS[stop.transform].run(tensor, *stop.values)
    except torch.OutOfMemoryError:
        raise  # a RuntimeError, but not for the tensor's reason
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"term '{stop.term}', input '{stop.argument}' (path '{stop.route}'): "
            f"'{stop.transform}' of {tuple(tensor.shape)} {tensor.dtype} failed: {reason}",
            term=stop.term,
            argument=stop.argument,
            path=str(stop.route),
        ) from error
