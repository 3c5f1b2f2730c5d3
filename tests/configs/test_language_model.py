from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "language_model.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(11, (3, 7), generator=generator)
    labels[1, 4:] = -100
    return {
        "logits": torch.randn(3, 7, 11, generator=generator, requires_grad=True),
        "labels": labels,
    }


def as_hugging_face(values: dict[str, Any]) -> Tensor:
    """`ForCausalLMLoss` of transformers: the labels are padded by one and moved to the left."""
    logits = values["logits"].float().view(-1, 11)
    labels = functional.pad(values["labels"], (0, 1), value=-100)[..., 1:].contiguous().view(-1)
    return functional.cross_entropy(logits, labels, ignore_index=-100, reduction="mean")


def without_the_last_position(values: dict[str, Any]) -> Tensor:
    """The same, as it was written before: the last logits and the first labels are cut off."""
    logits = values["logits"][:, :-1].reshape(-1, 11)
    return functional.cross_entropy(logits, values["labels"][:, 1:].reshape(-1))


def test_it_equals_hugging_faces_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, as_hugging_face)


def test_it_equals_the_formula_that_cuts_off() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, without_the_last_position)


def test_a_model_that_knows_the_next_token_has_no_loss() -> None:
    labels = torch.tensor([[3, 1, 4, 1, 5]])
    logits = torch.zeros(1, 5, 11)
    logits[0, torch.arange(4), labels[0, 1:]] = 100.0
    assert lossreg.build(CONFIG)(logits=logits, labels=labels).total == 0
