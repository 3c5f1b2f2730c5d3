from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "multi_head.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def head(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, requires_grad=True)

    return {
        "heads": {
            "age": head(4),
            "species": head(4, 3),
            "tags": head(4, 5),
            "depth": head(4, 2, 2),
        },
        "labels": {
            "age": torch.tensor([30.0, torch.nan, 41.0, torch.nan]),
            "species": torch.tensor([2, 0, -1, -1]),
            "tags": torch.rand(4, 5, generator=generator).round(),
            "tagged": torch.tensor([True, False, False, True]),
            "depth": torch.rand(4, 2, 2, generator=generator),
        },
    }


def by_hand(values: dict[str, Any]) -> Tensor:
    heads, labels = values["heads"], values["labels"]
    age, tagged = ~labels["age"].isnan(), labels["tagged"]
    return (
        0.1 * functional.smooth_l1_loss(heads["age"][age], labels["age"][age])
        + functional.cross_entropy(heads["species"], labels["species"], ignore_index=-1)
        + functional.binary_cross_entropy_with_logits(heads["tags"][tagged], labels["tags"][tagged])
        + 0.5 * functional.l1_loss(heads["depth"], labels["depth"])
    )


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)


def test_a_batch_without_depth_is_fine() -> None:
    loss, values = lossreg.build(CONFIG), step()
    full = loss(values)
    for labels in ({**values["labels"], "depth": None}, dict(values["labels"])):
        if labels["depth"] is not None:
            del labels["depth"]
        out = loss({**values, "labels": labels})
        assert list(out.terms) == list(full.terms)
        torch.testing.assert_close(out.total, full.total - 0.5 * full.terms["depth"])
        assert out.weights["depth"] == 0


def test_a_batch_without_any_label_of_a_head_gives_it_a_gradient_of_0() -> None:
    values = step()
    labels = values["labels"]
    labels["age"].fill_(torch.nan)
    labels["species"].fill_(-1)
    labels["tagged"].logical_and_(torch.tensor(data=False))
    out = lossreg.build(CONFIG)(values)
    out.total.backward()
    for name in ("age", "species", "tags"):
        assert out.terms[name] == 0
        assert not values["heads"][name].grad.any()
    assert values["heads"]["depth"].grad.any()
