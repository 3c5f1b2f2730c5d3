from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import lossreg
from parts import assert_parts_give_the_whole, rows
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "deep_supervision.yaml"


def step(scales: int = 4) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    options: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    sizes = [2 ** (scales - scale) for scale in range(scales)]
    return {
        "image": torch.randn(6, 1, sizes[0], sizes[0], **options),
        "outputs": [torch.randn(6, 3, n, n, **options).requires_grad_() for n in sizes],
        "labels": [torch.randint(3, (6, n, n), generator=generator) for n in sizes],
    }


def by_hand(values: dict[str, Any]) -> Tensor:
    scales = list(zip(values["outputs"], values["labels"], strict=True))[:-1]
    weights = torch.tensor([0.5**scale for scale in range(len(scales))], dtype=torch.float64)
    errors = torch.stack([functional.cross_entropy(*scale) for scale in scales])
    return (weights / weights.sum() * errors).sum()


@pytest.mark.parametrize("scales", [2, 4, 5])
def test_it_equals_the_formula(scales: int) -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), lambda: step(scales), by_hand)


@pytest.mark.parametrize("sizes", [[4, 2], [1, 2, 2, 1]])
def test_micro_batches_equal_the_formula(sizes: list[int]) -> None:
    assert_parts_give_the_whole(
        lossreg.build(CONFIG),
        step,
        lambda values: rows(values, sizes),
        by_hand,
        known=("image",),
    )


def test_the_weights_of_the_scales_add_up_to_one() -> None:
    values = step()
    for output in values["outputs"]:
        output.data.zero_()  # each scale's loss is log(3)
    loss = lossreg.build(CONFIG)
    out = loss(values)
    torch.testing.assert_close(out.total, torch.tensor(3.0, dtype=torch.float64).log())
    assert list(out.terms) == ["scales/segment"]


def test_the_coarsest_scale_does_not_learn() -> None:
    values = step()
    lossreg.build(CONFIG)(values).total.backward()
    *finer, coarsest = [output.grad for output in values["outputs"]]
    assert all(gradient.any() for gradient in finer)
    assert coarsest is None or not coarsest.any()
