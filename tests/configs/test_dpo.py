from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from parts import assert_parts_give_the_whole, rows
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "dpo.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def answers() -> dict[str, Tensor]:
        # The reference's as well require a gradient, which it must not get.
        return {
            name: (-30 * torch.rand(8, generator=generator, dtype=torch.float64)).requires_grad_()
            for name in ("chosen", "rejected")
        }

    lengths = torch.randint(3, 20, (8,), generator=generator)
    return {"policy": answers(), "reference": answers(), "lengths": lengths}


def by_hand(values: dict[str, Any], certainty: float = 1.0) -> Tensor:
    policy, reference = values["policy"], values["reference"]
    chosen = policy["chosen"] - reference["chosen"].detach()
    rejected = policy["rejected"] - reference["rejected"].detach()
    margin = 0.1 * (chosen - rejected)
    right, wrong = functional.logsigmoid(margin), functional.logsigmoid(-margin)
    preferred = -(certainty * right + (1 - certainty) * wrong).mean()
    return preferred - (policy["chosen"] / values["lengths"]).mean()


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)


def test_a_target_below_1_smooths_the_labels() -> None:
    loss = lossreg.build(CONFIG, overrides=["loss.terms.prefer.inputs.target.constant=0.9"])
    assert_same_as_by_hand(loss, step, lambda values: by_hand(values, 0.9))


@pytest.mark.parametrize("sizes", [[6, 2], [1, 3, 2, 2]])
def test_micro_batches_equal_the_formula(sizes: list[int]) -> None:
    assert_parts_give_the_whole(
        lossreg.build(CONFIG),
        step,
        lambda values: rows(values, sizes),
        by_hand,
        known=("lengths",),
    )


def test_the_reference_gets_no_gradient() -> None:
    values = step()
    lossreg.build(CONFIG)(values).total.backward()
    assert values["reference"]["chosen"].grad is None
    assert values["reference"]["rejected"].grad is None
    assert values["policy"]["rejected"].grad is not None
