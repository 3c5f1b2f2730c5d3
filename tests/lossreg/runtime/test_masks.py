"""Masks, sample weights and ignored targets beside torch on the entries that are left."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import lossreg
from lossreg.errors import InputError
from lossreg.registry import Registry
from lossreg.runtime.reduction import kept_entries
from masked import (
    CASES,
    DOUBLE,
    GIVEN,
    NAN,
    Case,
    a_mask,
    as_leaves,
    assert_same,
    build,
    random,
    small,
    soiled,
)

# lossreg and torch warn of kl_div's mean.
pytestmark = [
    pytest.mark.filterwarnings("ignore::lossreg.errors.ConfigWarning"),
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning:torch"),
]


def spread_to(case: Case, mask: Tensor) -> Tensor:
    return mask.reshape(mask.shape + (1,) * (len(case.shape) - mask.dim())).expand(case.shape)


MASKED = [
    pytest.param(case, shape, id=f"{name} {len(shape)}")
    for name, case in CASES.items()
    for shape in case.masks
]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("case", "shape"), MASKED)
def test_a_mask_is_torch_on_the_entries_it_keeps(
    case: Case, shape: tuple[int, ...], reduction: str
) -> None:
    mask = a_mask(shape)
    clean = as_leaves(case.inputs)
    oracle = case.module(reduction=reduction)(*case.taken(clean, mask))
    loss = build(case, reduction, mask="m")
    assert_same(case, loss, {**soiled(case, mask), "m": mask}, oracle, clean)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("case", "shape"), MASKED)
def test_sample_weights_weigh_numerator_and_denominator(
    case: Case, shape: tuple[int, ...], reduction: str
) -> None:
    mask = a_mask(shape)
    weight = random(*shape, seed=5).exp()
    clean = as_leaves(case.inputs)
    taken = case.taken(clean, mask)
    each = case.module(reduction="none")(*taken)
    w = spread_to(case, weight)[spread_to(case, mask)].reshape(each.shape)
    counted = case.counted(taken) if case.counted else torch.ones_like(each)
    if case.scaled and reduction == "mean":
        each = each * case.scaled(taken)
    oracle = (w * each).sum()
    if reduction == "mean":
        oracle = oracle / (w * counted).sum()
    loss = build(case, reduction, mask="m", sample_weight="w", divide_by="weights")
    dirty = torch.where(mask, weight, math.nan)  # a masked entry's weight may be anything as well
    assert_same(case, loss, {**soiled(case, mask), "m": mask, "w": dirty}, oracle, clean)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_sample_weights_alone_are_constants(case: Case) -> None:
    weight = random(*case.shape, seed=5).exp()
    clean = as_leaves(case.inputs)
    taken = case.taken(clean, torch.ones(case.shape, dtype=torch.bool))
    each = case.module(reduction="none")(*taken)
    counted = case.counted(taken) if case.counted else torch.ones_like(each)
    if case.scaled:
        each = each * case.scaled(taken)
    w = weight.reshape(each.shape)
    oracle = (w * each).sum() / (w * counted).sum()
    learnt = weight.clone().requires_grad_()
    assert_same(
        case,
        build(case, sample_weight="w", divide_by="weights"),
        {**case.inputs, "w": learnt},
        oracle,
        clean,
    )
    assert learnt.grad is None


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_with_nothing_left_the_value_is_a_zero_in_the_graph(case: Case, reduction: str) -> None:
    for shape in case.masks:
        mask = torch.zeros(shape, dtype=torch.bool)
        leaves = as_leaves(soiled(case, mask))
        value = build(case, reduction, mask="m").terms({**leaves, "m": mask})["t"]
        assert value == 0
        assert value.requires_grad
        value.backward()
        for leaf in leaves.values():
            assert leaf.grad is None or not leaf.grad.any()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_full_mask_changes_nothing(case: Case) -> None:
    clean = as_leaves(case.inputs)
    oracle = case.module(reduction="mean")(*clean.values())
    mask = torch.ones(case.shape[:1], dtype=torch.bool)
    assert_same(case, build(case, mask="m"), {**case.inputs, "m": mask}, oracle, clean)


IGNORING = {
    name: case
    for name, case in CASES.items()
    if Registry.installed()[case.name].target and "probabilities" not in name
}


@pytest.mark.parametrize("ignored", [math.nan, -100, 255.5])
@pytest.mark.parametrize("case", IGNORING.values(), ids=IGNORING)
def test_ignore_is_a_mask_of_the_targets(case: Case, ignored: float) -> None:
    if not case.inputs["target"].is_floating_point():
        ignored = -100
    keep = a_mask(case.shape)
    values = {**soiled(case, keep)}
    values["target"] = torch.where(keep, case.inputs["target"], ignored)
    clean = as_leaves(case.inputs)
    oracle = case.module(reduction="mean")(*case.taken(clean, keep))
    written = "nan" if math.isnan(ignored) else ignored
    assert_same(case, build(case, ignore=written), values, oracle, clean)
    # With a mask of the rows beside it, both count.
    rows = torch.tensor([True, True, False, True])
    both = keep & spread_to(case, rows)
    clean = as_leaves(case.inputs)
    oracle = case.module(reduction="mean")(*case.taken(clean, both))
    assert_same(case, build(case, ignore=written, mask="m"), {**values, "m": rows}, oracle, clean)


def test_a_large_ignored_index_is_compared_exactly() -> None:
    # 2**24 + 1 is no float32: compared as one, both targets would be ignored.
    index = 2**24
    loss = lossreg.build({"terms": {"t": {"type": "mse", "ignore": index}}})
    target = torch.tensor([index, index + 1])
    assert loss(input=torch.zeros(2), target=target).total == torch.tensor(index + 1.0) ** 2


@pytest.mark.parametrize("ignore", [0.5, 1.5, -0.5])
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.float32])
def test_no_integer_is_a_fraction_that_is_ignored(ignore: float, dtype: torch.dtype) -> None:
    target = torch.tensor([0, 1, 2]).to(dtype)
    keep = kept_entries(None, target, ignore)
    assert keep is not None
    assert keep.all()
    values = {"input": torch.tensor([5.0, 5.0, 5.0]), "target": target}
    assert small(ignore=ignore)(values).total == pytest.approx((25 + 16 + 9) / 3)


def test_a_whole_number_is_ignored_in_integers_and_floats() -> None:
    for dtype in (torch.int64, torch.uint8, torch.float32, torch.bfloat16):
        keep = kept_entries(None, torch.tensor([0, 1, 2]).to(dtype), 1.0)
        assert keep is not None
        assert keep.tolist() == [True, False, True]


def test_ignore_needs_a_target_that_is_one_number_each() -> None:
    case = CASES["cross_entropy of probabilities"]
    with pytest.raises(InputError, match=r"expected class indices.*found probabilities") as raised:
        build(case, ignore=0)(case.inputs)
    assert (raised.value.argument, raised.value.path) == ("target", "target")


def test_a_mask_of_rows_means_rows_where_columns_are_as_many() -> None:
    # Squares 1 4 / 9 16, of which the first row is kept: (1 + 4) / 2.
    values = {"input": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "target": torch.zeros(2, 2)}
    assert small(mask="m")({**values, "m": torch.tensor([1, 0])}).total == 2.5
    # Weights 3 and 1: (3 * 5 + 25) / (3 * 2 + 2).
    out = small(sample_weight="w", divide_by="weights")({**values, "w": torch.tensor([3.0, 1.0])})
    assert out.total == 5.0


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int64, torch.float32, torch.bfloat16]
)
def test_a_mask_is_of_any_dtype(dtype: torch.dtype) -> None:
    values = {"input": torch.tensor([1.0, 2.0, math.nan]), "target": torch.zeros(3)}
    mask = torch.tensor([1, 1, 0]).to(dtype)
    assert small(mask="m")({**values, "m": mask}).total == 2.5


@pytest.mark.parametrize("key", ["mask", "sample_weight"])
@pytest.mark.parametrize("shape", [(3,), (4,), (2, 2), (1,), (2, 3, 1), (3, 2), (0,)])
def test_what_fits_no_leading_dimension_is_an_error_of_its_own(
    key: str, shape: tuple[int, ...]
) -> None:
    loss = lossreg.build({"terms": {"t": {"type": "l1", "divide_by": "kept", key: "valid"}}})
    values = {"input": torch.zeros(2, 3), "target": torch.zeros(2, 3), "valid": torch.ones(shape)}
    with pytest.raises(InputError) as raised:
        loss(values)
    error = raised.value
    assert (error.term, error.argument, error.path) == ("t", key, "valid")
    assert str(error).startswith(f"term 't', '{key}' (path 'valid'): expected the leading dim")
    assert str(error).partition("; if it has the dimensions [1]")[0].endswith(f"found {shape}")
    assert "(2, 3)" in str(error)
    # Nothing is left behind.
    assert loss({**values, "valid": torch.ones(2)}).total == 0


@pytest.mark.parametrize("name", ["cross_entropy", "ctc", "multi_margin", "triplet_margin"])
def test_a_mask_of_more_dimensions_than_the_loss_has_is_an_error(name: str) -> None:
    case = CASES[name]
    mask = torch.ones(*case.shape, 2)
    with pytest.raises(InputError, match=r"'mask'.*expected the leading dimensions"):
        build(case, mask="m")({**case.inputs, "m": mask})


def test_a_mask_of_one_example_alone_is_an_error() -> None:
    loss = lossreg.build({"terms": {"t": {"type": "cross_entropy", "mask": "m"}}})
    values = {"input": torch.zeros(3), "target": torch.tensor(1), "m": torch.ones(())}
    with pytest.raises(InputError, match=r"a mask needs the shape N C \*, a batch, found \(3,\)"):
        loss(values)


def test_a_mask_needs_padded_label_sequences() -> None:
    case = CASES["ctc"]
    values = {**case.inputs, "targets": torch.tensor([1, 2, 3, 4, 2, 2, 2, 1])}
    loss = build(case, mask="m")
    with pytest.raises(InputError, match=r"'targets'.*a mask needs the shape N S, a batch"):
        loss({**values, "m": torch.ones(4)})


@pytest.mark.parametrize("bad", [NAN, math.inf])
@pytest.mark.parametrize(
    "term",
    [
        {},
        {"params": {"reduction": "sum"}},
        {"divide_by": {"number": "n"}},
        {"sample_weight": "w", "divide_by": "weights"},
        {"ignore": 7},
    ],
    ids=str,
)
def test_a_nan_in_a_mask_makes_a_nan(bad: float, term: dict[str, Any]) -> None:
    document = {"t": {"type": "l1", "mask": "m", **term}}
    loss = lossreg.build({"checks": "never", "on_nonfinite": "ignore", "terms": document})
    values = {**GIVEN, "n": 2, "w": torch.ones(3)}
    for dtype in (torch.float32, DOUBLE, torch.bfloat16):
        mask = torch.tensor([1.0, bad, 0.0], dtype=dtype)
        assert loss({**values, "m": mask}).total.isnan()
        assert loss(
            {**values, "m": mask}, denominators=loss.denominators([{**values, "m": mask}])
        ).total.isnan()
        kept = loss({**values, "m": torch.tensor([1.0, 0.0, 1.0], dtype=dtype)}).total
        assert torch.equal(kept, loss({**values, "m": torch.tensor([True, False, True])}).total)
        assert kept.dtype == torch.float32


def test_a_mask_of_many_halves_is_no_nan() -> None:
    count = 70_000  # more than float16 has
    values = {"input": torch.ones(count), "target": torch.zeros(count)}
    assert small(mask="m")({**values, "m": torch.ones(count, dtype=torch.float16)}).total == 1
