"""The formula of each loss's page is the value of torch, with every parameter in it."""

from __future__ import annotations

import dataclasses
import re
import runpy
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from built_ins import BUILT_INS, ROOT, built_in
from formula_entries import entries
from formulas import Formula, UnreadableError
from lossreg.plugin import LossDefinition
from lossreg.registry import Registry
from oracles import Draw, Example

DRAWS = 24


def definition(name: str) -> LossDefinition:
    return Registry.installed()[f"lossreg:{name}"]


def examples(name: str) -> list[Example]:
    """Random batches and parameters, the more of them the more parameters there are."""
    own = definition(name)
    draws = DRAWS * 2 ** (len(own.config.model_fields) // 3)
    drawn = [built_in(name).example(Draw(Random(seed), torch.float64)) for seed in range(draws)]
    return [example for example in drawn if _is_small(example)]


def _is_small(example: Example) -> bool:
    # The paths of ctc are listed one by one.
    steps = example.tensors.get("input_lengths")
    return steps is None or int(steps.max()) <= 6


def assert_true(own: LossDefinition) -> None:
    for example in examples(own.name):
        assert_true_of(own, example)


def assert_true_of(own: LossDefinition, example: Example) -> None:
    found = entries(own, example.tensors, example.params, built_in(own.name).symbols_in_words)
    reduction = "none" if "none" in own.reductions else "sum"
    expected = example.loss(example.tensors, reduction)
    actual = found if reduction == "none" else found.sum()
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9, check_stride=False)


@pytest.mark.parametrize("name", BUILT_INS)
def test_a_formula_is_the_value_of_torch(name: str) -> None:
    assert_true(definition(name))


@pytest.mark.parametrize("name", BUILT_INS)
def test_each_parameter_is_moved_and_stands_in_the_formula(name: str) -> None:
    own = definition(name)
    explained = {meaning.partition(", ")[0] for meaning in own.symbols.values()}
    texts = " ".join(re.findall(r"\\text\{([^}]*)\}", own.formula)).replace(" ", "_")
    moved = {parameter for example in examples(name) for parameter in example.params}
    for parameter in own.config.model_fields.keys() - {"reduction"}:
        assert parameter in moved
        assert parameter in explained or parameter in texts


@pytest.mark.parametrize("name", BUILT_INS)
def test_a_formula_names_every_input(name: str) -> None:
    explained = {meaning.partition(", ")[0] for meaning in definition(name).symbols.values()}
    assert {argument.name for argument in definition(name).inputs} <= explained


@pytest.mark.parametrize("name", BUILT_INS)
def test_a_page_has_a_worked_number_that_shows_the_divisor(name: str) -> None:
    worked = definition(name).worked
    assert worked is not None
    assert worked.divisor is not None
    assert worked.divisor > 1


def template() -> LossDefinition:
    """The loss that `lossreg new` writes."""
    file = ROOT / "plugins" / "lossreg-example" / "src" / "lossreg_example" / "plugin.py"
    (own,) = runpy.run_path(str(file))["lossreg_losses"]()
    assert isinstance(own, LossDefinition)
    return own


@pytest.mark.parametrize("name", [*BUILT_INS, "example"])
def test_a_worked_number_is_that_of_the_formula(name: str) -> None:
    own = template() if name == "example" else definition(name)
    words = {} if name == "example" else built_in(name).symbols_in_words
    assert own.worked is not None
    tensors = {key: torch.tensor(numbers) for key, numbers in own.worked.inputs.items()}
    found = entries(own, tensors, own.worked.params, words)
    if own.worked.entries is None:
        found = found.sum() / own.worked.divisor
    expected = own.worked.value if own.worked.entries is None else own.worked.entries
    shown = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(found, shown, rtol=5e-4, atol=5e-4)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("cross_entropy", r"q_c \log p_c", r"\log p_c"),
        ("cross_entropy", r"\frac{s}{C}", "0"),
        ("cross_entropy", "y = i", "y = 0"),
        ("bce_with_logits", "v y", "y"),
        ("bce_with_logits", "-w", "-1"),
        ("smooth_l1", r"2 \beta", "2"),
        ("triplet_margin", r"\min(d(a, n), d(p, n))", "d(a, n)"),
        ("triplet_margin", r"\rVert_r", r"\rVert_2"),
        ("poisson_nll", "y > 1", "y > 2"),
        ("multi_margin", "^p", "^1"),
        ("kl_div", r"\exp(y) (y - x)", r"y (\log y - x)"),
        ("ctc", r"\Pi(y, m, n, b)", r"\Pi(y, m, n, 0)"),
    ],
)
def test_a_wrong_formula_is_found(name: str, right: str, wrong: str) -> None:
    own = definition(name)
    assert right in own.formula
    false = dataclasses.replace(own, formula=own.formula.replace(right, wrong))
    with pytest.raises((AssertionError, ValueError, IndexError)):
        assert_true(false)


def value(latex: str, **names: Any) -> float:
    return Formula(latex).value(names)


VECTORS = {"u": torch.tensor([3.0, 4.0]), "v": torch.tensor([1.0, 2.0]), "D": 2}


@pytest.mark.parametrize(
    ("latex", "names", "expected"),
    [
        (r"\ell = 2 x - y^2 + 1", {"x": 5.0, "y": 3.0}, 2.0),
        (r"\ell = -x (y + 1)", {"x": 2.0, "y": 3.0}, -8.0),
        (r"\ell = \frac{x}{2} \sqrt{16}", {"x": 3.0}, 6.0),
        (r"\ell = \log \frac{\exp(x)}{1}", {"x": 3.0}, 3.0),
        (r"\ell = |x - y|", {"x": 2.0, "y": 5.0}, 3.0),
        (r"\ell = \lVert u - 1 \rVert_1 + u \cdot v", VECTORS, 16.0),
        (r"\ell = \sum_d u_d v_d + 1", VECTORS, 12.0),
        (r"\ell = \sum_{d \neq y} \sum_{d'} u_d v_{d'}", {**VECTORS, "y": 0}, 12.0),
        (r"\ell = \prod_{d < n} 2 u_d", {**VECTORS, "n": 2}, 48.0),
        (r"\ell = [x = 1] + [x \neq 1] 5", {"x": 2}, 5.0),
        (r"\ell = \max(0, x)^2", {"x": -2.0}, 0.0),
        (
            r"\begin{aligned} \ell &= f(x) + a_1 \\ f(u) &= u^2 \end{aligned}",
            {"x": 3, "a_1": 1},
            10,
        ),
    ],
)
def test_a_formula_is_read_as_it_is_meant(
    latex: str, names: dict[str, Any], expected: float
) -> None:
    assert value(latex, **names) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("latex", "problem"),
    [
        (r"\ell = x + z", "nobody explains 'z'"),
        (r"\ell = \tan(x)", "nobody explains"),
        (r"\ell = x \text{ if } y", "expected ''"),
        (r"\ell = \begin{cases} x & y \end{cases}", "cannot read"),
        (r"\ell = (x", r"expected '\)'"),
    ],
)
def test_what_cannot_be_read_is_an_error(latex: str, problem: str) -> None:
    with pytest.raises(UnreadableError, match=problem):
        value(latex, x=1.0, y=2.0)


def test_a_zero_has_a_logarithm() -> None:
    tensors: dict[str, Tensor] = {
        "input": torch.tensor([0.0, 1.0]),
        "target": torch.tensor([1.0, 0.0]),
    }
    assert entries(definition("bce"), tensors, {}, {}).tolist() == [100.0, 100.0]
