from __future__ import annotations

from itertools import product
from math import log
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
from built_ins import RefusedAlone, is_no_weighting
from lossreg.testing import LossContract
from oracles import Draw, Example, entrywise
from properties import FLOAT_DTYPES, assert_no_fault, assert_same_as_torch, refusal

TORCH = nn.BCELoss
REFUSED_BY_LOSSREG_ALONE: RefusedAlone = {
    "weight": (is_no_weighting, "Negative numbers"),
}


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.randn(4, 3, generator=generator).sigmoid(),
        "target": torch.randn(4, 3, generator=generator).sigmoid(),
    }


def example(draw: Draw) -> Example:
    shape = draw.shape()
    params = draw.maybe(weight=draw.factors(shape))
    weight = draw.tensor(params, "weight")
    tensors = {"input": draw.uniform(*shape), "target": draw.uniform(*shape)}
    return entrywise(
        lambda t, r: F.binary_cross_entropy(**t, weight=weight, reduction=r),
        tensors,
        **params,
    )


class TestBCE(LossContract):
    loss = "bce"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return batch()


class TestBCEWeighted(TestBCE):
    params = {"weight": [1.0, 2.0, 0.5]}  # noqa: RUF012  (the suite declares it)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"reduction": "none"}, [2 * log(2), log(2)]),
        ({"reduction": "sum"}, 3 * log(2)),
        ({"reduction": "mean"}, 1.5 * log(2)),
        # The weights do not count in what the mean divides by: (1 * 2 + 4 * 1) / 2.
        ({"reduction": "mean", "weight": [1.0, 4.0]}, 3 * log(2)),
    ],
)
def test_value_by_hand(params: dict[str, Any], expected: object) -> None:
    # A yes given 1/4: -log 1/4 = 2 log 2. A no given 1/2: -log(1 - 1/2) = log 2.
    value = lossreg.create("bce", **params)(torch.tensor([0.25, 0.5]), torch.tensor([1.0, 0.0]))
    assert value.tolist() == pytest.approx(expected)


def test_a_sure_mistake_costs_100() -> None:
    # torch bounds the logarithm at -100, where the true value is infinite.
    probability = torch.tensor([0.0], requires_grad=True)
    value = lossreg.create("bce")(probability, torch.tensor([1.0]))
    value.backward()
    assert value == 100
    assert probability.grad == pytest.approx(-1e12)


def test_an_even_guess_costs_log_2() -> None:
    target = batch()["target"]
    value = lossreg.create("bce")(torch.full_like(target, 0.5), target)
    assert value.item() == pytest.approx(log(2))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_is_torchs_bit_for_bit(dtype: torch.dtype) -> None:
    weights = (None, torch.tensor([1.0, 2.0, 0.5]), torch.rand(4, 1) + 0.1)
    for reduction, weight in product(("mean", "sum", "none"), weights):
        params = {"reduction": reduction, "weight": weight}
        assert_same_as_torch("bce", nn.BCELoss(**params), batch(), dtype=dtype, **params)


@pytest.mark.parametrize("name", ["weight"])
@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 3, 8, 3), (2, 3, 5), (2, 4), (2, 1)])
def test_one_number_a_class_is_refused_where_classes_are_not_last(
    name: str, shape: tuple[int, ...]
) -> None:
    tensors = {"input": torch.rand(shape), "target": torch.rand(shape)}
    said = refusal("bce", tensors, params={name: [1.0, 2.0, 3.0]})
    assert f"'input' (path 'input'): expected a last dimension of 3, because '{name}' has" in said
    assert ("permute" in said) == (len(shape) > 2)


@pytest.mark.parametrize("name", ["weight"])
def test_one_number_a_class_is_taken_where_classes_are_last(name: str) -> None:
    for shape in [(3,), (2, 3), (3, 3), (2, 8, 3), (2, 8, 8, 3)]:
        tensors = {"input": torch.rand(shape), "target": torch.rand(shape)}
        assert_no_fault("bce", tensors, params={name: [1.0, 2.0, 3.0]})
    tensors = {"input": torch.rand(2, 3, 8, 3), "target": torch.rand(2, 3, 8, 3)}
    assert_no_fault("bce", tensors, params={name: [2.0]})
    assert_no_fault("bce", tensors, params={name: torch.ones(3, 1, 1)})
