"""Denominators against torch's mean, and micro-batches against the one big batch, for each loss."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from lossreg.registry import Registry
from micro_batches import (
    BUILT_IN_CASES,
    CASES,
    DOUBLE,
    ROWS,
    SPLITS,
    Case,
    accumulate,
    assert_as_one_batch,
    build,
    labels,
    leaves_of,
    micro_batches,
    random,
    read_alone,
)

# lossreg and torch warn of kl_div's mean.
pytestmark = [
    pytest.mark.filterwarnings("ignore::lossreg.errors.ConfigWarning"),
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning"),
]

CASE = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


SPLIT = pytest.mark.parametrize(
    "count", [pytest.param(each, marks=[pytest.mark.nightly] * (each != 4)) for each in SPLITS]
)


@pytest.mark.parametrize("case", BUILT_IN_CASES.values(), ids=BUILT_IN_CASES)
def test_a_definition_counts_what_its_mean_divides_by(case: Case) -> None:
    inputs = Registry.installed()[case.name].inputs
    assert tuple(each.name for each in inputs if each.counted) == case.read


@CASE
def test_numerator_over_denominator_is_torchs_mean(case: Case) -> None:
    for reduction in case.reductions:
        entries = case.value(case.inputs, "none")
        if reduction == "mean":
            entries = entries * case.scale
        denominators = build(case, reduction).denominators(read_alone(case, [case.inputs]))
        assert denominators.world_size == 1
        assert denominators.values.dtype == DOUBLE
        torch.testing.assert_close(
            entries.sum() / denominators.values[0],
            case.value(case.inputs, reduction),
            rtol=1e-14,
            atol=0,
        )


@SPLIT
@CASE
def test_micro_batches_are_torch_on_the_big_batch(case: Case, count: int) -> None:
    for reduction in case.reductions:

        def big(values: dict[str, Tensor], reduction: str = reduction) -> Tensor:
            return case.value(values, reduction)

        assert_as_one_batch(case, build(case, reduction), big, SPLITS[count])


def test_a_mean_of_each_micro_batch_is_not_the_mean() -> None:
    case = CASES["cross_entropy weighted"]
    loss, whole, split = build(case), leaves_of(case), leaves_of(case)
    loss(whole).total.backward()
    for batch in micro_batches(split, [17, 7]):
        (loss(batch).total / 2).backward()
    found, expected = split["input"].grad, whole["input"].grad
    assert found is not None
    assert expected is not None
    assert (found - expected).abs().max() > 0.1 * expected.abs().max()


def entry_shape(case: Case) -> torch.Size:
    return case.value(case.inputs, "none").shape


def a_mask(*shape: int) -> Tensor:
    """About half of the entries; of some micro-batches, none."""
    mask = labels(2, *shape).bool()
    mask[9:10] = False
    mask[0:1] = False
    return mask


CHOSEN = [
    {"mask": "m", "sample_weight": "w", "divide_by": "weights"},
    pytest.param({"mask": "m"}, marks=pytest.mark.nightly),
    pytest.param({"sample_weight": "w", "divide_by": "weights"}, marks=pytest.mark.nightly),
]


@pytest.mark.parametrize("chosen", CHOSEN, ids=" and ".join)
@SPLIT
@CASE
def test_masks_and_sample_weights_of_micro_batches(
    case: Case, count: int, chosen: dict[str, str]
) -> None:
    shape = entry_shape(case)
    every = {"m": a_mask(*shape), "w": random(*shape[:1], seed=7).exp()}
    extra = {name: every[name] for name in chosen.values() if name in every}
    for reduction in case.reductions:
        loss = build(case, reduction, **chosen)

        def big(values: dict[str, Tensor], loss: Any = loss) -> Tensor:
            total: Tensor = loss({**values, **extra}).total
            return total

        assert_as_one_batch(case, loss, big, SPLITS[count], **extra)


TARGETED = {name: case for name, case in CASES.items() if case.read == ("target",)}


@pytest.mark.parametrize("case", TARGETED.values(), ids=TARGETED)
def test_what_is_masked_may_be_anything(case: Case) -> None:
    keep, target = a_mask(ROWS), case.inputs["target"]
    spoilt = target.clone()
    spoilt[~keep] = math.nan if target.is_floating_point() else 10**6
    loss = build(case, mask="m")
    found, expected = (loss.denominators([{"target": t, "m": keep}]) for t in (spoilt, target))
    assert torch.equal(found.values, expected.values)


IGNORING = {
    name: case
    for name, case in CASES.items()
    if "target" in case.inputs and case.inputs["target"].shape == entry_shape(case)
}


@SPLIT
@pytest.mark.parametrize("case", IGNORING.values(), ids=IGNORING)
def test_ignored_targets_of_micro_batches(case: Case, count: int) -> None:
    keep = a_mask(*case.inputs["target"].shape)
    ignored = math.nan if case.inputs["target"].is_floating_point() else -77
    case = copy.copy(case)
    target = torch.where(keep, case.inputs["target"], ignored)
    case.inputs = {**case.inputs, "target": target.to(case.inputs["target"].dtype)}
    loss = build(case, ignore="nan" if math.isnan(ignored) else ignored)
    assert_as_one_batch(case, loss, lambda values: loss(values).total, SPLITS[count])


@pytest.mark.parametrize(
    "name", ["cross_entropy ignored", "cross_entropy weighted", "nll2d weighted", "nll weighted"]
)
def test_with_no_target_left_anywhere_the_term_is_a_zero_in_the_graph(name: str) -> None:
    case = CASES[name]
    values = leaves_of(case)
    values["target"].fill_(case.params["ignore_index"])
    loss = build(case)
    denominators = loss.denominators([values])
    assert denominators.values.tolist() == [0.0]
    out = loss(values, denominators=denominators)
    assert out.total == 0
    out.total.backward()
    assert values["input"].grad is not None
    assert not values["input"].grad.any()


EMPTY = {name: case for name, case in CASES.items() if case.name != "ctc"}


@pytest.mark.parametrize("case", EMPTY.values(), ids=EMPTY)
def test_a_micro_batch_without_rows_adds_nothing(case: Case) -> None:
    def big(values: dict[str, Tensor]) -> Tensor:
        return case.value(values, "mean")

    # torch's ctc refuses one.
    assert_as_one_batch(case, build(case), big, [0, 20, 0, 4])


@CASE
def test_float32_is_as_near_as_its_precision(case: Case) -> None:
    small = copy.copy(case)
    small.inputs = {
        name: each.float() if each.is_floating_point() else each
        for name, each in case.inputs.items()
    }
    whole, split = leaves_of(small), leaves_of(small)
    loss = build(case).to(torch.float32)
    loss(whole).total.backward()
    batches = micro_batches(split, SPLITS[8])
    denominators = loss.denominators(read_alone(case, batches))
    assert denominators.values.dtype == DOUBLE  # counts are exact
    accumulate(loss, batches, denominators)
    for name, leaf in whole.items():
        torch.testing.assert_close(split[name].grad, leaf.grad, rtol=1e-5, atol=1e-8)
