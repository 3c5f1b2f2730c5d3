"""Triplet margin loss with a distance by name."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
import properties
from lossreg.testing import LossContract
from oracles import Draw, Example

# Written down again, as torch's documentation has them.
DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "euclidean": nn.PairwiseDistance(),
    "squared_euclidean": lambda u, v: ((u - v) ** 2).sum(-1),
    "manhattan": nn.PairwiseDistance(p=1),
    "chebyshev": nn.PairwiseDistance(p=math.inf),
    "cosine": lambda u, v: 1 - F.cosine_similarity(u, v, dim=-1),
}


class WithDistance(nn.TripletMarginWithDistanceLoss):
    """torch's module, with its distance by name."""

    def __init__(self, distance: str = "euclidean", **params: Any) -> None:
        if distance not in DISTANCES:
            raise ValueError(f"no distance is named {distance!r}")
        super().__init__(distance_function=DISTANCES[distance], **params)


TORCH = WithDistance
REDUCTIONS = ("mean", "sum", "none")


def make_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(5, 4, generator=generator) for name in ("anchor", "positive", "negative")
    }


def example(draw: Draw) -> Example:
    n, d = draw.rows(), draw.rng.randint(2, 4)
    params = draw.maybe(margin=2.0, swap=True, distance=draw.rng.choice(list(DISTANCES)))
    torchs = {**params, "distance_function": DISTANCES[params.get("distance", "euclidean")]}
    torchs.pop("distance", None)
    names = ("anchor", "positive", "negative")
    tensors = {name: draw.normal(n, d) for name in names}
    return Example(
        params=params,
        tensors=tensors,
        leaves=names,
        counted=(),
        loss=lambda t, r: F.triplet_margin_with_distance_loss(**t, reduction=r, **torchs),
        shape=(n,),
        axes=dict.fromkeys(names, ((0,), math.nan)),
    )


class TestTripletMarginWithDistance(LossContract):
    loss = "triplet_margin_with_distance"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return make_batch()


class TestTripletMarginOfCosines(TestTripletMarginWithDistance):
    params = {"distance": "cosine"}  # noqa: RUF012  (the suite declares it)


class TestTripletMarginOfSquares(TestTripletMarginWithDistance):
    params = {"distance": "squared_euclidean", "margin": 8.0}  # noqa: RUF012


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        # from (0, 3) to (4, 0) and (0, 1), with margin 30
        ("euclidean", 33.0),  # 5 - 2 + 30
        ("squared_euclidean", 51.0),  # 25 - 4 + 30
        ("manhattan", 35.0),  # 7 - 2 + 30
        ("chebyshev", 32.0),  # 4 - 2 + 30
        ("cosine", 31.0),  # 1 - 0 + 30: one is across, the other points the same way
    ],
)
def test_value_by_hand(distance: str, expected: float) -> None:
    anchor, positive = torch.tensor([[0.0, 3.0]]), torch.tensor([[4.0, 0.0]])
    negative = torch.tensor([[0.0, 1.0]])
    loss = lossreg.create("triplet_margin_with_distance", margin=30.0, distance=distance)
    torch.testing.assert_close(loss(anchor, positive, negative), torch.tensor(expected))


def test_every_distance_that_is_offered_is_tested() -> None:
    config = lossreg.Registry.installed()["triplet_margin_with_distance"].config
    assert get_args(config.model_fields["distance"].annotation) == tuple(DISTANCES)


def test_the_default_is_triplet_margin() -> None:
    batch = make_batch().values()
    value = lossreg.create("triplet_margin_with_distance", swap=True)(*batch)
    torch.testing.assert_close(value, lossreg.create("triplet_margin", swap=True)(*batch))


def test_equal_vectors_have_a_finite_gradient() -> None:
    for distance in DISTANCES:
        anchor = torch.ones(2, 3, requires_grad=True)
        loss = lossreg.create("triplet_margin_with_distance", distance=distance)
        loss(anchor, torch.ones(2, 3), torch.ones(2, 3)).backward()
        assert anchor.grad is not None
        assert anchor.grad.isfinite().all()


@pytest.mark.parametrize("dtype", properties.FLOAT_DTYPES, ids=str)
def test_same_as_torch(dtype: torch.dtype) -> None:
    for reduction, margin, distance, swap in itertools.product(
        REDUCTIONS, (0.5, 3), DISTANCES, (False, True)
    ):
        params = {"margin": margin, "distance": distance, "swap": swap, "reduction": reduction}
        properties.assert_same_as_torch(
            "triplet_margin_with_distance",
            WithDistance(**params),
            make_batch(),
            dtype=dtype,
            **params,
        )
