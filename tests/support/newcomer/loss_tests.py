"""Squared error with clipped gradients: what the test file of a newcomer's plugin holds."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
from lossreg.testing import LossContract
from oracles import Draw, Example, entrywise

TORCH = nn.HuberLoss


def example(draw: Draw) -> Example:
    shape, params = draw.shape(), draw.maybe(delta=draw.rng.choice([0.3, 2.0]))
    tensors = {"input": draw.normal(*shape), "target": draw.normal(*shape)}
    return entrywise(lambda t, r: F.huber_loss(**t, reduction=r, **params), tensors, **params)


class TestClippedMSE(LossContract):
    loss = "clipped_mse"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return {
            "input": torch.randn(4, 3, generator=generator),
            "target": torch.randn(4, 3, generator=generator),
        }


def test_value_by_hand() -> None:
    # delta is 1. 0.5 is below it: 0.5^2 / 2 = 0.125. 3 is not: 3 - 1/2 = 2.5.
    module = lossreg.create("clipped_mse", reduction="none")
    assert module(torch.tensor([0.5, 3.0]), torch.zeros(2)).tolist() == [0.125, 2.5]
