"""An expression of a formula in LaTeX."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lossreg.config.tools.expressions import (
    Call,
    Condition,
    Infix,
    Items,
    Name,
    Number,
    bracketed,
)

if TYPE_CHECKING:
    from lossreg.config.tools.expressions import Expression, Repeated

__all__ = ["latex"]

_SIGNS = {
    "·": r"\cdot",
    "≠": r"\neq",
    "≤": r"\le",
    "≥": r"\ge",
    "mod": r"\bmod",
    "and": r"\land",
    "or": r"\lor",
}
_MARKUP = re.compile(r"[\\{}$&#%_^~-]")
_SYMBOL = re.compile(r"(-?)(\w+?)(\d*)(?:\((.*)\))?")


def latex(expression: Expression) -> str:
    """An expression in LaTeX."""
    if isinstance(expression, Name):
        return _symbol(expression.text) if expression.is_symbol else _word(expression.text)
    if isinstance(expression, Number):
        return expression.text
    if isinstance(expression, Call):
        options = [rf"{_word(name)}{{=}}{latex(value)}" for name, value in expression.options]
        arguments = ", ".join(map(latex, expression.arguments))
        inner = r";\ ".join(filter(None, (arguments, r",\ ".join(options))))
        return rf"{_word(expression.function)}\left({inner}\right)"
    if isinstance(expression, Infix):
        return _infix(expression)
    if isinstance(expression, Items):
        return rf"\left[{', '.join(map(latex, expression.items))}\right]"
    if isinstance(expression, Condition):
        parts = r"\text{ and }".join(map(latex, expression.parts))
        return rf"\left[{parts}\right]"
    return _repeated(expression)


def _infix(expression: Infix) -> str:
    if expression.sign == "/":
        return rf"\frac{{{latex(expression.left)}}}{{{latex(expression.right)}}}"
    is_left, is_right = bracketed(expression)
    left, right = (
        rf"\left({latex(side)}\right)" if is_bracketed else latex(side)
        for side, is_bracketed in ((expression.left, is_left), (expression.right, is_right))
    )
    if expression.sign == "^":
        return f"{{{left}}}^{{{latex(expression.right)}}}"
    return f"{left} {_SIGNS.get(expression.sign, expression.sign)} {right}"


def _repeated(expression: Repeated) -> str:
    lists = r",\ ".join(rf"{_word(name)} \in {latex(source)}" for name, source in expression.over)
    sign = r"\sum" if expression.combine == "sum" else rf"\operatorname*{{{expression.combine}}}"
    return rf"{sign}_{{{lists}}} {latex(expression.body)}"


def _symbol(text: str) -> str:
    """`w1(t)` as `w_{1}(t)`, `s(seg)` with its term upright."""
    match = _SYMBOL.fullmatch(text)
    if match is None:
        return _word(text)
    sign, letter, digits, inner = match.groups()
    index = f"_{{{digits}}}" if digits else ""
    if inner is None:
        return f"{sign}{letter}{index}"
    return f"{sign}{letter}{index}({inner if len(inner) == 1 else _word(inner)})"


def _word(text: str) -> str:
    """A name in upright letters."""
    return rf"\mathrm{{{_MARKUP.sub(_escaped, text)}}}"


def _escaped(match: re.Match[str]) -> str:
    return {"-": r"\text{-}", "\\": r"\backslash ", "^": r"\hat{}", "~": r"\sim "}.get(
        match[0], f"\\{match[0]}"
    )
