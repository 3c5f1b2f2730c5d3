from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import lossreg
from parts import assert_parts_give_the_whole, rows
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "min_snr.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    options: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    kept = torch.linspace(0.999, 0.01, 10, dtype=torch.float64)  # of the signal, by step
    return {
        "predicted": torch.randn(8, 3, 4, 4, requires_grad=True, **options),
        "noise": torch.randn(8, 3, 4, 4, **options),
        "t": torch.tensor([0, 9, 3, 3, 7, 1, 5, 2]),
        "snr": kept / (1 - kept),
    }


def by_hand(values: dict[str, Any]) -> Tensor:
    snr = values["snr"][values["t"]]
    weights = torch.stack((snr, torch.full_like(snr, 5.0)), 1).amin(1) / snr
    errors = (values["predicted"] - values["noise"]).square().flatten(1).mean(1)
    return (weights * errors).mean()


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)


@pytest.mark.parametrize("sizes", [[5, 3], [1, 4, 2, 1]])
def test_micro_batches_equal_the_formula(sizes: list[int]) -> None:
    assert_parts_give_the_whole(
        lossreg.build(CONFIG),
        step,
        lambda values: rows(values, sizes, shared=("snr",)),
        by_hand,
        known=("noise", "t", "snr"),
    )


def test_steps_with_little_noise_count_less() -> None:
    values = step()
    lossreg.build(CONFIG)(values).total.backward()
    pull = values["predicted"].grad.flatten(1).norm(dim=1)
    pull /= (values["predicted"] - values["noise"]).detach().flatten(1).norm(dim=1)
    assert pull[0] < pull[5] < pull[1]  # t is 0, 1 and 9
