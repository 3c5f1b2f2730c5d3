"""Multi-label margin loss."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
import properties
from lossreg.testing import LossContract
from oracles import Draw, Example

TORCH = nn.MultiLabelMarginLoss

REDUCTIONS = ("mean", "sum", "none")
# torch has no bfloat16 kernel for this loss on the CPU.
DTYPES = (torch.float32, torch.float64)


def make_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.randn(3, 4, generator=generator),
        "target": torch.tensor([[0, 3, -1, 1], [2, -1, -1, -1], [1, 0, 2, -1]]),
    }


def example(draw: Draw) -> Example:
    n, c = draw.rows(), draw.rng.randint(2, 4)
    target = torch.full((n, c), -1)
    for row in range(n):
        labels = draw.rng.sample(range(c), draw.rng.randint(1, c))
        target[row, : len(labels)] = torch.tensor(labels)
    return Example(
        tensors={"input": draw.normal(n, c), "target": target},
        leaves=("input",),
        loss=lambda t, r: F.multilabel_margin_loss(**t, reduction=r),
        shape=(n,),
        axes={"input": ((0,), math.nan), "target": ((0,), 99)},
    )


class TestMultilabelMargin(LossContract):
    loss = "multilabel_margin"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return make_batch()


def test_value_by_hand() -> None:
    scores = torch.tensor([[1.0, 0.5, -1.0], [1.0, 0.5, -1.0]])
    target = torch.tensor([[0, 2, -1], [0, -1, -1]])
    # classes 0 and 2 against 1: (1 - 1 + 0.5) + (1 + 1 + 0.5) = 3, over 3 classes
    # class 0 against 1 and 2: (1 - 1 + 0.5) + max(0, 1 - 1 - 1) = 0.5, over 3 classes
    expected = torch.tensor([1.0, 0.5 / 3])
    loss = lossreg.create("multilabel_margin", reduction="none")
    torch.testing.assert_close(loss(scores, target), expected)


def test_what_follows_the_first_minus_one_does_not_count() -> None:
    scores = make_batch()["input"]
    loss = lossreg.create("multilabel_margin")
    ended = loss(scores, torch.tensor([[1, -1, -1, -1]] * 3))
    assert torch.equal(loss(scores, torch.tensor([[1, -1, 0, 3]] * 3)), ended)


@pytest.mark.parametrize("target", [[0, 1, 2, 3], [-1, -1, -1, -1]], ids=["all", "none"])
def test_without_pairs_to_compare_the_value_is_zero(target: list[int]) -> None:
    loss = lossreg.create("multilabel_margin")
    assert loss(make_batch()["input"], torch.tensor([target] * 3)) == 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_same_as_torch(dtype: torch.dtype) -> None:
    for reduction in REDUCTIONS:
        reference = nn.MultiLabelMarginLoss(reduction=reduction)
        properties.assert_same_as_torch(
            "multilabel_margin", reference, make_batch(), dtype=dtype, reduction=reduction
        )


@pytest.mark.parametrize("shape", [(2, 1), (1,)])
def test_one_class_is_refused(shape: tuple[int, ...]) -> None:
    target = torch.zeros(shape, dtype=torch.int64)
    assert nn.MultiLabelMarginLoss()(torch.randn(shape), target) == 0
    said = properties.refusal("multilabel_margin", {"input": torch.randn(shape), "target": target})
    assert "'input' (path 'input'): expected at least two classes" in said
    assert "Is soft_margin meant" in said
