from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import lossreg
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "wgan_critic.yaml"


def penalties(critic: nn.Module, points: Tensor) -> Tensor:
    points = points.detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return (slope.norm(dim=1) - 1) ** 2


def test_the_critic_gets_the_formulas_gradients_through_the_penalty() -> None:
    generator = torch.Generator().manual_seed(0)
    real, fake, part = (torch.randn(8, 5, generator=generator) for _ in range(3))
    between = part.sigmoid() * real + (1 - part.sigmoid()) * fake
    gradients = []
    for use_lossreg in (True, False):
        torch.manual_seed(0)
        critic = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0))
        scores = {"real": critic(real), "fake": critic(fake)}
        penalty = penalties(critic, between)
        if use_lossreg:
            total = lossreg.build(CONFIG)(scores=scores, penalty=penalty).total
        else:
            total = scores["fake"].mean() - scores["real"].mean() + 10 * penalty.mean()
        total.backward()
        gradients.append([each.grad for each in critic.parameters()])
    # The last bias shifts all scores alike: the sum is 0 but for its rounding.
    torch.testing.assert_close(*gradients)


def test_it_equals_the_formula() -> None:
    def step() -> dict[str, Any]:
        generator = torch.Generator().manual_seed(0)
        real, fake, penalty = (
            torch.randn(8, generator=generator, requires_grad=True) for _ in range(3)
        )
        return {"scores": {"real": real, "fake": fake}, "penalty": penalty}

    def by_hand(values: dict[str, Any]) -> Tensor:
        scores: dict[str, Tensor] = values["scores"]
        return scores["fake"].mean() - scores["real"].mean() + 10 * values["penalty"].mean()

    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)
