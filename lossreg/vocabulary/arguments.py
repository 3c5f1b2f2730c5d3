"""What an argument of a transform may be: kinds of values, and rules over several arguments."""

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
"""The default of an argument that has none."""

DTYPES = ("float16", "bfloat16", "float32", "float64", "uint8", "int32", "int64", "bool")
"""What `cast` converts to."""

_LARGEST_WHOLE = 2**31  # beyond it is no dimension, index or class


class Kind(NamedTuple):
    """A kind of values.

    Attributes:
        wanted: What it takes, in a few words that follow "expected".
        accepts: Whether it takes a value. A list comes as a tuple.
        is_float: Whether it takes numbers that become float32, and must not be 0 or infinite there.
        words: The words it takes, if it takes only these.
        foreign: Pairs of what others call one of these words, and the word.
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
        kind: What it takes.
        default: Its default, or `REQUIRED`. With the default None, it also takes None.
    """

    name: str
    kind: Kind
    default: Any = REQUIRED


class Violation(NamedTuple):
    """What is wrong with arguments that are right one by one.

    Attributes:
        message: What was expected, and what was found.
        argument: The argument to point at; empty for the transform.
    """

    message: str
    argument: str = ""


Rule: TypeAlias = "Callable[[Mapping[str, Any]], Violation | None]"
"""Looks at all arguments by name, defaults included; each is of its kind."""
