from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import lossreg
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "wgan_generator.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    return {"scores": {"fake": torch.randn(8, generator=generator, requires_grad=True)}}


def by_hand(values: dict[str, Any]) -> Tensor:
    fake: Tensor = values["scores"]["fake"]
    return -fake.mean()


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)
