from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
from lossreg.testing import LossContract
from oracles import Draw, Example, entrywise
from properties import FLOAT_DTYPES, assert_same_as_torch

TORCH = nn.MSELoss


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.randn(4, 3, generator=generator),
        "target": torch.randn(4, 3, generator=generator),
    }


def example(draw: Draw) -> Example:
    shape = draw.shape()
    tensors = {"input": draw.normal(*shape), "target": draw.normal(*shape)}
    return entrywise(lambda t, r: F.mse_loss(**t, reduction=r), tensors)


class TestMSE(LossContract):
    loss = "mse"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return batch()


@pytest.mark.parametrize(
    ("reduction", "expected"), [("none", [0.25, 0.0, 4.0]), ("sum", 4.25), ("mean", 4.25 / 3)]
)
def test_value_by_hand(reduction: str, expected: object) -> None:
    # (1 - 1.5)^2 = 0.25, (2 - 2)^2 = 0, (3 - 1)^2 = 4
    module = lossreg.create("mse", reduction=reduction)
    value = module(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.5, 2.0, 1.0]))
    assert value.tolist() == pytest.approx(expected)


def test_doubled_errors_quadruple_the_loss() -> None:
    error = batch()["input"]
    module, zero = lossreg.create("mse"), torch.zeros_like(error)
    assert module(2 * error, zero) == 4 * module(error, zero)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_is_torchs_bit_for_bit(dtype: torch.dtype) -> None:
    for reduction in ("mean", "sum", "none"):
        reference = nn.MSELoss(reduction=reduction)
        assert_same_as_torch("mse", reference, batch(), dtype=dtype, reduction=reduction)
