from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, distributions

import lossreg
from parts import assert_parts_give_the_whole, rows
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "masked_kl.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int, learns: bool = True) -> Tensor:
        numbers = torch.randn(shape, generator=generator, dtype=torch.float64)
        return numbers.requires_grad_(learns)

    lengths = torch.tensor([7, 2, 5, 1, 4, 7])
    return {
        "predicted": drawn(6, 7, 3),
        "frames": drawn(6, 7, 3, learns=False),
        "mean": drawn(6, 7, 4),
        "log_variance": drawn(6, 7, 4),
        "valid": torch.arange(7) < lengths[:, None],
    }


def by_hand(values: dict[str, Any]) -> Tensor:
    valid = values["valid"]
    errors = (values["predicted"] - values["frames"])[valid].square().sum(-1) / 2
    codes = distributions.Normal(values["mean"], (values["log_variance"] / 2).exp())
    prior = distributions.Normal(torch.zeros_like(values["mean"]), 1.0)
    divergences = distributions.kl_divergence(codes, prior)[valid].sum(-1)
    return errors.mean() + divergences.mean()


def test_it_equals_the_formula() -> None:
    assert_same_as_by_hand(lossreg.build(CONFIG), step, by_hand)


@pytest.mark.parametrize("sizes", [[4, 2], [1, 2, 1, 2]])
def test_micro_batches_equal_the_formula(sizes: list[int]) -> None:
    assert_parts_give_the_whole(
        lossreg.build(CONFIG),
        step,
        lambda values: rows(values, sizes),
        by_hand,
        known=("frames", "valid"),
    )


def test_what_is_computed_for_padding_reaches_nothing() -> None:
    values = step()
    with torch.no_grad():
        values["mean"][~values["valid"]] = 1e6
    total = lossreg.build(CONFIG)(values).total
    torch.testing.assert_close(total, by_hand(step()))
    total.backward()
    for name in ("predicted", "mean", "log_variance"):
        assert not values[name].grad[~values["valid"]].any()
