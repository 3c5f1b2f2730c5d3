"""Arguments of transforms: kinds of values, and rules over several arguments."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "COUNT",
    "DIM",
    "DIMS",
    "DIVISOR",
    "DTYPE",
    "DTYPES",
    "INDICES",
    "MASK",
    "NUMBER",
    "OVER",
    "PAIR",
    "POSITIVE",
    "REQUIRED",
    "SWITCH",
    "WHOLE",
    "Argument",
    "Kind",
    "Rule",
    "Violation",
    "check_clamp",
    "check_flatten",
    "check_slice",
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
        is_routed: Whether a path or a route may stand for it.
        is_scheduled: Whether a schedule may stand for it.
        words: The allowed words, if only certain words are.
        foreign: Pairs of another library's word, and the word here.
    """

    wanted: str
    accepts: Callable[[Any], bool]
    is_float: bool = False
    is_routed: bool = False
    is_scheduled: bool = False
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


def _is_nothing(_: object) -> bool:
    return False


NUMBER = Kind(
    "a finite number, a path or a schedule",
    _is_number,
    is_float=True,
    is_routed=True,
    is_scheduled=True,
)
DIVISOR = NUMBER._replace(
    wanted="a finite number other than 0, a path or a schedule",
    accepts=lambda value: _is_number(value) and value != 0,
)
POSITIVE = Kind(
    "a finite number above 0", lambda value: _is_number(value) and value > 0, is_float=True
)
MASK = Kind("a path to a mask", _is_nothing, is_routed=True)
INDICES = Kind("a path to indices", _is_nothing, is_routed=True)
SWITCH = Kind("true or false", lambda value: isinstance(value, bool))
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
OVER = Kind(
    "a dimension, or a list of dimensions, no two alike",
    lambda value: _is_whole(value) or (value != () and DIMS.accepts(value)),
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


def _same_side(start: int, end: int) -> bool:
    """Whether both count from the same end: only then can they be compared without the size."""
    return (start < 0) == (end < 0)


def check_flatten(values: Mapping[str, Any]) -> Violation | None:
    """The dimensions of `flatten` are in order."""
    start, end = values["start"], values["end"]
    if not _same_side(start, end) or start <= end:
        return None
    return Violation(f"expected a 'start' of at most 'end' ({end}), found {start}", "start")


def check_slice(values: Mapping[str, Any]) -> Violation | None:
    """Something is left of a slice."""
    start, end = values["start"], values["end"]
    if end == 0:
        message = "expected an 'end' other than 0: nothing is before place 0; without 'end', the "
        return Violation(f"{message}slice goes to the last place", "end")
    if start is None or end is None or not _same_side(start, end) or start < end:
        return None
    message = f"expected an 'end' above 'start' ({start}), found {end}: the slice would be empty"
    return Violation(message, "end")


def check_clamp(values: Mapping[str, Any]) -> Violation | None:
    """A limit is there, and the lower one is below the upper one, at any time."""
    low, high = values["min"], values["max"]
    if low is None and high is None:
        return Violation("'clamp' needs 'min', 'max' or both")
    if low is None or high is None:
        return None
    for lower, upper in _pairs(low, high):
        if lower >= upper:
            return Violation(f"expected a 'min' below 'max' ({upper:g}), found {lower:g}", "min")
    return None


def _pairs(low: Any, high: Any) -> Iterator[tuple[float, float]]:
    """The numbers that two limits have together; none if one is a path."""
    if isinstance(low, tuple) or isinstance(high, tuple):  # a route is a NamedTuple
        return
    scheduled = [limit for limit in (low, high) if hasattr(limit, "turns")]
    units = {schedule.unit for schedule in scheduled}
    if len(units) > 1:  # steps and epochs are independent of each other
        yield low.bounds()[1], high.bounds()[0]
        return
    for turn in {turn for schedule in scheduled for turn in schedule.turns()} or {0}:
        yield _at(low, turn), _at(high, turn)


def _at(limit: Any, turn: int) -> float:
    number: float = limit.value(turn) if hasattr(limit, "turns") else limit
    return number
