"""Multi-class margin loss."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
import properties
from built_ins import RefusedAlone, is_no_weighting
from lossreg.testing import LossContract
from oracles import Draw, Example

TORCH = nn.MultiMarginLoss
REFUSED_BY_LOSSREG_ALONE: RefusedAlone = {
    "weight": (is_no_weighting, "Negative numbers"),
}

REDUCTIONS = ("mean", "sum", "none")
# torch has no bfloat16 kernel for this loss on the CPU.
DTYPES = (torch.float32, torch.float64)


def make_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.randn(5, 3, generator=generator),
        "target": torch.tensor([0, 2, 1, 1, 0]),
    }


def example(draw: Draw) -> Example:
    n, c = draw.rows(), draw.rng.randint(2, 4)
    params = draw.maybe(p=2, margin=0.7, weight=draw.numbers(c))
    weight = draw.tensor(params, "weight")
    options = {name: each for name, each in params.items() if name != "weight"}
    return Example(
        params=params,
        tensors={"input": draw.normal(n, c), "target": draw.labels(c, n)},
        leaves=("input",),
        loss=lambda t, r: F.multi_margin_loss(**t, weight=weight, reduction=r, **options),
        shape=(n,),
        axes={"input": ((0,), math.nan), "target": ((0,), 99)},
    )


class TestMultiMargin(LossContract):
    loss = "multi_margin"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return make_batch()


class TestMultiMarginSquaredWithWeight(TestMultiMargin):
    params = {"p": 2, "weight": [1.0, 2.0, 0.5]}  # noqa: RUF012  (the suite declares it)


def test_value_by_hand() -> None:
    scores, target = torch.tensor([[1.0, 2.0, 0.5]]), torch.tensor([0])
    # against class 1: 1 - 1 + 2 = 2;  against class 2: 1 - 1 + 0.5 = 0.5;  over 3 classes
    # p = 1: (2 + 0.5) / 3;  p = 2: (4 + 0.25) / 3, and 3 times that with weight 3
    found = [
        lossreg.create("multi_margin")(scores, target),
        lossreg.create("multi_margin", p=2)(scores, target),
        lossreg.create("multi_margin", p=2, weight=[3.0, 1.0, 1.0])(scores, target),
    ]
    torch.testing.assert_close(torch.stack(found), torch.tensor([2.5 / 3, 4.25 / 3, 4.25]))


def test_the_mean_divides_by_examples_not_by_weights() -> None:
    batch = make_batch()
    plain, weighted = (
        lossreg.create("multi_margin", weight=weight) for weight in (None, [2.0, 2.0, 2.0])
    )
    arguments = (batch["input"], batch["target"])
    torch.testing.assert_close(weighted(*arguments), 2 * plain(*arguments))


def test_scores_apart_by_the_margin_cost_nothing() -> None:
    scores = torch.tensor([[3.0, 1.0, 0.0], [-2.0, 0.0, -3.0]])
    assert lossreg.create("multi_margin", margin=2.0)(scores, torch.tensor([0, 1])) == 0


def test_a_weight_of_two_dimensions_is_refused() -> None:
    with pytest.raises(lossreg.ConfigError, match="weight"):
        lossreg.create("multi_margin", weight=torch.ones(1, 3))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_same_as_torch(dtype: torch.dtype) -> None:
    weights = (None, [1.0, 2.0, 0.5], [0.0, 1.0, 0.0])
    for reduction, p, margin, weight in itertools.product(
        REDUCTIONS, (1, 2), (-0.5, 0.0, 1, 2.5), weights
    ):
        reference = nn.MultiMarginLoss(
            p=p,
            margin=margin,
            weight=None if weight is None else torch.tensor(weight),
            reduction=reduction,
        )
        properties.assert_same_as_torch(
            "multi_margin",
            reference,
            make_batch(),
            dtype=dtype,
            reduction=reduction,
            p=p,
            margin=margin,
            weight=weight,
        )


@pytest.mark.parametrize("shape", [(2, 1), (1,)])
def test_one_class_is_refused(shape: tuple[int, ...]) -> None:
    target = torch.zeros(shape[:-1], dtype=torch.int64)
    assert nn.MultiMarginLoss()(torch.randn(shape), target) == 0
    said = properties.refusal("multi_margin", {"input": torch.randn(shape), "target": target})
    assert "'input' (path 'input'): expected at least two classes" in said
    assert "Is soft_margin meant" in said
