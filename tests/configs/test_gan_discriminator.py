from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "gan_discriminator.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    return {
        "scores": {
            "real": torch.randn(8, 1, generator=generator, requires_grad=True),
            "fake": torch.randn(8, 1, generator=generator, requires_grad=True),
        }
    }


def by_hand(values: dict[str, Any]) -> Tensor:
    real, fake = values["scores"]["real"], values["scores"]["fake"]
    return functional.binary_cross_entropy_with_logits(
        real, torch.full((8, 1), 0.9)
    ) + functional.binary_cross_entropy_with_logits(fake, torch.zeros(8, 1))


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)
