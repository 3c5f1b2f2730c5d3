from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import lossreg
from parts import assert_parts_give_the_whole, rows
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "weather.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    options: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    cosines = torch.linspace(-0.45, 0.45, 4, dtype=torch.float64).mul(math.pi).cos()
    return {
        "forecast": torch.randn(5, 2, 3, 4, 4, requires_grad=True, **options),
        "analysis": torch.randn(5, 2, 3, 4, 4, **options),
        "variables": torch.tensor([1.0, 0.1, 0.5], dtype=torch.float64),
        "area": cosines / cosines.mean(),
    }


def by_hand(values: dict[str, Any]) -> Tensor:
    errors = (values["forecast"] - values["analysis"]).square()
    weights = values["variables"][:, None, None] * values["area"][:, None]
    return (weights * errors).mean()


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)


@pytest.mark.parametrize("sizes", [[3, 2], [1, 4]])
def test_micro_batches_equal_the_formula(sizes: list[int]) -> None:
    assert_parts_give_the_whole(
        lossreg.build(CONFIG),
        step,
        lambda values: rows(values, sizes, shared=("variables", "area")),
        by_hand,
        known=("analysis", "variables", "area"),
    )
