"""Groups that are repeated over lists, and what is compared with them, in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import lossreg
from properties import leaves

if TYPE_CHECKING:
    from collections.abc import Callable

DOUBLE = torch.float64
L1 = {"type": "l1", "inputs": ["fake", "real"]}
PAIR = {"fake": "g", "real": "r"}


def random(*shape: int, seed: int = 0, grad: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=DOUBLE).requires_grad_(grad)


def build(
    each: dict[str, Any], terms: dict[str, Any] | None = None, **group: Any
) -> lossreg.CompositeLoss:
    terms = {"l1": L1} if terms is None else terms
    config = {"terms": {"f": {"each": each, "terms": terms, **group}}}
    return lossreg.build(config).double()


def maps(rows: int = 4, seed: int = 0) -> dict[str, Any]:
    """Feature maps of three layers, of different sizes."""
    sizes = ((rows, 4, 9), (rows, 8, 5), (rows, 1, 3))
    return {
        "g": [random(*size, seed=seed + place, grad=True) for place, size in enumerate(sizes)],
        "r": [random(*size, seed=seed + 10 + place) for place, size in enumerate(sizes)],
    }


def assert_equal(
    loss: lossreg.CompositeLoss,
    values: Callable[[], dict[str, Any]],
    by_hand: Callable[[dict[str, Any]], Tensor],
) -> None:
    """The total and every gradient, in float64; once more after the first batch."""
    for _ in range(2):
        own, other = values(), values()
        total, expected = loss(own).total, by_hand(other)
        torch.testing.assert_close(total, expected, rtol=1e-12, atol=1e-14)
        total.backward()
        expected.backward()
        pairs = list(zip(leaves(own), leaves(other), strict=True))
        assert pairs
        for leaf, twin in pairs:
            if twin.grad is None or leaf.grad is None:
                assert all(one.grad is None or not one.grad.any() for one in (leaf, twin))
            else:
                torch.testing.assert_close(leaf.grad, twin.grad, rtol=1e-12, atol=1e-14)


def errors(values: dict[str, Any]) -> list[Tensor]:
    return [(fake - real).abs().mean() for fake, real in zip(values["g"], values["r"], strict=True)]
