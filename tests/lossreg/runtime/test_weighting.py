"""Weights by themselves: from terms' values to the total, and how schedules move."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import lossreg
from lossreg.config.models import Weight
from lossreg.runtime.denominators import Denominators, Share
from lossreg.runtime.weighting import Weighting
from lossreg.vocabulary.schedules import SCHEDULES

RAMP = SCHEDULES["linear"](start=0.0, end=1.0, steps=10)  # type: ignore[call-arg]


def weighting(**weights: Weight) -> Weighting:
    return Weighting(weights, optional=True)


def values(**numbers: float) -> dict[str, Tensor]:
    return {name: torch.tensor(number, requires_grad=True) for name, number in numbers.items()}


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_total_is_the_weighted_sum(count: int) -> None:
    names = "abcd"[:count]
    combined = weighting(**{name: Weight(0.5) for name in names}).combine(
        values(**dict.fromkeys(names, 3.0))
    )
    assert combined.total.item() == 1.5 * count
    assert {name: value.item() for name, value in combined.terms.items()} == dict.fromkeys(
        names, 3.0
    )
    assert not any(value.requires_grad for value in combined.terms.values())
    assert [combined.weights[name].item() for name in names] == [0.5] * count


def test_a_term_that_is_absent_or_weighs_0_adds_nothing() -> None:
    loss = weighting(a=Weight(2.0), b=Weight(0.0), c=Weight(4.0), d=Weight(1.0))
    combined = loss.combine(values(a=1.0, b=torch.nan, d=5.0))
    assert combined.total.item() == 2.0 * 1.0 + 1.0 * 5.0
    assert set(combined.terms) == {"a", "d"}


def test_without_anything_in_the_graph_the_total_is_a_0_without_a_graph() -> None:
    combined = weighting(a=Weight(0.0)).combine(values(a=torch.inf))
    assert combined.total.item() == 0
    assert not combined.total.requires_grad


def test_the_total_is_multiplied_by_the_ranks_that_share_it() -> None:
    combined = weighting(a=Weight(0.5), b=Weight(1.0)).combine(
        values(a=2.0, b=3.0), Share(micro_batches=2, world_size=4)
    )
    assert combined.total.item() == 4 * (0.5 * 2.0 + 3.0)
    assert combined.terms["b"].item() == 3.0


def test_weights_move_and_what_was_combined_does_not() -> None:
    loss = weighting(a=Weight(2.0, (RAMP,)), b=Weight(1.0))
    before = loss.combine(values(a=1.0, b=1.0))
    loss.step()
    assert loss.now() == {"a": 0.2, "b": 1.0}
    assert before.weights["a"].item() == 0.0
    assert loss.combine(values(a=1.0, b=1.0)).weights["a"].item() == pytest.approx(0.2)
    weighed = loss.weigh(values(a=5.0, b=3.0))
    assert {name: round(value.item(), 6) for name, value in weighed.items()} == {"a": 1.0, "b": 3.0}


def test_denominators_say_of_how_many_micro_batches_they_are() -> None:
    loss = lossreg.build({"terms": {"fit": {"type": "mse", "inputs": ["p", "y"]}}})
    batches = [{"y": torch.ones(rows)} for rows in (2, 3, 4)]
    denominators = loss.denominators(iter(batches), world_size=2)
    assert denominators.micro_batches == 3
    assert denominators.share == Share(micro_batches=3, world_size=2)
    assert Denominators(("fit",), torch.ones(1), 1).micro_batches == 1
