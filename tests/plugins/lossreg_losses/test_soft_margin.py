"""Soft margin loss."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
import properties
from lossreg.testing import LossContract
from oracles import Draw, Example, entrywise

TORCH = nn.SoftMarginLoss

REDUCTIONS = ("mean", "sum", "none")


def make_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.randn(3, 4, generator=generator),
        "target": torch.tensor([1.0, -1.0, -1.0]).repeat(4).reshape(3, 4),
    }


def example(draw: Draw) -> Example:
    shape = draw.shape()
    tensors = {"input": draw.normal(*shape), "target": draw.signs(*shape)}
    return entrywise(lambda t, r: F.soft_margin_loss(**t, reduction=r), tensors, ("input",))


class TestSoftMargin(LossContract):
    loss = "soft_margin"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return make_batch()


def test_value_by_hand() -> None:
    logits = torch.tensor([0.0, math.log(3), math.log(3)])
    target = torch.tensor([1.0, 1.0, -1.0])
    # log(1 + 1) = log 2;  log(1 + 1/3) = log 4/3;  log(1 + 3) = log 4
    expected = torch.tensor([math.log(2), math.log(4 / 3), math.log(4)])
    loss = lossreg.create("soft_margin", reduction="none")
    torch.testing.assert_close(loss(logits, target), expected)


def test_a_sure_score_costs_nothing_if_right_and_itself_if_wrong() -> None:
    loss = lossreg.create("soft_margin", reduction="none")
    value = loss(torch.tensor([40.0, -40.0]), torch.ones(2))
    torch.testing.assert_close(value, torch.tensor([0.0, 40.0]))


def test_overflows_beyond_the_score_that_avoid_when_names() -> None:
    loss = lossreg.create("soft_margin", reduction="none")
    # Not 88: torch 2.6 rounds its exponential up, to infinity.
    value = loss(torch.tensor([-87.0, -89.0]), torch.ones(2))
    assert value.isfinite().tolist() == [True, False]


@pytest.mark.parametrize("dtype", properties.FLOAT_DTYPES, ids=str)
def test_same_as_torch(dtype: torch.dtype) -> None:
    for reduction in REDUCTIONS:
        reference = nn.SoftMarginLoss(reduction=reduction)
        properties.assert_same_as_torch(
            "soft_margin", reference, make_batch(), dtype=dtype, reduction=reduction
        )


def test_integer_targets_are_as_good() -> None:
    batch = make_batch()
    batch["target"] = batch["target"].long()
    properties.assert_same_as_torch("soft_margin", nn.SoftMarginLoss(), batch)


def test_torch_refuses_a_gradient_of_the_target() -> None:
    batch = make_batch()
    loss = lossreg.create("soft_margin")
    with pytest.raises(RuntimeError, match="target"):
        loss(batch["input"], batch["target"].requires_grad_())
