"""Follows paths into a step's values, and says what is there instead."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from lossreg.errors import InputError
from lossreg.names import closest
from lossreg.vocabulary.paths import ValuePath

__all__ = [
    "MISSING",
    "SEQUENCES",
    "MissingTensorError",
    "child",
    "find",
    "follow",
    "not_a_tensor",
    "shown",
]

# A constant of Python: torch 2.6 does not trace `is` between a number and any other object.
MISSING = ...
# Tuples: torch 2.6 does not trace `isinstance` of a union.
SEQUENCES = (list, tuple)
_WITH_PLACES = (Tensor, *SEQUENCES)
_MOST_KEYS_SHOWN = 20
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
        found = child(value, step)
        if found is MISSING:
            _refuse(value, path, index, term=term, argument=argument)
        value = found
    return value


def follow(values: Any, path: ValuePath, *, term: str, argument: str) -> Tensor:
    """The tensor at a path; as `find`.

    Raises:
        InputError: The path leads to nothing, or to something that is not a tensor.
    """
    value = find(values, path, term=term, argument=argument)
    if not isinstance(value, Tensor):
        raise not_a_tensor(value, path, term=term, argument=argument)
    return value


def not_a_tensor(value: Any, path: ValuePath, *, term: str, argument: str) -> InputError:
    """An error for a value at a path that is not a tensor."""
    return InputError(
        f"term '{term}', input '{argument}': expected a tensor at '{path}', found {shown(value)}",
        term=term,
        argument=argument,
        path=str(path),
    )


def child(value: Any, step: str | int) -> Any:
    """The value one step further, or `MISSING`.

    torch.compile guards on `in`, a length and `hasattr`, but not on an error that was caught: after
    one batch without a value, a graph would treat it as missing in every batch.
    """
    if isinstance(step, int):
        return _at_index(value, step)
    if isinstance(value, Mapping):
        # `in` first, because a defaultdict's lookup adds the key. Not `get`, which a mapping may
        # have overridden.
        return value[step] if step in value else MISSING  # noqa: SIM401
    # A tensor's attributes (`grad`, `T`, `shape`) are not part of a step's values.
    if isinstance(value, Tensor):
        return MISSING
    return _at_name(value, step)


def _at_index(value: Any, step: int) -> Any:
    if isinstance(value, _WITH_PLACES):
        size = 0 if isinstance(value, Tensor) and not value.dim() else len(value)
        return value[step] if -size <= step < size else MISSING
    makes_up = hasattr(type(value), "__missing__")
    if (makes_up or isinstance(value, dict)) and step in value:
        return value[step]
    # Some mappings (Hugging Face's outputs) have indices as well as keys.
    if makes_up or type(value) is dict:
        return MISSING
    try:
        return value[step]
    except _LOOKUP_FAILURES:
        return MISSING


def _at_name(value: Any, step: str) -> Any:
    fault: Exception | None = None
    if hasattr(type(value), "__getitem__") and not isinstance(value, SEQUENCES):
        try:
            return value[step]
        except Exception as error:  # noqa: BLE001 - what a class raises for a name is its own choice
            fault = error
    # Through `__class__` a config could reach everything that the process has loaded.
    named = MISSING if step.startswith("_") else getattr(value, step, MISSING)
    if named is MISSING and fault is not None and not isinstance(fault, _LOOKUP_FAILURES):
        raise fault
    return named


def _refuse(value: Any, path: ValuePath, index: int, *, term: str, argument: str) -> None:
    parent = str(ValuePath(path.steps[:index])) if index else ""
    where = f"under '{parent}'" if parent else "among the values"
    step = path.steps[index]
    names = _names(value)
    numbers = [key for key in value if type(key) is int] if isinstance(value, Mapping) else []
    wanted = f"[{step}]" if isinstance(step, int) else f"'{step}'"
    message = f"term '{term}', input '{argument}' (path '{path}'): there is no {wanted} {where}"
    if names or numbers:
        keys: list[tuple[str, str | int]] = [(name, name) for name in names]
        keys += [(f"[{number}]", number) for number in numbers]
        listed = ", ".join(
            f"{name} {_shown_at(value, key)}" for name, key in keys[:_MOST_KEYS_SHOWN]
        )
        more = ", …" if len(keys) > _MOST_KEYS_SHOWN else ""
        message += f"; there is: {listed}{more}"
    else:
        is_list = isinstance(value, SEQUENCES)
        message += f"; it is {shown(value)}" if index or is_list else "; there are none"
    remedy = _remedy(value, step, parent, names) if isinstance(step, str) else ""
    raise MissingTensorError(message + remedy, term=term, argument=argument, path=str(path))


def _remedy(value: Any, step: str, parent: str, names: list[str]) -> str:
    """What to write instead of a key that is not there."""
    if step.isascii() and step.isdigit() and isinstance(value, _WITH_PLACES):
        return f". Write '{parent}[{step}]'"
    if step.isascii() and step.isdigit() and isinstance(value, Mapping) and int(step) in value:
        return f". Write '{parent}[{step}]'"
    inner, keys = value, step.split("/")
    for key in keys:
        inner = MISSING if inner is MISSING else child(inner, key)
    if len(keys) > 1 and inner is not MISSING:
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


def _shown_at(value: Any, name: str | int) -> str:
    try:
        return shown(child(value, name))
    except Exception as error:  # noqa: BLE001 - an object's fault must not replace the message
        return f"(reading it raises {type(error).__name__})"


def shown(value: Any) -> str:
    """A value's shape, length or type."""
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    if isinstance(value, Mapping):
        return f"a mapping of {len(value)}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
