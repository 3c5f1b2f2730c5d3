from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from parts import assert_parts_give_the_whole, rows
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "fcos.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        numbers = torch.randn(shape, generator=generator, dtype=torch.float64)
        return numbers.requires_grad_()

    positive = torch.rand(20, generator=generator) < 0.4
    positive[12:17] = False
    kinds = torch.randint(3, (20,), generator=generator)
    centre = torch.rand(20, generator=generator, dtype=torch.float64)
    return {
        "logits": drawn(20, 3),
        "classes": functional.one_hot(kinds, 3).double() * positive[:, None],
        "positive": positive,
        "giou": (2 * torch.rand(20, generator=generator, dtype=torch.float64)).requires_grad_(),
        "centerness": drawn(20),
        # Nobody computes it where there is no box.
        "centre": centre.where(positive, torch.nan),
    }


def by_hand(values: dict[str, Any]) -> Tensor:
    positive, classes = values["positive"], values["classes"]
    chance = values["logits"].sigmoid()
    right = torch.where(classes == 1, chance, 1 - chance)
    share = torch.where(classes == 1, 0.25, 0.75)
    focal = -(share * (1 - right) ** 2 * right.log()).sum() / positive.sum()
    centre = values["centre"][positive]
    boxes = (centre * values["giou"][positive]).sum() / centre.sum()
    centerness = functional.binary_cross_entropy_with_logits(values["centerness"][positive], centre)
    return focal + boxes + centerness


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)


@pytest.mark.parametrize("sizes", [[12, 8], [12, 5, 3]])
def test_micro_batches_equal_the_formula(sizes: list[int]) -> None:
    assert_parts_give_the_whole(
        lossreg.build(CONFIG),
        step,
        lambda values: rows(values, sizes),
        by_hand,
        known=("classes", "positive", "centre"),
    )


def test_images_without_a_box_teach_what_is_not_there() -> None:
    values = {name: value[12:17] for name, value in step().items()}
    logits = values["logits"].detach().clone()
    expected = -(0.75 * logits.sigmoid() ** 2 * (1 - logits.sigmoid()).log()).sum()
    out = lossreg.build(CONFIG)(values)
    torch.testing.assert_close(out.total, expected)
    assert out.terms["boxes"] == out.terms["centerness"] == 0
