from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
from lossreg.testing import LossContract
from oracles import Draw, Example, entrywise
from properties import FLOAT_DTYPES, assert_same_as_torch

TORCH = nn.HuberLoss


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.randn(4, 3, generator=generator),
        "target": torch.randn(4, 3, generator=generator),
    }


def example(draw: Draw) -> Example:
    shape, params = draw.shape(), draw.maybe(delta=draw.rng.choice([0.3, 2.0]))
    tensors = {"input": draw.normal(*shape), "target": draw.normal(*shape)}
    return entrywise(lambda t, r: F.huber_loss(**t, reduction=r, **params), tensors, **params)


class TestHuber(LossContract):
    loss = "huber"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return batch()


@pytest.mark.parametrize(
    ("reduction", "expected"), [("none", [0.125, 2.0, 7.5]), ("sum", 9.625), ("mean", 9.625 / 3)]
)
def test_value_by_hand(reduction: str, expected: object) -> None:
    # delta is 3. 0.5^2 / 2 = 0.125 and 2^2 / 2 = 2 are below it; 4 is not: 3 (4 - 3/2) = 7.5.
    module = lossreg.create("huber", reduction=reduction, delta=3.0)
    value = module(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([1.5, 1.0, 1.0]))
    torch.testing.assert_close(value, torch.tensor(expected))


def test_it_is_smooth_l1_times_delta() -> None:
    arguments = batch().values()
    value = lossreg.create("huber", delta=0.3)(*arguments)
    torch.testing.assert_close(value, 0.3 * lossreg.create("smooth_l1", beta=0.3)(*arguments))


def test_a_delta_beyond_every_error_is_half_of_mse() -> None:
    arguments = batch().values()
    value = lossreg.create("huber", delta=32.0)(*arguments)
    torch.testing.assert_close(value, lossreg.create("mse")(*arguments) / 2)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_is_torchs_bit_for_bit(dtype: torch.dtype) -> None:
    for reduction, delta in product(("mean", "sum", "none"), (1.0, 0.3, 5.0)):
        params = {"reduction": reduction, "delta": delta}
        reference = nn.HuberLoss(**params)
        assert_same_as_torch("huber", reference, batch(), dtype=dtype, **params)
