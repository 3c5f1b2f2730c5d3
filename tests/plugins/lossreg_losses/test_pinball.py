from __future__ import annotations

import pytest
import torch
from torch import Tensor

import lossreg
from lossreg.testing import LossContract
from oracles import Draw, Example, entrywise

TORCH = None  # it has no such loss


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.randn(4, 3, generator=generator),
        "target": torch.randn(4, 3, generator=generator),
    }


def by_hand(tensors: dict[str, Tensor], reduction: str, q: float = 0.5) -> Tensor:
    short = tensors["target"] - tensors["input"]
    losses = torch.max(q * short, (q - 1) * short)
    return losses if reduction == "none" else getattr(losses, reduction)()


def example(draw: Draw) -> Example:
    shape, params = draw.shape(), draw.maybe(q=draw.rng.choice([0.1, 0.9]))
    tensors = {"input": draw.normal(*shape), "target": draw.normal(*shape)}
    return entrywise(lambda t, r: by_hand(t, r, **params), tensors, **params)


class TestPinball(LossContract):
    loss = "pinball"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return batch()


class TestPinballOfAHighQuantile(TestPinball):
    params = {"q": 0.9}  # noqa: RUF012  (the suite declares it)


@pytest.mark.parametrize(
    ("reduction", "expected"), [("none", [1.75, 0.25]), ("sum", 2.0), ("mean", 1.0)]
)
def test_value_by_hand(reduction: str, expected: object) -> None:
    # q is 0.875. The target is 2 above the first: 0.875 * 2; and 2 below the second: 0.125 * 2.
    module = lossreg.create("pinball", q=0.875, reduction=reduction)
    assert module(torch.tensor([1.0, 3.0]), torch.tensor([3.0, 1.0])).tolist() == expected


def test_the_median_is_half_of_l1() -> None:
    arguments = batch().values()
    assert lossreg.create("pinball")(*arguments) == lossreg.create("l1")(*arguments) / 2


def test_the_best_constant_is_the_quantile() -> None:
    targets = torch.arange(101.0)
    loss = lossreg.create("pinball", q=0.9)
    costs = [loss(torch.full((101,), limit), targets).item() for limit in range(101)]
    assert min(range(101), key=costs.__getitem__) == torch.quantile(targets, 0.9) == 90


@pytest.mark.parametrize("q", [0, 1, -0.1, 1.1])
def test_what_is_no_quantile_is_refused(q: float) -> None:
    with pytest.raises(lossreg.ConfigError, match=r"\.q\b"):
        lossreg.create("pinball", q=q)
