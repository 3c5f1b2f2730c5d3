"""Cosine embedding loss."""

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

TORCH = nn.CosineEmbeddingLoss
REFUSED_BY_LOSSREG_ALONE: RefusedAlone = {
    "margin": (lambda margin: abs(margin) > 1, "where no cosine lies"),
}

REDUCTIONS = ("mean", "sum", "none")


def make_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input1": torch.randn(6, 4, generator=generator),
        "input2": torch.randn(6, 4, generator=generator),
        "target": torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0]),
    }


def example(draw: Draw) -> Example:
    n, d = draw.rows(), draw.rng.randint(2, 4)
    params = draw.maybe(margin=0.2)
    tensors = {"input1": draw.normal(n, d), "input2": draw.normal(n, d), "target": draw.signs(n)}
    return Example(
        params=params,
        tensors=tensors,
        leaves=("input1", "input2"),
        loss=lambda t, r: F.cosine_embedding_loss(**t, reduction=r, **params),
        shape=(n,),
        axes=dict.fromkeys(tensors, ((0,), math.nan)),
    )


class TestCosineEmbedding(LossContract):
    loss = "cosine_embedding"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return make_batch()


def test_value_by_hand() -> None:
    first, second = torch.tensor([[3.0, 4.0]] * 3), torch.tensor([[4.0, 3.0]] * 2 + [[-4.0, 3.0]])
    target = torch.tensor([1.0, -1.0, -1.0])
    # cos = (12 + 12) / (5 * 5) = 0.96, so 1 - 0.96 if similar and 0.96 - 0.5 if not
    # cos = (-12 + 12) / (5 * 5) = 0, so nothing
    expected = torch.tensor([0.04, 0.46, 0.0])
    loss = lossreg.create("cosine_embedding", margin=0.5, reduction="none")
    torch.testing.assert_close(loss(first, second, target), expected)


def test_length_does_not_count() -> None:
    batch = make_batch()
    loss = lossreg.create("cosine_embedding", reduction="none")
    value = loss(batch["input1"], batch["input2"], batch["target"])
    torch.testing.assert_close(loss(3 * batch["input1"], batch["input2"], batch["target"]), value)


def test_dissimilar_pairs_never_count_with_margin_one_and_always_with_minus_one() -> None:
    batch = make_batch()
    vectors, target = (batch["input1"], batch["input2"]), -torch.ones(6)
    assert lossreg.create("cosine_embedding", margin=1.0)(*vectors, target) == 0
    always = lossreg.create("cosine_embedding", margin=-1.0, reduction="none")
    torch.testing.assert_close(
        always(*vectors, target), 1 + torch.cosine_similarity(*vectors, dim=1)
    )


@pytest.mark.parametrize("dtype", properties.FLOAT_DTYPES, ids=str)
def test_same_as_torch(dtype: torch.dtype) -> None:
    for reduction, margin in itertools.product(REDUCTIONS, (-1, -0.5, 0.0, 0.5, 1.0)):
        reference = nn.CosineEmbeddingLoss(margin=margin, reduction=reduction)
        properties.assert_same_as_torch(
            "cosine_embedding",
            reference,
            make_batch(),
            dtype=dtype,
            reduction=reduction,
            margin=margin,
        )


def test_integer_targets_are_as_good() -> None:
    batch = make_batch()
    batch["target"] = batch["target"].long()
    properties.assert_same_as_torch("cosine_embedding", nn.CosineEmbeddingLoss(), batch)


def test_no_gradient_reaches_the_target() -> None:
    batch = make_batch()
    loss = lossreg.create("cosine_embedding")
    value = loss(batch["input1"], batch["input2"], batch["target"].requires_grad_())
    assert not value.requires_grad


def test_vectors_of_one_number_are_refused() -> None:
    one, other = torch.randn(4, 1), torch.randn(4, 1)
    said = properties.refusal(
        "cosine_embedding", {"input1": one, "input2": other, "target": torch.ones(4)}
    )
    assert "'input1' (path 'input1'): expected vectors of several numbers" in said
    assert "hinge_embedding" in said
