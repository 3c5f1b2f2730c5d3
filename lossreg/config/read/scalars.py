"""Plain scalars by YAML 1.2's core schema, and how YAML 1.1 reads them."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TypeAlias

__all__ = ["Resolved", "resolve", "without_comma"]

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SPECIAL = {
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_YES = frozenset({"yes", "Yes", "YES", "on", "On", "ON"})
_NO = frozenset({"no", "No", "NO", "off", "Off", "OFF"})
# Few documents have these, so the patterns are compiled on first use.
_OCTAL, _HEX = r"0o[0-7]+", r"0x[0-9a-fA-F]+"
_LEADING_ZERO = r"([-+]?)0+([0-9]+)"
_UNDERSCORED = r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?"
_BINARY = r"([-+]?)0b([01_]+)"
_SIGNED_HEX = r"[-+]0x[0-9a-fA-F]+"
_BASE_60 = r"[-+]?[0-9]+(?::[0-5]?[0-9])+(?:\.[0-9]*)?"
_DATE = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?"
# Python refuses to read much longer integers, and no parameter needs one.
_LONGEST_NUMBER = 1_000


Resolved: TypeAlias = tuple[str | int | float | bool | None, str]
"""A scalar's value; and what to write instead if YAML 1.1 reads it differently."""


@lru_cache(maxsize=1024)  # keys and common values recur
def resolve(text: str) -> Resolved:
    """The value of a plain scalar, and what to write instead.

    >>> resolve("1e-3"), resolve("0x1F"), resolve("~")
    ((0.001, ''), (31, ''), (None, ''))
    >>> resolve("yes"), resolve("1_000")
    (('yes', 'true'), ('1_000', '1000'))
    """
    if text in _NULL:
        return None, ""
    if text[0].isalpha():
        if text in _BOOL:
            return _BOOL[text], ""
        if text in _YES or text in _NO:
            return text, "true" if text in _YES else "false"
        return text, ""
    if text in _SPECIAL:
        return _SPECIAL[text], ""
    if len(text) > _LONGEST_NUMBER:
        return text, ""
    return _number(text)


_THOUSAND = 3  # digits


def _near_zero(text: str) -> float:
    """A number that `float` makes 0: the float nearest to 0 unless it is written as 0."""
    is_zero = not text.lower().partition("e")[0].strip("+-.0")
    return float(text) if is_zero else math.copysign(math.ulp(0.0), float(text))


def _number(text: str) -> Resolved:
    if _INT.fullmatch(text):
        return int(text), ""
    if text.lstrip("-+")[1:2].isalnum():
        if zeros := re.fullmatch(_LEADING_ZERO, text):
            return text, f"{zeros[1]}{zeros[2]}"
        if re.fullmatch(_OCTAL, text) or re.fullmatch(_HEX, text):
            return int(text, 0), ""
    if _FLOAT.fullmatch(text):
        return float(text) or _near_zero(text), ""
    if re.fullmatch(_UNDERSCORED, text):
        return text, text.replace("_", "")
    if binary := re.fullmatch(_BINARY, text):
        digits = binary[2].replace("_", "")
        return text, f"{binary[1]}{int(digits, 2)}" if digits else ""
    if re.fullmatch(_SIGNED_HEX, text):
        return text, str(int(text, 0))
    if re.fullmatch(_BASE_60, text) or re.fullmatch(_DATE, text):
        return text, "a plain number"
    return text, ""


def without_comma(number: str) -> str:
    """What a number with a comma may mean.

    >>> without_comma("0,5"), without_comma("12,500")
    ('0.5', '12.500 or 12500')
    """
    whole, _, part = number.partition(",")
    thousands = f" or {whole}{part}" if len(part) == _THOUSAND else ""
    return f"{whole}.{part}{thousands}"
