"""Arguments of transforms: kinds of values, and rules over several arguments."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "COUNT",
    "DIM",
    "DIMS",
    "DIVISOR",
    "DTYPE",
    "DTYPES",
    "NUMBER",
    "PAIR",
    "REQUIRED",
    "WHOLE",
    "Argument",
    "Kind",
    "Rule",
    "Violation",
]

REQUIRED: Any = object()
"""Marks an argument without a default."""

DTYPES = ("float16", "bfloat16", "float32", "float64", "uint8", "int32", "int64", "bool")
"""What `cast` converts to."""

_LARGEST_WHOLE = 2**31  # no dimension, index or class is larger


class Kind(NamedTuple):
    """A kind of values.

    Attributes:
        wanted: The allowed values, in a few words that follow "expected".
        accepts: Returns whether a value is allowed. A list comes as a tuple.
        is_float: Whether its numbers become float32, and must not become 0 or infinite there.
        words: The allowed words, if only certain words are.
        foreign: Pairs of another library's word, and the word here.
    """

    wanted: str
    accepts: Callable[[Any], bool]
    is_float: bool = False
    words: tuple[str, ...] = ()
    foreign: tuple[tuple[str, str], ...] = ()


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST_WHOLE


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _are_dims(value: object) -> bool:
    return isinstance(value, tuple) and all(map(_is_whole, value))


NUMBER = Kind("a finite number", _is_number, is_float=True)
DIVISOR = Kind(
    "a finite number other than 0", lambda value: _is_number(value) and value != 0, is_float=True
)
WHOLE = Kind("a whole number", _is_whole)
COUNT = Kind("a whole number of at least 1", lambda value: _is_whole(value) and value >= 1)
DIM = Kind("a dimension: a whole number", _is_whole)
DIMS = Kind(
    "a list of dimensions, no two alike",
    lambda value: _are_dims(value) and len(set(value)) == len(value),
)
PAIR = Kind(
    "a list of two different dimensions",
    lambda value: _are_dims(value) and len(set(value)) == len(value) == 2,  # noqa: PLR2004
)
DTYPE = Kind(
    f"one of {', '.join(DTYPES)}",
    lambda value: value in DTYPES,
    words=DTYPES,
    foreign=(
        ("double", "float64"),
        ("float", "float32"),
        ("half", "float16"),
        ("int", "int32"),
        ("long", "int64"),
    ),
)


class Argument(NamedTuple):
    """An argument of a transform.

    Attributes:
        name: Its name.
        kind: The kind of its values.
        default: Its default, or `REQUIRED`. If the default is None, None is also allowed.
    """

    name: str
    kind: Kind
    default: Any = REQUIRED


class Violation(NamedTuple):
    """A fault of several arguments, each of which is valid by itself.

    Attributes:
        message: What was expected, and what was found.
        argument: The argument that the message points at; empty for the transform.
    """

    message: str
    argument: str = ""


Rule: TypeAlias = "Callable[[Mapping[str, Any]], Violation | None]"
"""Checks all arguments together, by name and with defaults; each is valid by itself."""
