"""Expressions in LaTeX."""

from __future__ import annotations

import pytest

from lossreg.cli.render.expression import latex
from lossreg.config.tools.expressions import (
    Call,
    Condition,
    Expression,
    Infix,
    Items,
    Name,
    Number,
    Repeated,
)

X, Y, T = Name("x"), Name("y"), Name("t", is_symbol=True)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (Name("my_path-2.x"), r"\mathrm{my\_path\text{-}2.x}"),
        (Name("a^b{c}\\"), r"\mathrm{a\hat{}b\{c\}\backslash }"),
        (Name("w12(t)", is_symbol=True), "w_{12}(t)"),
        (Name("-s(seg)", is_symbol=True), r"-s(\mathrm{seg})"),
        (Infix(Infix(X, "+", Y), "/", Number("-2")), r"\frac{\mathrm{x} + \mathrm{y}}{-2}"),
        (
            Infix(Infix(X, "/", Y), "^", Number("2")),
            r"{\left(\frac{\mathrm{x}}{\mathrm{y}}\right)}^{2}",
        ),
        (Infix(X, "·", Number("-2")), r"\mathrm{x} \cdot \left(-2\right)"),
        (Infix(X, "and", Infix(Y, "≤", Number("3"))), r"\mathrm{x} \land \mathrm{y} \le 3"),
        (Items((X, Y)), r"\left[\mathrm{x}, \mathrm{y}\right]"),
        (
            Condition((Infix(T, "≥", Number("3")), Infix(T, "<", Number("9")))),
            r"\left[t \ge 3\text{ and }t < 9\right]",
        ),
        (
            Call("smooth_l1", (X, Y), (("beta", Number("0.5")), ("reduction", Name("sum")))),
            (
                r"\mathrm{smooth\_l1}\left(\mathrm{x}, \mathrm{y};\ "
                r"\mathrm{beta}{=}0.5,\ \mathrm{reduction}{=}\mathrm{sum}\right)"
            ),
        ),
        (
            Repeated("sum", (("y", X),), Y),
            r"\sum_{\mathrm{y} \in \mathrm{x}} \mathrm{y}",
        ),
        (
            Repeated("pooled", (("y", X),), Y),
            r"\operatorname*{pooled}_{\mathrm{y} \in \mathrm{x}} \mathrm{y}",
        ),
    ],
)
def test_an_expression_in_latex(expression: Expression, expected: str) -> None:
    assert latex(expression) == expected
