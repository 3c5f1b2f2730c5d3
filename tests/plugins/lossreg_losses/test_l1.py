from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
from lossreg.testing import LossContract
from oracles import Draw, Example, entrywise
from properties import FLOAT_DTYPES, assert_same_as_torch

TORCH = nn.L1Loss


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.randn(4, 3, generator=generator),
        "target": torch.randn(4, 3, generator=generator),
    }


def example(draw: Draw) -> Example:
    shape = draw.shape()
    tensors = {"input": draw.normal(*shape), "target": draw.normal(*shape)}
    return entrywise(lambda t, r: F.l1_loss(**t, reduction=r), tensors)


class TestL1(LossContract):
    loss = "l1"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return batch()


@pytest.mark.parametrize(
    ("reduction", "expected"), [("none", [0.5, 0.0, 2.5]), ("sum", 3.0), ("mean", 1.0)]
)
def test_value_by_hand(reduction: str, expected: object) -> None:
    # |1 - 1.5| = 0.5, |2 - 2| = 0, |3.5 - 1| = 2.5
    module = lossreg.create("l1", reduction=reduction)
    value = module(torch.tensor([1.0, 2.0, 3.5]), torch.tensor([1.5, 2.0, 1.0]))
    assert value.tolist() == expected


def test_doubled_errors_double_the_loss() -> None:
    error = batch()["input"]
    module, zero = lossreg.create("l1"), torch.zeros_like(error)
    assert module(2 * error, zero) == 2 * module(error, zero)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_is_torchs_bit_for_bit(dtype: torch.dtype) -> None:
    for reduction in ("mean", "sum", "none"):
        reference = nn.L1Loss(reduction=reduction)
        assert_same_as_torch("l1", reference, batch(), dtype=dtype, reduction=reduction)
