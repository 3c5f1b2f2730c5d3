"""Masks and sample weights are looked at before they are used."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

import lossreg
from checked import probabilities, zeros
from lossreg.errors import ConfigWarning, InputError
from lossreg.runtime.checks import check_sample_weight
from lossreg.runtime.reduction import Misfit

# kl_div warns of its mean.
pytestmark = pytest.mark.filterwarnings(
    "ignore::lossreg.errors.ConfigWarning",
    "ignore:reduction. 'mean' divides:UserWarning:torch",
)


def weighed(checks: str = "always", **term: Any) -> lossreg.CompositeLoss:
    return lossreg.build({"checks": checks, "terms": {"fit": {"type": "l1", **term}}})


# Absolute errors 1, 2 and 3.
ERRORS = {"input": torch.tensor([1.0, 2.0, 3.0]), "target": zeros(3)}
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("checks", ["first", "always"])
@pytest.mark.parametrize(
    ("mask", "shown"),
    [
        *((torch.tensor([1.0, math.nan, 0.0], dtype=dtype), "nan") for dtype in DTYPES),
        *((torch.tensor([1.0, 0.5, 0.0], dtype=dtype), "0.5") for dtype in DTYPES),
        (torch.tensor([1.0, math.inf, 0.0]), "inf"),
        (torch.tensor([1.0, -math.inf, 0.0]), "-inf"),
        (torch.tensor([1.0, -1.0, 0.0]), "-1"),
        (torch.tensor([1, -1, 0]), "-1"),
        (torch.tensor([1, 2, -1]), "-1"),  # what is wrong, and not what is suspicious
        (torch.tensor([1.0, 1e-8, 0.0]), "1e-08"),
        (torch.tensor([1.0, 0.0, 0.0], dtype=torch.complex64), "torch.complex64"),
    ],
)
def test_a_mask_that_is_none_is_refused(mask: Tensor, shown: str, checks: str) -> None:
    loss = weighed(checks, mask="m")
    for _ in range(2):
        with pytest.raises(InputError) as raised:
            loss({**ERRORS, "m": mask})
        assert (raised.value.argument, raised.value.path) == ("mask", "m")
        assert f"expected a mask of bool, or of 0 and 1, found {shown}" in str(raised.value)
    assert loss({**ERRORS, "m": torch.tensor([1, 0, 1])}).total == 2


@pytest.mark.filterwarnings("default::lossreg.errors.ConfigWarning")
@pytest.mark.parametrize(
    ("mask", "shown"),
    [
        (torch.tensor([255, 0, 255], dtype=torch.uint8), "255"),
        (torch.tensor([2, 0, 1]), "2"),
        (torch.tensor([1.5, 0.0, 1.0]), "1.5"),
    ],
)
def test_a_mask_of_larger_numbers_is_warned_of_once(mask: Tensor, shown: str) -> None:
    loss = weighed(mask="m")
    with pytest.warns(ConfigWarning) as found:
        assert loss({**ERRORS, "m": mask}).total == 2
    (warning,) = found
    assert str(warning.message) == (
        f"term 'fit', 'mask' (path 'm'): expected a mask of bool, or of 0 and 1, found {shown}: "
        "every number but 0 keeps an entry, whatever its size; if this is intended, write "
        "apply: [{cast: bool}]"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss({**ERRORS, "m": mask})
        meant = {"from": "m", "apply": [{"cast": "bool"}]}
        assert weighed(mask=meant)({**ERRORS, "m": mask}).total == 2


@pytest.mark.filterwarnings("error::lossreg.errors.ConfigWarning")
@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int32, torch.int64, *DTYPES], ids=str
)
def test_a_mask_of_0_and_1_is_one(dtype: torch.dtype) -> None:
    for mask, expected in (([1, 0, 1], 2), ([0, 0, 0], 0), ([1, 1, 1], 2)):
        assert weighed(mask="m")({**ERRORS, "m": torch.tensor(mask).to(dtype)}).total == expected
    weighed(checks="always", params={"reduction": "sum"}, mask="m")(
        input=zeros(0), target=zeros(0), m=zeros(0).to(dtype)
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "term",
    [
        {"divide_by": "weights"},
        {"params": {"reduction": "sum"}},
        {"divide_by": {"number": "n"}},
        {"divide_by": "entries", "params": {"reduction": "mean"}},
    ],
    ids=str,
)
def test_a_weight_that_is_not_finite_is_refused_where_it_counts(
    bad: float, term: dict[str, Any]
) -> None:
    values = {**ERRORS, "w": torch.tensor([1.0, bad, 1.0]), "n": 2}
    term = {"sample_weight": "w", **term}
    with pytest.raises(InputError, match=f"found {bad:g}") as raised:
        weighed(**term)(values)
    assert (raised.value.argument, raised.value.path) == ("sample_weight", "w")
    assert "expected finite weights where an entry counts" in str(raised.value)
    kept = torch.tensor([True, False, True])
    assert weighed(mask="m", **term)({**values, "m": kept}).total.isfinite()
    target = torch.tensor([0.0, 9.0, 0.0])
    ignoring = weighed(ignore=9, **term)
    assert ignoring({**values, "target": target}).total.isfinite()


def test_a_negative_weight_is_refused_where_the_mean_divides_by_weights() -> None:
    values = {**ERRORS, "w": torch.tensor([1.0, -1.0, 1.0]), "n": 2}
    with pytest.raises(InputError) as raised:
        weighed(sample_weight="w", divide_by="weights")(values)
    assert str(raised.value) == (
        "term 'fit', 'sample_weight' (path 'w'): expected weights of at least 0, because the "
        "mean divides by their sum, found -1; write divide_by: kept, entries or rows, or params: "
        "{reduction: sum}"
    )
    with pytest.raises(InputError, match="expected weights of at least 0"):
        weighed(sample_weight="w", divide_by="weights")({**values, "w": torch.tensor([1, -1, 1])})
    loss = weighed(sample_weight="w", divide_by="weights")
    with pytest.raises(InputError, match="expected weights of at least 0"):
        loss(values, denominators=loss.denominators([values]))
    # 1 - 2 + 3
    assert weighed(sample_weight="w", divide_by={"number": "n"})(values).total == 1
    assert weighed(sample_weight="w", params={"reduction": "sum"})(values).total == 2
    kept = torch.tensor([True, False, True])
    assert (
        weighed(sample_weight="w", divide_by="weights", mask="m")({**values, "m": kept}).total == 2
    )


def test_batchmean_does_not_divide_by_weights() -> None:
    term = {"type": "kl_div", "params": {"reduction": "batchmean"}, "sample_weight": "w"}
    loss = lossreg.build({"terms": {"fit": term}})
    values = {"input": zeros(2, 3) - 1, "target": probabilities(2, 3)}
    loss({**values, "w": torch.tensor([1.0, -1.0])})


@pytest.mark.parametrize("weight", [[1, 0, 2], [0, 0, 1], [True, False, True]])
def test_weights_of_0_and_more_are_taken(weight: list[Any]) -> None:
    found = weighed(sample_weight="w", divide_by="weights")(
        {**ERRORS, "w": torch.tensor(weight)}
    ).total
    expected = sum(w * e for w, e in zip(weight, (1, 2, 3), strict=True)) / (sum(weight) or 1)
    assert found.item() == pytest.approx(expected)


def test_complex_weights_are_refused() -> None:
    weight = torch.ones(3, dtype=torch.complex64)
    with pytest.raises(InputError, match="expected real numbers, found torch"):
        weighed(sample_weight="w", divide_by="weights")({**ERRORS, "w": weight})


@pytest.mark.parametrize(
    ("keep", "weight", "fine"),
    [
        ((2,), (2, 3), [[1, 1, 1], [-1, 1, 1]]),
        ((2, 3), (2,), [1, -1]),
        ((), (2,), [1, -1]),
    ],
)
def test_masks_and_weights_of_other_dimensions_are_compared(
    keep: tuple[int, ...], weight: tuple[int, ...], fine: list[Any]
) -> None:
    mask = torch.ones(keep, dtype=torch.bool)
    weights = torch.tensor(fine, dtype=torch.float32)
    assert weights.shape == weight
    with pytest.raises(Misfit, match="found -1"):
        check_sample_weight(weights, mask, divides=True)
    check_sample_weight(weights, mask, divides=False)
    if keep:
        mask[1] = False  # where the negative one is
    else:
        mask = ~mask
    check_sample_weight(weights, mask, divides=True)


def test_a_mask_that_fits_no_weight_is_left_to_the_reduction() -> None:
    check_sample_weight(-torch.ones(2), torch.ones(3, dtype=torch.bool), divides=True)
    check_sample_weight(None, torch.ones(3, dtype=torch.bool), divides=True)


def test_nobody_looks_at_masks_and_weights_after_the_first_batch() -> None:
    loss = weighed("first", mask="m", sample_weight="w", params={"reduction": "sum"})
    loss({**ERRORS, "m": torch.ones(3), "w": torch.ones(3)})
    loss({**ERRORS, "m": torch.tensor([1.0, -1.0, 0.5]), "w": torch.tensor([1.0, -1.0, 1.0])})
    off = weighed("never", mask="m", sample_weight="w", params={"reduction": "sum"})
    off({**ERRORS, "m": torch.tensor([1.0, -1.0, 0.5]), "w": torch.tensor([1.0, -1.0, 1.0])})


@pytest.mark.parametrize(
    ("term", "written"),
    [
        ({"mask": {"from": "m"}}, {"mask": {"apply": [{"squeeze": 1}], "dims": [0, 2]}}),
        (
            {"sample_weight": {"from": "m"}, "divide_by": "entries"},
            {"sample_weight": {"apply": [{"squeeze": 1}], "dims": [0, 2]}},
        ),
    ],
    ids=["mask", "sample_weight"],
)
def test_where_sizes_of_1_are_not_taken_the_message_says_what_to_write(
    term: dict[str, Any], written: dict[str, Any]
) -> None:
    values = {"x": torch.rand(2, 3, 4), "m": torch.tensor([[[1.0, 1, 0, 1]], [[0.0, 0, 1, 1]]])}
    term = {"type": "value", "inputs": ["x"], **term}
    with pytest.raises(InputError) as raised:
        lossreg.build({"terms": {"fit": term}})(values)
    ((argument, route),) = written.items()
    shown = f"write {argument}: {{from: ..., apply: [{{squeeze: 1}}], dims: [0, 2]}}"
    assert shown in str(raised.value)
    mended = lossreg.build({"terms": {"fit": {**term, argument: {"from": "m", **route}}}})
    weight = values["m"].expand(2, 3, 4)
    divisor = weight.sum() if argument == "mask" else weight.numel()
    assert torch.isclose(mended(values).total, (weight * values["x"]).sum() / divisor)
