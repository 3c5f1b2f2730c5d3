"""Runs paths and transforms: from a step's values to the tensors that a loss is called with."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lossreg.errors import InputError
from lossreg.names import closest
from lossreg.vocabulary.paths import ValuePath
from lossreg.vocabulary.routes import Route
from lossreg.vocabulary.transforms import TRANSFORMS

__all__ = ["MissingTensorError", "Router", "find", "follow"]

# A constant of Python: torch 2.6 does not trace `is` between a number and any other object.
_MISSING = ...
# Tuples: torch 2.6 does not trace `isinstance` of a union.
_SEQUENCES = (list, tuple)
_WITH_PLACES = (Tensor, *_SEQUENCES)
_MOST_KEYS_SHOWN = 20
_PAIR = 2  # dimensions
# What classes raise for a missing name, or if they take no names.
_LOOKUP_FAILURES = (
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    NotImplementedError,
    AssertionError,
)


class MissingTensorError(InputError):
    """A path leads to nothing in a step's values."""


def find(values: Any, path: ValuePath, *, term: str, argument: str) -> Any:
    """The value at a path.

    Args:
        values: The step's values: anything with `[]` or attributes, nested.
        path: The path.
        term: The term that needs it, for the error.
        argument: The argument that it becomes, for the error.

    Raises:
        InputError: The path leads to nothing.
    """
    value = values
    for index, step in enumerate(path.steps):
        child = _step(value, step)
        if child is _MISSING:
            _refuse(value, path, index, term=term, argument=argument)
        value = child
    return value


def follow(values: Any, path: ValuePath, *, term: str, argument: str) -> Tensor:
    """The tensor at a path; as `find`.

    Raises:
        InputError: The path leads to nothing, or to something that is not a tensor.
    """
    value = find(values, path, term=term, argument=argument)
    if not isinstance(value, Tensor):
        raise _not_a_tensor(value, path, term=term, argument=argument)
    return value


def _not_a_tensor(value: Any, path: ValuePath, *, term: str, argument: str) -> InputError:
    return InputError(
        f"term '{term}', input '{argument}': expected a tensor at '{path}', found {_shown(value)}",
        term=term,
        argument=argument,
        path=str(path),
    )


def _step(value: Any, step: str | int) -> Any:
    """The value one step further, or `_MISSING`.

    torch.compile guards on `in`, a length and `hasattr`, but not on an error that was caught: after
    one batch without a value, a graph would treat it as missing in every batch.
    """
    if isinstance(step, int):
        return _at_index(value, step)
    if isinstance(value, Mapping):
        # `in` first, because a defaultdict's lookup adds the key. Not `get`, which a mapping may
        # have overridden.
        return value[step] if step in value else _MISSING  # noqa: SIM401
    # A tensor's attributes (`grad`, `T`, `shape`) are not part of a step's values.
    if isinstance(value, Tensor):
        return _MISSING
    return _at_name(value, step)


def _at_index(value: Any, step: int) -> Any:
    if isinstance(value, _WITH_PLACES):
        size = 0 if isinstance(value, Tensor) and not value.dim() else len(value)
        return value[step] if -size <= step < size else _MISSING
    makes_up = hasattr(type(value), "__missing__")
    if (makes_up or isinstance(value, dict)) and step in value:
        return value[step]
    # Some mappings (Hugging Face's outputs) have indices as well as keys.
    if makes_up or type(value) is dict:
        return _MISSING
    try:
        return value[step]
    except _LOOKUP_FAILURES:
        return _MISSING


def _at_name(value: Any, step: str) -> Any:
    fault: Exception | None = None
    if hasattr(type(value), "__getitem__") and not isinstance(value, _SEQUENCES):
        try:
            return value[step]
        except Exception as error:  # noqa: BLE001 - what a class raises for a name is its own choice
            fault = error
    # Through `__class__` a config could reach everything that the process has loaded.
    child = _MISSING if step.startswith("_") else getattr(value, step, _MISSING)
    if child is _MISSING and fault is not None and not isinstance(fault, _LOOKUP_FAILURES):
        raise fault
    return child


def _refuse(value: Any, path: ValuePath, index: int, *, term: str, argument: str) -> None:
    parent = str(ValuePath(path.steps[:index])) if index else ""
    where = f"under '{parent}'" if parent else "among the values"
    step = path.steps[index]
    names = _names(value)
    wanted = f"[{step}]" if isinstance(step, int) else f"'{step}'"
    message = f"term '{term}', input '{argument}' (path '{path}'): there is no {wanted} {where}"
    if names:
        shown = ", ".join(f"{name} {_shown_at(value, name)}" for name in names[:_MOST_KEYS_SHOWN])
        more = ", …" if len(names) > _MOST_KEYS_SHOWN else ""
        message += f"; there is: {shown}{more}"
    else:
        message += f"; it is {_shown(value)}" if index else "; there are none"
    remedy = _remedy(value, step, parent, names) if isinstance(step, str) else ""
    raise MissingTensorError(message + remedy, term=term, argument=argument, path=str(path))


def _remedy(value: Any, step: str, parent: str, names: list[str]) -> str:
    """What to write instead of a key that is not there."""
    if step.isascii() and step.isdigit() and isinstance(value, _WITH_PLACES):
        return f". Write '{parent}[{step}]'"
    inner, keys = value, step.split("/")
    for key in keys:
        inner = _MISSING if inner is _MISSING else _step(inner, key)
    if len(keys) > 1 and inner is not _MISSING:
        return f". Write '{'.'.join(filter(None, (parent, *keys)))}'"
    spelt = unicodedata.normalize("NFC", step)
    for name in names:
        if name != step and unicodedata.normalize("NFC", name) == spelt:
            return f". The two names look alike: {step!a} is asked for, {name!a} is there"
    meant = closest(step, names)
    return f". Did you mean '{meant}'?" if meant else ""


def _names(value: Any) -> list[str]:
    if isinstance(value, Tensor):
        return []
    keys = getattr(value, "keys", None)
    if callable(keys):
        with contextlib.suppress(Exception):  # a method called `keys` may do anything
            return [key for key in keys() if isinstance(key, str)]
    # A NamedTuple, or a dataclass with slots, has no __dict__.
    declared: Iterable[str] = getattr(value, "_fields", ()) or getattr(
        value, "__dataclass_fields__", ()
    )
    names = dict.fromkeys([*declared, *getattr(value, "__dict__", ())])
    return [name for name in names if not name.startswith("_")]


def _shown_at(value: Any, name: str) -> str:
    try:
        return _shown(_step(value, name))
    except Exception as error:  # noqa: BLE001 - an object's fault must not replace the message
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
    """One tensor to find: at a path, or made from another tensor by a transform."""

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
    """Finds every tensor that a composite's terms need, each distinct one once."""

    def __init__(self) -> None:
        self._stops: list[_Stop] = []
        self._index: dict[ValuePath | str, int] = {}

    def add(self, route: Route, term: str, argument: str, optional: bool) -> int:
        """Plan for one more tensor.

        Args:
            route: Where it comes from.
            term: The term that needs it, for errors.
            argument: The argument that it becomes, for errors.
            optional: Whether it may be missing.

        Returns:
            Its place in the list that `run` returns.
        """
        parent = None
        if route.transforms:
            shorter = Route(route.path, route.transforms[:-1])
            parent = self.add(shorter, term, argument, optional)
        # By its text: routes with 2 and 2.0 compare as equal, but can give different dtypes.
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
        """One tensor by its place, without looking up the others; as `run`."""
        stop = self._stops[place]
        if stop.parent is None:
            return _looked_up(values, stop)
        before = self.get(values, stop.parent)
        return None if before is None else _transformed(stop, before)

    def peek(self, values: Any, place: int) -> Any:
        """The value at the path of one tensor, before any transform; None if it is missing."""
        value = values
        for step in self._stops[place].path.steps:
            value = _step(value, step)
            if value is _MISSING:
                return None
        return value

    def absence(self, values: Any, place: int, *, term: str, argument: str) -> str:
        """Say why a tensor is missing; arguments as for `find`."""
        path = self._stops[place].path
        try:
            find(values, path, term=term, argument=argument)
        except MissingTensorError as error:
            return str(error)
        return f"term '{term}', input '{argument}' (path '{path}'): the value at this path is None"

    def run(self, values: Any) -> list[Tensor | None]:
        """Every tensor, in the order of `add`; None for an optional one that is missing.

        Raises:
            InputError: A tensor is missing, a value is not a tensor, or a transform failed.
        """
        tensors: list[Tensor | None] = []
        is_dict = isinstance(values, dict)
        for stop in self._stops:
            if stop.parent is not None:
                before = tensors[stop.parent]
                tensors.append(None if before is None else _transformed(stop, before))
                continue
            value, key = None, stop.key
            if is_dict and key is not None and key in values:
                value = values[key]
            tensors.append(value if isinstance(value, Tensor) else _looked_up(values, stop))
        return tensors


def _looked_up(values: Any, stop: _Stop) -> Tensor | None:
    if not stop.optional:
        return follow(values, stop.path, term=stop.term, argument=stop.argument)
    value = values
    for step in stop.path.steps:
        value = _step(value, step)
        if value is _MISSING:
            return None
    # A model may leave out what it did not compute, or return None for it.
    if value is None or isinstance(value, Tensor):
        return value
    raise _not_a_tensor(value, stop.path, term=stop.term, argument=stop.argument)


def _with_classes_second(tensor: Tensor, dim: int, floats_only: bool) -> Tensor:
    # A single example has its classes first, and nothing else.
    if tensor.dim() < _PAIR or (floats_only and not tensor.is_floating_point()):
        return tensor
    # torch's log_softmax copies it anyway, and its nll_loss2d has no gradient for a mere view.
    return tensor.movedim(dim, 1).contiguous()


def _transformed(stop: _Stop, tensor: Tensor) -> Tensor:
    try:
        if stop.transform == "class_dim":  # a key of terms, not a word under `apply`
            return _with_classes_second(tensor, *stop.values)
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
