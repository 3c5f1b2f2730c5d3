from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from parts import assert_parts_give_the_whole, rows
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "keypoints.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    options: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    visible = (torch.rand(6, 3, **options) < 0.6).double()
    visible[4] = 0.0
    return {
        "heatmaps": torch.randn(6, 3, 4, 5, requires_grad=True, **options),
        "target": torch.rand(6, 3, 4, 5, **options),
        "visible": visible,
        "hardness": torch.tensor([1.0, 1.2, 1.5], dtype=torch.float64),
    }


def by_hand(values: dict[str, Any]) -> Tensor:
    errors = functional.mse_loss(values["heatmaps"], values["target"], reduction="none")
    weights = values["visible"] * values["hardness"]
    return (errors * weights[:, :, None, None]).mean()


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)


@pytest.mark.parametrize("sizes", [[4, 2], [1, 2, 1, 2]])
def test_micro_batches_equal_the_formula(sizes: list[int]) -> None:
    assert_parts_give_the_whole(
        lossreg.build(CONFIG),
        step,
        lambda values: rows(values, sizes, shared=("hardness",)),
        by_hand,
        known=("target", "visible", "hardness"),
    )


def test_who_shows_nothing_learns_nothing() -> None:
    values = step()
    lossreg.build(CONFIG)(values).total.backward()
    assert not values["heatmaps"].grad[4].any()
