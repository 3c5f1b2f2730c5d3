"""Hinge embedding loss."""

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

TORCH = nn.HingeEmbeddingLoss

REDUCTIONS = ("mean", "sum", "none")


def make_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.rand(3, 4, generator=generator) * 2,
        "target": torch.tensor([1.0, -1.0, -1.0]).repeat(4).reshape(3, 4),
    }


def example(draw: Draw) -> Example:
    shape, params = draw.shape(), draw.maybe(margin=0.5)
    tensors = {"input": draw.uniform(*shape), "target": draw.signs(*shape)}
    return entrywise(
        lambda t, r: F.hinge_embedding_loss(**t, reduction=r, **params),
        tensors,
        ("input",),
        **params,
    )


class TestHingeEmbedding(LossContract):
    loss = "hinge_embedding"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return make_batch()


def test_value_by_hand() -> None:
    distance, target = torch.tensor([0.5, 0.5, 3.0]), torch.tensor([1.0, -1.0, -1.0])
    # similar: the distance, 0.5;  dissimilar: 2 - 0.5 = 1.5, and 2 - 3 < 0, so nothing
    expected = torch.tensor([0.5, 1.5, 0.0])
    loss = lossreg.create("hinge_embedding", margin=2.0, reduction="none")
    assert torch.equal(loss(distance, target), expected)


def test_dissimilar_pairs_cost_nothing_from_the_margin_on() -> None:
    distance = torch.tensor([1.0, 1.5, 100.0])
    assert lossreg.create("hinge_embedding")(distance, -torch.ones(3)) == 0


def test_dissimilar_distances_never_count_below_a_negative_margin() -> None:
    distance = torch.tensor([0.0, 0.5, 1.0])
    assert lossreg.create("hinge_embedding", margin=-1.0)(distance, -torch.ones(3)) == 0


@pytest.mark.parametrize("dtype", properties.FLOAT_DTYPES, ids=str)
def test_same_as_torch(dtype: torch.dtype) -> None:
    for reduction, margin in itertools.product(REDUCTIONS, (-0.5, 0.0, 1, 1.5)):
        reference = nn.HingeEmbeddingLoss(margin=margin, reduction=reduction)
        properties.assert_same_as_torch(
            "hinge_embedding",
            reference,
            make_batch(),
            dtype=dtype,
            reduction=reduction,
            margin=margin,
        )


def test_integer_targets_are_as_good() -> None:
    batch = make_batch()
    batch["target"] = batch["target"].long()
    properties.assert_same_as_torch("hinge_embedding", nn.HingeEmbeddingLoss(), batch)


def test_no_gradient_reaches_the_target() -> None:
    batch = make_batch()
    loss = lossreg.create("hinge_embedding")
    assert not loss(batch["input"], batch["target"].requires_grad_()).requires_grad


def test_a_negative_distance_is_refused() -> None:
    # torch's value falls without end.
    distance, target = torch.tensor([2.0, -5.0]), torch.ones(2)
    assert nn.HingeEmbeddingLoss()(distance, target) < 0
    said = properties.refusal("hinge_embedding", {"input": distance, "target": target})
    assert "'input' (path 'input'): expected no negative value, found -5" in said


def test_a_distance_may_be_rounded_to_below_0() -> None:
    # As 1 - cosine and x^2 + y^2 - 2xy are.
    tensors = {"input": torch.tensor([-1e-3, 0.5]), "target": torch.ones(2)}
    properties.assert_no_fault("hinge_embedding", tensors)
