from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "distillation.yaml"
T = 4.0


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    return {
        "logits": torch.randn(8, 10, generator=generator, requires_grad=True),
        "teacher": {"logits": torch.randn(8, 10, generator=generator, requires_grad=True)},
        "labels": torch.randint(10, (8,), generator=generator),
    }


def by_hand(values: dict[str, Any]) -> Tensor:
    student, teacher = values["logits"], values["teacher"]["logits"].detach()
    soft = functional.kl_div(
        functional.log_softmax(student / T, dim=-1),
        functional.softmax(teacher / T, dim=-1),
        reduction="batchmean",
    )
    hard = functional.cross_entropy(student, values["labels"])
    return 0.1 * hard + 0.9 * T**2 * soft


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)


def test_the_teacher_learns_nothing() -> None:
    values = step()
    lossreg.build(CONFIG)(values).total.backward()
    assert values["teacher"]["logits"].grad is None


def test_a_student_like_its_teacher_has_no_soft_loss() -> None:
    values = step()
    values["teacher"]["logits"] = values["logits"].detach().clone()
    assert lossreg.build(CONFIG)(values).terms["soft"].abs() < 1e-6
