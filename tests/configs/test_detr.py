from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from lossreg.errors import InputError
from parts import assert_parts_give_the_whole
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "detr.yaml"
NO_OBJECT = 3


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def leaf(draw: Callable[..., Tensor], *shape: int) -> Tensor:
        return draw(*shape, generator=generator, dtype=torch.float64, requires_grad=True)

    def layer() -> dict[str, Tensor]:
        classes = torch.full((2, 10), NO_OBJECT)
        classes[:, :3] = torch.randint(3, (2, 3), generator=generator)
        return {
            "logits": leaf(torch.randn, 2, 10, 4),
            "classes": classes,
            "boxes": leaf(torch.rand, 6, 4),
            "target_boxes": leaf(torch.rand, 6, 4).detach(),
            "giou": leaf(torch.rand, 6),
        }

    return {"num_boxes": 6.0, "layers": [layer() for _ in range(6)]}


def by_hand(values: dict[str, Any]) -> Tensor:
    weight = torch.tensor([1.0, 1.0, 1.0, 0.1], dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
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
    assert_same_as_by_hand(lossreg.build(CONFIG).double(), step, by_hand)


def test_the_number_of_boxes_may_be_a_tensor() -> None:
    def with_a_tensor() -> dict[str, Any]:
        return {**step(), "num_boxes": torch.tensor(6.0)}

    assert_same_as_by_hand(lossreg.build(CONFIG).double(), with_a_tensor, by_hand)


def test_a_layers_weight_multiplies_its_terms() -> None:
    weights = lossreg.build(CONFIG).double()(step()).weights
    assert weights["output/boxes/l1"] == 5
    assert weights["auxiliary/boxes/l1"] == 2.5
    assert weights["auxiliary/classes"] == 0.5
    assert len(weights) == 6


def test_it_does_not_depend_on_the_number_of_layers() -> None:
    def with_three_layers() -> dict[str, Any]:
        values = step()
        return {**values, "layers": values["layers"][:3]}

    assert_same_as_by_hand(lossreg.build(CONFIG).double(), with_three_layers, by_hand)


def test_a_batch_without_boxes_gives_0_and_not_nan() -> None:
    values = step()
    values["num_boxes"] = 1.0
    for layer in values["layers"]:
        layer["classes"].fill_(NO_OBJECT)
        layer["boxes"] = torch.zeros(0, 4, dtype=torch.float64, requires_grad=True)
        layer["target_boxes"] = torch.zeros(0, 4, dtype=torch.float64)
        layer["giou"] = torch.zeros(0, dtype=torch.float64, requires_grad=True)
    out = lossreg.build(CONFIG).double()(values)
    assert all(value == 0 for name, value in out.terms.items() if "/boxes/" in name)
    assert out.total.isfinite()


# Which query has which class is known only after the model ran and was matched.
WITHOUT_CLASSES = [
    f"loss.terms.{group}.terms.classes.enabled=false" for group in ("output", "auxiliary")
]


def test_micro_batches_of_boxes_add_up_to_the_one_big_batch() -> None:
    def parts(values: dict[str, Any]) -> list[dict[str, Any]]:
        own = ("boxes", "target_boxes", "giou")
        return [
            {
                "num_boxes": float(count),
                "layers": [
                    {name: layer[name][start : start + count] for name in own}
                    for layer in values["layers"]
                ],
            }
            for start, count in ((0, 1), (1, 5))
        ]

    def boxes(values: dict[str, Any]) -> Tensor:
        *auxiliary, output = (
            5 * (layer["boxes"] - layer["target_boxes"]).abs().sum() + 2 * layer["giou"].sum()
            for layer in values["layers"]
        )
        return (output + 0.5 * sum(auxiliary)) / values["num_boxes"]

    loss = lossreg.build(CONFIG, overrides=WITHOUT_CLASSES).double()
    assert_parts_give_the_whole(loss, step, parts, boxes, known=["num_boxes"])


def test_classes_that_come_from_the_lists_cannot_be_counted_and_say_so() -> None:
    loss = lossreg.build(CONFIG)
    with pytest.raises(InputError, match=r"'target' \(path 'layer.classes'\) comes from 'each'"):
        loss.denominators([step()])
