from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "contrastive.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    return {
        "similarity": (torch.rand(6, 6, generator=generator) * 2 - 1).requires_grad_(),
        "pairs": torch.arange(6),
        "logits": torch.randn(6, 5, generator=generator, requires_grad=True),
        "labels": torch.randint(5, (6,), generator=generator),
    }


def by_hand(values: dict[str, Any]) -> Tensor:
    scaled, pairs = values["similarity"] / 0.07, values["pairs"]
    both = functional.cross_entropy(scaled, pairs) + functional.cross_entropy(scaled.T, pairs)
    return both / 2 + 0.2 * functional.cross_entropy(values["logits"], values["labels"])


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)
