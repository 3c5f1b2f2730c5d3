"""Margin ranking loss."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
import properties
from lossreg.testing import LossContract
from oracles import Draw, Example, entrywise

TORCH = nn.MarginRankingLoss

REDUCTIONS = ("mean", "sum", "none")


def make_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input1": torch.randn(6, generator=generator),
        "input2": torch.randn(6, generator=generator),
        "target": torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0]),
    }


def example(draw: Draw) -> Example:
    shape, params = draw.shape(), draw.maybe(margin=0.3)
    tensors = {
        "input1": draw.normal(*shape),
        "input2": draw.normal(*shape),
        "target": draw.signs(*shape),
    }
    return entrywise(
        lambda t, r: F.margin_ranking_loss(**t, reduction=r, **params),
        tensors,
        ("input1", "input2"),
        **params,
    )


class TestMarginRanking(LossContract):
    loss = "margin_ranking"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return make_batch()


def test_value_by_hand() -> None:
    first, second = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([3.0, 1.75, 1.0])
    target = torch.tensor([1.0, 1.0, -1.0])
    # -1 (1 - 3) + 0.5 = 2.5;  -1 (2 - 1.75) + 0.5 = 0.25;  1 (4 - 1) + 0.5 = 3.5
    expected = torch.tensor([2.5, 0.25, 3.5])
    loss = lossreg.create("margin_ranking", margin=0.5, reduction="none")
    assert torch.equal(loss(first, second, target), expected)


def test_pairs_in_the_right_order_cost_nothing_beyond_the_margin() -> None:
    first, second = torch.tensor([3.0, 0.0]), torch.tensor([1.0, 2.0])
    target = torch.tensor([1.0, -1.0])
    assert lossreg.create("margin_ranking", margin=2.0)(first, second, target) == 0


def test_a_negative_margin_forgives_small_mistakes() -> None:
    # -1 (1 - 1.5) - 1 = -0.5, so nothing;  -1 (1 - 3) - 1 = 1
    first, second = torch.tensor([1.0, 1.0]), torch.tensor([1.5, 3.0])
    loss = lossreg.create("margin_ranking", margin=-1.0, reduction="none")
    assert torch.equal(loss(first, second, torch.ones(2)), torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("dtype", properties.FLOAT_DTYPES, ids=str)
def test_same_as_torch(dtype: torch.dtype) -> None:
    for reduction, margin in itertools.product(REDUCTIONS, (-0.5, 0, 0.0, 2.0)):
        reference = nn.MarginRankingLoss(margin=margin, reduction=reduction)
        properties.assert_same_as_torch(
            "margin_ranking",
            reference,
            make_batch(),
            dtype=dtype,
            reduction=reduction,
            margin=margin,
        )


def test_integer_targets_are_as_good() -> None:
    batch = make_batch()
    batch["target"] = batch["target"].long()
    properties.assert_same_as_torch("margin_ranking", nn.MarginRankingLoss(), batch)
