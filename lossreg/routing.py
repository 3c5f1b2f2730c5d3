"""Running paths: from a step's values to the tensors a loss is called with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from lossreg.errors import InputError
from lossreg.inputs import Path
from lossreg.suggest import closest

__all__ = ["follow"]

_MISSING = object()
_MOST_KEYS_SHOWN = 20


def follow(values: Any, path: Path, *, term: str, argument: str) -> Tensor:
    """The tensor at a path.

    Args:
        values: The step's values: anything with `[]` or attributes, nested.
        path: Where to look.
        term: For whom, for the error.
        argument: As what, for the error.

    Raises:
        InputError: There is nothing there, or it is no tensor.
    """
    here = values
    for index, step in enumerate(path.steps):
        found = _step(here, step)
        if found is _MISSING:
            _refuse(here, path, index, term=term, argument=argument)
        here = found
    if not isinstance(here, Tensor):
        raise InputError(
            f"term '{term}', input '{argument}': expected a tensor at '{path}', "
            f"found {_shown(here)}",
            term=term,
            argument=argument,
            path=str(path),
        )
    return here


def _step(here: Any, step: str | int) -> Any:
    if isinstance(step, int):
        try:
            return here[step]
        except (IndexError, KeyError, TypeError):
            return _MISSING
    # A tensor's attributes (`grad`, `T`, `shape`) are no part of a step's values.
    if isinstance(here, Tensor):
        return _MISSING
    try:
        return here[step]
    except (KeyError, IndexError, TypeError, AttributeError):
        return _MISSING if isinstance(here, Mapping) else getattr(here, step, _MISSING)


def _refuse(here: Any, path: Path, index: int, *, term: str, argument: str) -> None:
    parent = str(Path(path.steps[:index])) if index else ""
    where = f"under '{parent}'" if parent else "among the values"
    step = path.steps[index]
    names = _names(here)
    wanted = f"[{step}]" if isinstance(step, int) else f"'{step}'"
    message = f"term '{term}', input '{argument}' (path '{path}'): there is no {wanted} {where}"
    if names:
        shown = ", ".join(
            f"{name} {_shown(_step(here, name))}" for name in names[:_MOST_KEYS_SHOWN]
        )
        more = ", …" if len(names) > _MOST_KEYS_SHOWN else ""
        message += f"; there is: {shown}{more}"
    else:
        message += f"; it is {_shown(here)}" if index else "; there are none"
    meant = closest(step, names)
    if meant:
        message += f". Did you mean '{meant}'?"
    raise InputError(message, term=term, argument=argument, path=str(path))


def _names(here: Any) -> list[str]:
    if isinstance(here, Tensor):
        return []
    keys = getattr(here, "keys", None)
    if callable(keys):
        return [key for key in keys() if isinstance(key, str)]
    # A NamedTuple, or a dataclass with slots, has no __dict__.
    declared: Iterable[str] = getattr(here, "_fields", ()) or getattr(
        here, "__dataclass_fields__", ()
    )
    names = dict.fromkeys([*declared, *getattr(here, "__dict__", ())])
    return [name for name in names if not name.startswith("_")]


def _shown(value: Any) -> str:
    """A value's shape, length or type."""
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    if isinstance(value, Mapping):
        return f"a mapping of {len(value)}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
