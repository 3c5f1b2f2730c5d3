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

TORCH = nn.SmoothL1Loss


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.randn(4, 3, generator=generator),
        "target": torch.randn(4, 3, generator=generator),
    }


def example(draw: Draw) -> Example:
    shape, params = draw.shape(), draw.maybe(beta=draw.rng.choice([0.0, 0.3, 2.0]))
    tensors = {"input": draw.normal(*shape), "target": draw.normal(*shape)}
    return entrywise(lambda t, r: F.smooth_l1_loss(**t, reduction=r, **params), tensors, **params)


class TestSmoothL1(LossContract):
    loss = "smooth_l1"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return batch()


@pytest.mark.parametrize(
    ("reduction", "expected"), [("none", [0.125, 0.5, 2.0]), ("sum", 2.625), ("mean", 0.875)]
)
def test_value_by_hand(reduction: str, expected: object) -> None:
    # beta is 1. |1 - 1.5| = 0.5 is below it: 0.5^2 / 2 = 0.125. |3 - 2| = 1 and |3.5 - 1| = 2.5
    # are not: 1 - 1/2 = 0.5 and 2.5 - 1/2 = 2.
    module = lossreg.create("smooth_l1", reduction=reduction)
    value = module(torch.tensor([1.0, 3.0, 3.5]), torch.tensor([1.5, 2.0, 1.0]))
    assert value.tolist() == expected


def test_beta_moves_the_turn_by_hand() -> None:
    # |3 - 1| = 2 is below a beta of 4: 2^2 / (2 * 4) = 0.5. It is above one of 0.5: 2 - 0.25.
    predictions, target = torch.tensor([3.0]), torch.tensor([1.0])
    assert lossreg.create("smooth_l1", beta=4.0)(predictions, target) == 0.5
    assert lossreg.create("smooth_l1", beta=0.5)(predictions, target) == 1.75


def test_beta_0_is_l1() -> None:
    arguments = batch().values()
    for beta in (0, 0.0):
        module = lossreg.create("smooth_l1", beta=beta)
        assert module(*arguments) == lossreg.create("l1")(*arguments)


def test_beta_beyond_every_error_is_scaled_mse() -> None:
    arguments = batch().values()
    value = lossreg.create("smooth_l1", beta=32.0)(*arguments)
    torch.testing.assert_close(value, lossreg.create("mse")(*arguments) / 64)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_is_torchs_bit_for_bit(dtype: torch.dtype) -> None:
    for reduction, beta in product(("mean", "sum", "none"), (1.0, 0.0, 0.3, 5.0)):
        params = {"reduction": reduction, "beta": beta}
        reference = nn.SmoothL1Loss(**params)
        assert_same_as_torch("smooth_l1", reference, batch(), dtype=dtype, **params)
