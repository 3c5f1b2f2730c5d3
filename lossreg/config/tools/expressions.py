"""Expressions of a formula, and how each is written on one line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Call",
    "Condition",
    "Expression",
    "Infix",
    "Items",
    "Name",
    "Number",
    "Repeated",
    "as_text",
    "bracketed",
    "number",
    "path",
    "product",
    "word",
]

_TIMES = "·"
# How strongly a sign holds its two sides together; other signs always get brackets.
_STRENGTHS = {
    **dict.fromkeys(("or", "and"), 1),
    **dict.fromkeys(("=", "≠", "<", "≤", ">", "≥"), 2),
    **dict.fromkeys(("+", "-"), 3),
    **dict.fromkeys((_TIMES, "/", "mod"), 4),
    "^": 5,
}
# Chains of these read from the left whatever their order.
_CHAINED = (("+", "-"), (_TIMES,), ("and",), ("or",))
_PLAIN_PATH = re.compile(r"[^\W\d][\w\-/]*(?:\[-?\d+\]|\.[^\W\d][\w\-/]*)*")


class Name(NamedTuple):
    """A path, a symbol or a word; `is_symbol` for one letter of the formula's own, such as `s`."""

    text: str
    is_symbol: bool = False


class Number(NamedTuple):
    """A number, with every digit."""

    text: str


class Call(NamedTuple):
    """A function of arguments, and of options by name."""

    function: str
    arguments: tuple[Expression, ...]
    options: tuple[tuple[str, Expression], ...] = ()


class Infix(NamedTuple):
    """Two sides with a sign between them."""

    left: Expression
    sign: str
    right: Expression


class Items(NamedTuple):
    """Expressions in a list."""

    items: tuple[Expression, ...]


class Condition(NamedTuple):
    """1 where all of these hold, else 0."""

    parts: tuple[Expression, ...]


class Repeated(NamedTuple):
    """The body for every element of lists, and how its values become one.

    Attributes:
        combine: `sum`, `mean` or `pooled`.
        over: Each element's name, and the list that it is from.
        body: What is computed for each.
    """

    combine: str
    over: tuple[tuple[str, Expression], ...]
    body: Expression


Expression: TypeAlias = Name | Number | Call | Infix | Items | Condition | Repeated


def number(value: float) -> Number:
    """A number as it is written: 2 for 2.0."""
    return Number(repr(value).removesuffix(".0"))


def word(text: str) -> Name | Number:
    """A value that is written as it is, which may be a number."""
    return Number(text) if re.fullmatch(r"-?[\d.]+(?:e[+-]?\d+)?", text) else Name(text)


def path(text: str) -> Name:
    """A path, in quotes if it could be read as something else.

    >>> path("decoder.pixels").text, path("exp(x)").text
    ('decoder.pixels', "'exp(x)'")
    """
    return Name(text if _PLAIN_PATH.fullmatch(text) else repr(text))


def product(factors: Iterable[Expression]) -> Expression:
    """The product of one or more factors."""
    first, *rest = factors
    for factor in rest:
        first = Infix(first, _TIMES, factor)
    return first


def as_text(expression: Expression) -> str:
    """An expression on one line.

    >>> as_text(Infix(Infix(Name("x"), "-", Name("y")), "·", Number("-2")))
    '(x - y) · (-2)'
    """
    if isinstance(expression, Name | Number):
        return expression.text
    if isinstance(expression, Call):
        options = [f"{name}={as_text(value)}" for name, value in expression.options]
        arguments = ", ".join(map(as_text, expression.arguments))
        return f"{expression.function}({'; '.join(filter(None, (arguments, ', '.join(options))))})"
    if isinstance(expression, Infix):
        left, right = bracketed(expression)
        sides = [
            f"({as_text(side)})" if is_bracketed else as_text(side)
            for side, is_bracketed in ((expression.left, left), (expression.right, right))
        ]
        return f" {expression.sign} ".join(sides)
    if isinstance(expression, Items):
        return f"[{', '.join(map(as_text, expression.items))}]"
    if isinstance(expression, Condition):
        return f"[{' and '.join(map(as_text, expression.parts))}]"
    lists = ", ".join(f"{name} in {as_text(source)}" for name, source in expression.over)
    sign = "∑" if expression.combine == "sum" else expression.combine
    return f"{sign}[{lists}] {as_text(expression.body)}"


def bracketed(expression: Infix) -> tuple[bool, bool]:
    """Whether the left and the right side need brackets, so that they are read as meant."""
    own = _STRENGTHS.get(expression.sign, 6)
    left, right = expression.left, expression.right
    is_left = _is_negative(left) and expression.sign == "^"
    if isinstance(left, Infix):
        strength = _STRENGTHS.get(left.sign, 0)
        is_chain = any({left.sign, expression.sign} <= set(chain) for chain in _CHAINED)
        is_left = strength < own or (strength == own and not is_chain)
    is_right = _is_negative(right)
    if isinstance(right, Infix):
        is_right = _STRENGTHS.get(right.sign, 0) <= own
    return is_left or isinstance(left, Repeated), is_right


def _is_negative(expression: Expression) -> bool:
    return isinstance(expression, Number) and expression.text.startswith("-")
