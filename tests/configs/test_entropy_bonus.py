from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "entropy_bonus.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    return {
        "policy": {
            "logits": torch.randn(8, 3, generator=generator, requires_grad=True),
            "entropy": torch.rand(8, generator=generator, requires_grad=True),
        },
        "actions": torch.randint(3, (8,), generator=generator),
        "advantages": torch.randn(8, generator=generator, requires_grad=True),
        "values": torch.randn(8, generator=generator, requires_grad=True),
        "returns": torch.randn(8, generator=generator),
        "batch_size": 8,
    }


def by_hand(values: dict[str, Any], bonus: float) -> Tensor:
    log_probs = functional.log_softmax(values["policy"]["logits"], dim=-1)
    taken = log_probs.gather(1, values["actions"].unsqueeze(1)).squeeze(1)
    policy = -(values["advantages"].detach() * taken).mean()
    critic = functional.mse_loss(values["values"], values["returns"])
    return policy - bonus * values["policy"]["entropy"].mean() + 0.5 * critic


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, lambda values: by_hand(values, 0.01))


def test_the_bonus_fades() -> None:
    loss = lossreg.build(CONFIG, overrides=["loss.terms.entropy.weight.steps=2"])
    for bonus in (0.01, 0.0055, 0.001, 0.001):
        assert_same_as_by_hand(loss, step, lambda values, bonus=bonus: by_hand(values, bonus))
        loss.step()


def test_more_entropy_is_a_smaller_total() -> None:
    values = step()
    lossreg.build(CONFIG)(values).total.backward()
    assert (values["policy"]["entropy"].grad < 0).all()
