"""What a target counts in a class-weighted mean."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from lossreg.plugin import ClassWeights, LossConfig, target_weights, to_tensor


class Config(LossConfig):
    weight: ClassWeights | None = None


def module(**params: Any) -> nn.Module:
    config = Config(**params)
    return nn.NLLLoss(weight=to_tensor(config.weight), ignore_index=1)


@pytest.mark.parametrize(
    ("weight", "target", "expected"),
    [
        (None, [0, 1, 2], [1, 0, 1]),
        ([0.5, 4.0, 2.0], [0, 1, 2], [0.5, 0.0, 2.0]),
        ([0.5, 4.0, 2.0], [[2], [1]], [[2.0], [0.0]]),
        ([0.5, 4.0, 2.0], 2, 2.0),
    ],
)
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8])
def test_a_target_counts_what_its_class_does(
    dtype: torch.dtype, weight: Any, target: Any, expected: Any
) -> None:
    inputs = {"target": torch.tensor(target, dtype=dtype)}
    assert target_weights(module(weight=weight), inputs).tolist() == expected


def test_an_ignored_target_is_no_index() -> None:
    loss = nn.NLLLoss(weight=torch.tensor([0.5, 2.0]), ignore_index=-100)
    inputs = {"target": torch.tensor([-100, 1])}
    assert target_weights(loss, inputs).tolist() == [0.0, 2.0]


@pytest.mark.parametrize(
    ("shape", "counted"), [((3,), ()), ((4, 3), (4,)), ((4, 3, 2, 2), (4, 2, 2))]
)
def test_class_probabilities_count_1_each(shape: tuple[int, ...], counted: tuple[int, ...]) -> None:
    inputs = {"target": torch.rand(shape)}
    found = target_weights(module(weight=[0.5, 4.0, 2.0]), inputs)
    assert torch.equal(found, torch.ones(counted))
