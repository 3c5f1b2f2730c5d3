from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "detr.yaml"
NO_OBJECT = 3


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def layer() -> dict[str, Tensor]:
        classes = torch.full((2, 10), NO_OBJECT)
        classes[:, :3] = torch.randint(3, (2, 3), generator=generator)
        return {
            "logits": torch.randn(2, 10, 4, generator=generator, requires_grad=True),
            "classes": classes,
            "boxes": torch.rand(6, 4, generator=generator, requires_grad=True),
            "target_boxes": torch.rand(6, 4, generator=generator),
            "giou": torch.rand(6, generator=generator, requires_grad=True),
        }

    return {"num_boxes": 6.0, "layers": [layer() for _ in range(6)]}


def by_hand(values: dict[str, Any]) -> Tensor:
    weight = torch.tensor([1.0, 1.0, 1.0, 0.1])
    total = torch.zeros(())
    for layer, share in zip(
        values["layers"], [0.5] * (len(values["layers"]) - 1) + [1.0], strict=True
    ):
        classes = functional.cross_entropy(
            layer["logits"].transpose(1, 2), layer["classes"], weight
        )
        l1 = functional.l1_loss(layer["boxes"], layer["target_boxes"], reduction="sum")
        giou = layer["giou"].sum()
        boxes = (5 * l1 + 2 * giou) / values["num_boxes"]
        total = total + share * (classes + boxes)
    return total


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)


def test_the_number_of_boxes_may_be_a_tensor() -> None:
    def with_a_tensor() -> dict[str, Any]:
        return {**step(), "num_boxes": torch.tensor(6.0)}

    assert_same_as_by_hand(lossreg.build(CONFIG), with_a_tensor, by_hand)


def test_a_layers_weight_multiplies_its_terms() -> None:
    weights = lossreg.build(CONFIG)(step()).weights
    assert weights["output/boxes/l1"] == 5
    assert weights["auxiliary/boxes/l1"] == 2.5
    assert weights["auxiliary/classes"] == 0.5
    assert len(weights) == 6


def test_it_does_not_depend_on_the_number_of_layers() -> None:
    def with_three_layers() -> dict[str, Any]:
        values = step()
        return {**values, "layers": values["layers"][:3]}

    assert_same_as_by_hand(lossreg.build(CONFIG), with_three_layers, by_hand)


def test_a_batch_without_boxes_gives_0_and_not_nan() -> None:
    values = step()
    values["num_boxes"] = 1.0
    for layer in values["layers"]:
        layer["classes"].fill_(NO_OBJECT)
        layer["boxes"] = torch.zeros(0, 4, requires_grad=True)
        layer["target_boxes"] = torch.zeros(0, 4)
        layer["giou"] = torch.zeros(0, requires_grad=True)
    out = lossreg.build(CONFIG)(values)
    assert all(value == 0 for name, value in out.terms.items() if "/boxes/" in name)
    assert out.total.isfinite()
