"""Short runs of a Trainer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ragged_training import Samples

SIZE = 2


def assert_equal_gradients(found: list[Tensor], expected: list[Tensor]) -> None:
    """Within 8 units in the last place of the largest entry."""
    assert len(found) == len(expected)
    for each, other in zip(found, expected, strict=True):
        assert (each - other).abs().max() <= 8 * torch.finfo(torch.float64).eps * other.abs().max()


def loader(count: int, **options: Any) -> DataLoader[dict[str, Tensor]]:
    return DataLoader(Samples(count), batch_size=SIZE, **options)
