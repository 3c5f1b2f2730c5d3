from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "gan_generator.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    return {
        "scores": {"fake": torch.randn(8, 1, generator=generator, requires_grad=True)},
        "features": {
            "fake": torch.randn(16, generator=generator, requires_grad=True),
            "real": torch.randn(16, generator=generator, requires_grad=True),
        },
    }


def by_hand(values: dict[str, Any]) -> Tensor:
    features = values["features"]
    fool = functional.binary_cross_entropy_with_logits(values["scores"]["fake"], torch.ones(8, 1))
    return fool + 0.1 * functional.mse_loss(features["fake"], features["real"].detach())


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)


def test_real_features_are_no_part_of_the_graph() -> None:
    values = step()
    lossreg.build(CONFIG)(values).total.backward()
    assert values["features"]["real"].grad is None
