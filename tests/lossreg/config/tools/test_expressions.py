"""Expressions on one line: brackets where the reading needs them."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Any

import pytest

from lossreg.config.tools.expressions import (
    Condition,
    Expression,
    Infix,
    Name,
    Number,
    Repeated,
    as_text,
    path,
    product,
    word,
)

X, Y, Z = Name("x"), Name("y"), Name("z")
SIGNS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "+": ("+", operator.add),
    "-": ("-", operator.sub),
    "·": ("*", operator.mul),
    "/": ("/", operator.truediv),
    "^": ("**", operator.pow),
}
VALUES = {"x": 3.0, "y": 5.0, "z": 2.0}


def python(text: str) -> str:
    for sign, (own, _) in SIGNS.items():
        text = text.replace(f" {sign} ", f" {own} ")
    return text


@pytest.mark.parametrize("signs", list(itertools.product(SIGNS, repeat=2)))
def test_python_reads_it_as_it_is_meant(signs: tuple[str, str]) -> None:
    first, second = signs
    inner, outer = SIGNS[first][1], SIGNS[second][1]
    x, y, z = VALUES.values()
    left = as_text(Infix(Infix(X, first, Y), second, Z))
    assert eval(python(left), dict(VALUES)) == outer(inner(x, y), z)
    right = as_text(Infix(X, second, Infix(Y, first, Z)))
    assert eval(python(right), dict(VALUES)) == outer(x, inner(y, z))
    negative = as_text(Infix(Number("-3"), first, Number("-2")))
    assert eval(python(negative)) == inner(-3, -2)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (Infix(Infix(X, "/", Y), "·", Z), "(x / y) · z"),
        (Infix(Infix(X, "<", Y), "and", Infix(Y, "<", Z)), "x < y and y < z"),
        (Infix(Infix(X, "<", Y), "=", Z), "(x < y) = z"),
        (Infix(Infix(X, "or", Y), "and", Z), "(x or y) and z"),
        (Infix(Infix(X, "new", Y), "+", Z), "(x new y) + z"),
        (Infix(Infix(X, "+", Y), "new", Z), "(x + y) new z"),
        (product([Number("2"), Repeated("sum", (("y", X),), Y)]), "2 · ∑[y in x] y"),
        (Condition((Infix(X, "<", Y), Infix(Y, "=", Z))), "[x < y and y = z]"),
    ],
)
def test_brackets_stand_where_signs_do_not_decide(expression: Expression, expected: str) -> None:
    assert as_text(expression) == expected


@pytest.mark.parametrize("text", ["x", "a.b[0][-1].c", "my-labels", "seg/fit", "größe", "_x"])
def test_an_ordinary_path_stands_as_it_is(text: str) -> None:
    assert path(text).text == text


@pytest.mark.parametrize("text", ["3", "-x", "exp(x)", "x+y", "a,b", "x;y", "it's", "·", "a=b"])
def test_a_path_that_looks_like_more_is_quoted(text: str) -> None:
    assert path(text).text == repr(text)


def test_a_number_among_words_is_a_number() -> None:
    for text in ("3", "-0.5", "1e-07", "2.5e+20"):
        assert word(text) == Number(text)
    for text in ("sum", "[1, 2]", "true", "-", "1e"):
        assert word(text) == Name(text)
