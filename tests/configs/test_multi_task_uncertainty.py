from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from parts import assert_parts_give_the_whole, rows
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "multi_task_uncertainty.yaml"
TASKS = ("classes", "offsets", "disparity")
LEARNED = (0.7, -1.2, 0.3)


def build(learned: tuple[float, ...] = LEARNED) -> lossreg.CompositeLoss:
    loss = lossreg.build(CONFIG).double()
    with torch.no_grad():
        for parameter, number in zip(loss.parameters(), learned, strict=True):
            parameter.fill_(number)
    return loss


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    options: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    classes = torch.randint(4, (6, 3, 5), generator=generator)
    classes[torch.rand(6, 3, 5, generator=generator) < 0.3] = 255
    return {
        "classes": torch.randn(6, 4, 3, 5, requires_grad=True, **options),
        "offsets": torch.randn(6, 2, 3, 5, requires_grad=True, **options),
        "disparity": torch.randn(6, 3, 5, requires_grad=True, **options),
        "labels": {
            "classes": classes,
            "offsets": torch.randn(6, 2, 3, 5, **options),
            "disparity": torch.rand(6, 3, 5, **options),
        },
        "measured": torch.rand(6, 3, 5, generator=generator) < 0.6,
    }


def by_hand(values: dict[str, Any], learned: Tensor) -> Tensor:
    labels, measured = values["labels"], values["measured"]
    raw = torch.stack(
        [
            functional.cross_entropy(values["classes"], labels["classes"], ignore_index=255),
            functional.l1_loss(values["offsets"], labels["offsets"]),
            (values["disparity"] - labels["disparity"])[measured].abs().mean(),
        ]
    )
    return ((-learned).exp() * raw + learned).sum()


def numbers(learned: tuple[float, ...] = LEARNED) -> Tensor:
    return torch.tensor(learned, dtype=torch.float64, requires_grad=True)


def assert_same_gradients(loss: lossreg.CompositeLoss, learned: Tensor) -> None:
    gradients = torch.cat([parameter.grad for parameter in loss.parameters()])
    torch.testing.assert_close(gradients, learned.grad)


@pytest.mark.parametrize("start", [LEARNED, (0.0, 0.0, 0.0)])
def test_it_equals_the_formula(start: tuple[float, ...]) -> None:
    loss, learned = build(start), numbers(start)
    assert_same_as_by_hand(loss, step, lambda values: by_hand(values, learned))
    assert_same_gradients(loss, learned)


@pytest.mark.parametrize("sizes", [[4, 2], [1, 2, 2, 1]])
def test_micro_batches_equal_the_formula(sizes: list[int]) -> None:
    loss, learned = build(), numbers()
    assert_parts_give_the_whole(
        loss,
        step,
        lambda values: rows(values, sizes),
        lambda values: by_hand(values, learned),
        known=("labels", "measured"),
    )
    assert_same_gradients(loss, learned)


def test_each_task_begins_with_a_weight_of_one_and_has_one_parameter() -> None:
    loss = lossreg.build(CONFIG)
    out = loss(step())
    assert [out.weights[name].item() for name in TASKS] == [1, 1, 1]
    assert len(list(loss.parameters())) == 3


def test_an_optimizer_finds_the_logarithm_of_each_loss() -> None:
    # exp(-s)·L + s is lowest at s = log L, where each weighted term is 1.
    loss, values = build((0.0, 0.0, 0.0)), step()
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.5)
    for _ in range(60):
        optimizer.zero_grad()
        loss(values).total.backward()
        optimizer.step()
    out = loss(values)
    for name in TASKS:
        torch.testing.assert_close(
            out.weights[name] * out.terms[name], torch.ones((), dtype=torch.float64)
        )
