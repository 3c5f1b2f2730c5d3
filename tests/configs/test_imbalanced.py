from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from parts import assert_parts_give_the_whole, rows
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "imbalanced.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    options: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    return {
        "logits": torch.randn(6, 4, **options).requires_grad_(),
        "label": torch.tensor([0, 0, 1, 2, 3, 3]),
        "attributes": torch.randn(6, 2, **options).requires_grad_(),
        "has_attribute": torch.randint(2, (6, 2), generator=generator).double(),
    }


def by_hand(values: dict[str, Any]) -> Tensor:
    counts = torch.tensor([5000, 1200, 300, 40], dtype=torch.float64)
    weight = (1 - 0.999) / (1 - 0.999**counts)
    weight = weight / weight.sum() * 4
    classify = functional.cross_entropy(
        values["logits"], values["label"], weight, reduction="sum"
    ) / len(values["label"])
    positives = torch.tensor([650, 130], dtype=torch.float64)
    describe = functional.binary_cross_entropy_with_logits(
        values["attributes"], values["has_attribute"], pos_weight=(6540 - positives) / positives
    )
    return classify + describe


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG).double(), step, by_hand)


def test_over_micro_batches_it_is_the_true_mean() -> None:
    assert_parts_give_the_whole(
        lossreg.build(CONFIG).double(),
        step,
        lambda values: rows(values, (1, 3, 2)),
        by_hand,
        known={"label", "has_attribute"},
    )


def test_the_rarest_class_weighs_most() -> None:
    weight = lossreg.load_config(CONFIG).terms[0].params.model_dump()["weight"]
    assert weight == sorted(weight)
    assert sum(weight) == 4
