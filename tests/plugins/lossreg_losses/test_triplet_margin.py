"""Triplet margin loss."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
import properties
from built_ins import RefusedAlone
from lossreg.testing import LossContract
from oracles import Draw, Example

TORCH = nn.TripletMarginLoss
REFUSED_BY_LOSSREG_ALONE: RefusedAlone = {
    "eps": (lambda eps: eps < 0, "A negative number is refused"),
    "p": (lambda p: p <= 0, "0 and below, which are not the order of a norm"),
}
INFINITE = {"p"}  # the Chebyshev distance

REDUCTIONS = ("mean", "sum", "none")


def make_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(5, 4, generator=generator) for name in ("anchor", "positive", "negative")
    }


def example(draw: Draw) -> Example:
    n, d = draw.rows(), draw.rng.randint(2, 4)
    params = draw.maybe(margin=2.0, p=3.0, eps=0.1, swap=True)
    names = ("anchor", "positive", "negative")
    tensors = {name: draw.normal(n, d) for name in names}
    return Example(
        params=params,
        tensors=tensors,
        leaves=names,
        counted=(),
        loss=lambda t, r: F.triplet_margin_loss(**t, reduction=r, **params),
        shape=(n,),
        axes=dict.fromkeys(names, ((0,), math.nan)),
    )


class TestTripletMargin(LossContract):
    loss = "triplet_margin"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return make_batch()


class TestTripletMarginChebyshev(TestTripletMargin):
    params = {"p": math.inf}  # noqa: RUF012  (the suite declares it)


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        # from (0, 0) to (3, 4) and (6, 8), with margin 8
        (1.0, 1.0),  # 7 - 14 + 8
        (2.0, 3.0),  # 5 - 10 + 8
        (math.inf, 4.0),  # 4 - 8 + 8
    ],
)
def test_value_by_hand(p: float, expected: float) -> None:
    anchor, positive = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    negative = torch.tensor([[6.0, 8.0]])
    loss = lossreg.create("triplet_margin", margin=8.0, p=p, eps=0)
    torch.testing.assert_close(loss(anchor, positive, negative), torch.tensor(expected))


def test_swap_takes_the_nearer_of_anchor_and_positive() -> None:
    anchor, positive = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    negative = torch.tensor([[6.0, 8.0]])
    # the anchor is 10 away from the negative, the positive only 5: 5 - 10 + 1 < 0, 5 - 5 + 1 = 1
    plain, swapped = (lossreg.create("triplet_margin", eps=0, swap=swap) for swap in (False, True))
    assert plain(anchor, positive, negative) == 0
    torch.testing.assert_close(swapped(anchor, positive, negative), torch.tensor(1.0))


def test_equal_positive_and_negative_cost_the_margin() -> None:
    batch = make_batch()
    loss = lossreg.create("triplet_margin", margin=0.25)
    torch.testing.assert_close(
        loss(batch["anchor"], batch["positive"], batch["positive"]), torch.tensor(0.25)
    )


def test_a_negative_farther_by_the_margin_costs_nothing() -> None:
    anchor = torch.zeros(1, 2)
    loss = lossreg.create("triplet_margin", margin=2.0)
    assert loss(anchor, torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.5]])) == 0


@pytest.mark.parametrize("dtype", properties.FLOAT_DTYPES, ids=str)
def test_same_as_torch(dtype: torch.dtype) -> None:
    for reduction, margin, p, eps, swap in itertools.product(
        REDUCTIONS, (0.5, 3), (0.5, 1, 2.0, 3.0, math.inf), (0.0, 1e-6, 0.1), (False, True)
    ):
        reference = nn.TripletMarginLoss(
            margin=margin, p=p, eps=eps, swap=swap, reduction=reduction
        )
        properties.assert_same_as_torch(
            "triplet_margin",
            reference,
            make_batch(),
            dtype=dtype,
            reduction=reduction,
            margin=margin,
            p=p,
            eps=eps,
            swap=swap,
        )
