from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "clip.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    options: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    images, texts = functional.normalize(torch.randn(2, 5, 8, **options), dim=-1)
    return {
        "cosines": (images @ texts.T).requires_grad_(),
        "log_scale": torch.tensor(2.6592, dtype=torch.float64, requires_grad=True),
    }


def by_hand(values: dict[str, Any]) -> Tensor:
    logits = values["log_scale"].exp() * values["cosines"]
    places = torch.arange(5)
    to_texts = functional.cross_entropy(logits, places)
    return (to_texts + functional.cross_entropy(logits.T, places)) / 2


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)


def test_the_scale_learns() -> None:
    values = step()
    lossreg.build(CONFIG)(values).total.backward()
    assert values["log_scale"].grad


def test_a_batch_in_parts_is_another_objective_which_is_said() -> None:
    loss = lossreg.build(CONFIG)
    with pytest.raises(lossreg.InputError, match="there is no 'cosines' among the values"):
        loss.denominators([{"image": torch.zeros(3, 2)}])
    with pytest.warns(lossreg.ConfigWarning, match="'arange_like' mixes rows") as warned:
        loss.denominators([{"cosines": torch.zeros(3, 3)}, {"cosines": torch.zeros(2, 2)}])
    assert len(warned) == len(loss.terms.names)
