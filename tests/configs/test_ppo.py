from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from parts import assert_parts_give_the_whole, rows
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "ppo.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def drawn() -> Tensor:
        # All require a gradient, as where one network gives them.
        numbers = torch.randn(8, generator=generator, dtype=torch.float64)
        return numbers.requires_grad_()

    names = ("logp", "old_logp", "advantages", "entropy", "values", "returns")
    return {name: drawn() for name in names}


def by_hand(values: dict[str, Any]) -> Tensor:
    old_logp, advantages, returns = (
        values[name].detach() for name in ("old_logp", "advantages", "returns")
    )
    ratio = (values["logp"] - old_logp).exp()
    clipped = ratio.clamp(0.8, 1.2)
    surrogate = torch.minimum(ratio * advantages, clipped * advantages).mean()
    critic = functional.mse_loss(values["values"], returns)
    return -surrogate - 0.01 * values["entropy"].mean() + 0.5 * critic


def test_it_equals_the_formula() -> None:
    ratio = (step()["logp"] - step()["old_logp"]).exp()
    assert ((ratio < 0.8) | (ratio > 1.2)).any()
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)


@pytest.mark.parametrize("sizes", [[6, 2], [1, 3, 2, 2]])
def test_micro_batches_equal_the_formula(sizes: list[int]) -> None:
    assert_parts_give_the_whole(
        lossreg.build(CONFIG),
        step,
        lambda values: rows(values, sizes),
        by_hand,
        known=("old_logp", "advantages", "returns"),
    )


def test_a_policy_that_went_too_far_is_not_pushed_on() -> None:
    values = step()
    lossreg.build(CONFIG)(values).total.backward()
    ratio = (values["logp"] - values["old_logp"]).detach().exp()
    gains = torch.where(values["advantages"] > 0, ratio > 1.2, ratio < 0.8)
    assert gains.any()
    assert torch.equal(values["logp"].grad == 0, gains)
