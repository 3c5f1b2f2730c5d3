from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "beta_vae.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(8, 4, generator=generator)
    log_variance = torch.randn(8, 4, generator=generator)
    kl = (mean**2 + log_variance.exp() - 1 - log_variance) / 2
    return {
        "pixels": torch.randn(8, 1, 6, 6, generator=generator, requires_grad=True),
        "image": torch.rand(8, 1, 6, 6, generator=generator),
        "batch_size": 8,
        "kl": kl.requires_grad_(),
    }


def by_hand(values: dict[str, Any], beta: float) -> Tensor:
    rebuild = functional.binary_cross_entropy_with_logits(
        values["pixels"], values["image"], reduction="sum"
    )
    kl: Tensor = values["kl"]
    return rebuild / 8 + beta * kl.sum(1).mean()


def test_at_first_the_code_is_free() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, lambda values: by_hand(values, 0.0))


def test_the_constraint_grows_with_the_steps() -> None:
    loss = lossreg.build(CONFIG, overrides=["loss.terms.prior.weight.steps=4"])
    for beta in (0.0, 1.0, 2.0, 3.0, 4.0, 4.0):
        assert_same_as_by_hand(loss, step, lambda values, beta=beta: by_hand(values, beta))
        loss.step()


def test_at_the_end_it_is_the_beta_vae() -> None:
    loss = lossreg.build(CONFIG)
    for _ in range(10_000):
        loss.step()
    assert_same_as_by_hand(loss, step, lambda values: by_hand(values, 4.0))
