"""LaTeX formulas as Unicode text: everything is there, in order, and read as it was."""

from __future__ import annotations

import re

import pytest

from lossreg.cli.render.latex import unicode_text
from lossreg.plugin import LossDefinition
from lossreg.registry import Registry

LOSSES = list(Registry.installed().values())


@pytest.mark.parametrize("definition", LOSSES, ids=lambda definition: definition.name)
def test_every_loss_is_shown_without_latex(definition: LossDefinition) -> None:
    formula, symbols = definition.formula, definition.symbols
    for latex in (formula, *symbols):
        text = unicode_text(latex)
        assert text is not None
        assert not re.search(r"\\|&|\$", text)


TOKEN = re.compile(r"\\text\{([^}]*)\}|(\\[a-zA-Z]+)|(\d)|([a-zA-Z])|([-+=<>|,'])")
LAYOUT = {r"\frac", r"\begin", r"\end", r"\left", r"\right", r"\lVert", r"\rVert", r"\sqrt"}
PLAIN = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻₀₁₂₃₄₅₆₇₈₉", "0123456789-0123456789")


def symbols_of(latex: str) -> list[str]:
    """The letters, numbers and signs of a formula, in order."""
    found = []
    for match in TOKEN.finditer(re.sub(r"\\(?:begin|end)\{\w+\}", "", latex)):
        words, command, *others = match.groups()
        if words is not None:
            found += words.replace(" ", "")
        elif command is None:
            found += "".join(filter(None, others))
        elif command not in LAYOUT:
            shown = unicode_text(command)
            assert shown is not None, command
            found += shown
    return found


@pytest.mark.parametrize("definition", LOSSES, ids=lambda definition: definition.name)
def test_its_symbols_are_those_of_the_latex_in_the_same_order(definition: LossDefinition) -> None:
    formula: str = definition.formula
    text = unicode_text(formula)
    assert text is not None
    kept = [
        character for character in text.translate(PLAIN) if character not in " \n()[]{}⎧⎨⎩⎪_^/√‖·"
    ]
    assert kept == [symbol for symbol in symbols_of(formula) if symbol != "·"]


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        # A fraction beside a factor, under a power, in a fraction, after a sign.
        (r"\frac{a + b}{c} d", "((a + b) / c) d"),
        (r"d \frac{a}{b}", "d (a/b)"),
        (r"d\frac{a}{b}", "d (a/b)"),
        (r"\frac{a}{b}^2", "(a/b)²"),
        (r"\frac{\frac{a}{b}}{c}", "(a/b)/c"),
        (r"\frac{a}{\frac{b}{c}}", "a/(b/c)"),
        (r"a / \frac{b}{c}", "a / (b/c)"),
        (r"1 - \frac{a}{b} + c", "1 - a/b + c"),
        (r"x^{\frac{1}{p}}", "x^{1/p}"),
        (r"|\frac{a}{b}|", "|a/b|"),
        # Its parts: a sum, a product, a sign, a function.
        (r"\frac{a}{b + c}", "a / (b + c)"),
        (r"\frac{a b}{2 c}", "(a b) / (2 c)"),
        (r"\frac{-a}{b}", "(-a) / b"),
        (r"\frac{\log p}{C}", "(log p) / C"),
        (r"\frac{\exp(x_c)}{\sum_k \exp(x_k)}", "exp(x_c) / (∑_k exp(x_k))"),
        (r"\frac{\sum_c (x_c)}{n}", "(∑_c (x_c)) / n"),
        (r"\frac{(x - y)^2}{2}", "(x - y)² / 2"),
        (r"\exp \frac{a}{b}", "exp (a/b)"),
        # Scripts end where they end.
        (r"x_c^2", "x_{c}²"),
        (r"x_c'", "x_{c}'"),
        (r"x_{c'}", "x_{c'}"),
        (r"x_{t, \pi_t}", "x_{t, π_t}"),
        (r"x_12", "x₁ 2"),
        (r"x_{12} y", "x₁₂ y"),
        (r"w_cq_c", "w_c q_c"),
        (r"10^{-12}", "10⁻¹²"),
        (r"p^\gamma q", "p^\N{GREEK SMALL LETTER GAMMA} q"),
        (r"\sum_{i=1}^{10} x_i", "∑_{i=1}^{10} x_i"),
        (r"\lVert u \rVert_2^2", "‖u‖₂²"),
        (r"\log\sigma(x)", "log \N{GREEK SMALL LETTER SIGMA}(x)"),
        (r"\sqrt{x + y} z", "√(x + y) z"),
        (r"\sqrt{2}", "√2"),
        (r"\text{margin}x", "margin x"),
        (r"\mathcal{L} = \hat{y}", "\N{SCRIPT CAPITAL L} = ŷ"),
        (r"\begin{cases} 1 & \text{if } a \\ 2 & b \end{cases} + 1", "{1, if a; 2, b} + 1"),
    ],
)
def test_its_reading_does_not_change(latex: str, text: str) -> None:
    assert unicode_text(latex) == text


def test_cases_and_helper_lines_have_a_line_each() -> None:
    text = unicode_text(
        r"""\begin{aligned}
        \ell &= \begin{cases} 0 & \text{if } y = i \\
        \frac{r_y}{2} & \text{otherwise} \end{cases} \\
        r_c &= \log p_c
        \end{aligned}"""
    )
    assert text == (
        "  \N{SCRIPT SMALL L} = ⎧ 0      if y = i\n      ⎩ r_y/2  otherwise\nr_c = log p_c"
    )


@pytest.mark.parametrize(
    "latex",
    [
        r"\unknown x",
        r"L = & x",
        r"x \begin{matrix} 1 \end{matrix}",
        r"\sqrt[3]{x}",
        r"(x",
        r"x)",
        r"\frac12",
        r"\frac{1}",
        r"\begin{cases} 1",
        r"\begin{aligned} x",
        r"\begin{aligned} a &= b &= c \end{aligned}",
        r"{a + b} c",
        r"p(y | x)",
        r"^2",
        r"x_",
        r"x_+",
        r"a % b",
        r"\hat{xy}",
        "\\",
        "(" * 10_000,
    ],
)
def test_what_it_does_not_know_is_left_as_it_is(latex: str) -> None:
    assert unicode_text(latex) is None
