from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "segmentation.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (2, 6, 5), generator=generator)
    labels[:, :2] = 255
    return {
        "out": torch.randn(2, 4, 6, 5, generator=generator, requires_grad=True),
        "aux": torch.randn(2, 4, 6, 5, generator=generator, requires_grad=True),
        "labels": labels,
    }


def by_hand(values: dict[str, Any]) -> Tensor:
    weight = torch.tensor([0.5, 1.0, 2.0, 2.0])
    segment, auxiliary = (
        functional.cross_entropy(values[name], values["labels"], weight, ignore_index=255)
        for name in ("out", "aux")
    )
    return segment + 0.4 * auxiliary


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)


def test_a_pixel_without_a_label_counts_for_nothing() -> None:
    values, others = step(), step()
    with torch.no_grad():
        others["out"][:, :, :2] = 100.0
    loss = lossreg.build(CONFIG)
    assert loss(values).terms["segment"].equal(loss(others).terms["segment"])
