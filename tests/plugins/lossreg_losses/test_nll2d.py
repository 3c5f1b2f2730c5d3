from __future__ import annotations

import warnings
from itertools import product
from math import log
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossreg
from built_ins import RefusedAlone, is_no_weighting
from lossreg.testing import LossContract
from oracles import Draw, Example, class_indices
from properties import (
    FLOAT_DTYPES,
    assert_bit_identical,
    assert_no_fault,
    assert_same_as_torch,
    refusal,
    suspicion,
)

TORCH = nn.NLLLoss
REFUSED_BY_LOSSREG_ALONE: RefusedAlone = {
    "weight": (is_no_weighting, "Negative numbers"),
}


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.randn(2, 3, 2, 3, generator=generator).log_softmax(1),
        "target": torch.tensor([[[0, 2, 1], [1, -100, 0]], [[2, 2, 0], [1, 0, -100]]]),
    }


def example(draw: Draw) -> Example:
    return class_indices(draw, draw.shape(3, 3), logits=False)


class TestNLL2d(LossContract):
    loss = "nll2d"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return batch()


class TestNLL2dWeighted(TestNLL2d):
    params = {"weight": [1.0, 2.0, 0.5], "ignore_index": -100}  # noqa: RUF012  (as declared)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"reduction": "none"}, [2 * log(2), log(2)]),
        ({"reduction": "sum"}, 3 * log(2)),
        ({"reduction": "mean"}, 1.5 * log(2)),
        # The mean divides by the weights of the targets: (1 * 2 + 3 * 1) / (1 + 3).
        ({"reduction": "mean", "weight": [1.0, 3.0]}, 1.25 * log(2)),
        ({"reduction": "mean", "ignore_index": 0}, log(2)),
    ],
)
def test_value_by_hand(params: dict[str, Any], expected: object) -> None:
    # One image of 1 x 2 pixels. The first target has 1/4: -log 1/4 = 2 log 2. The second has
    # 1/2: log 2.
    log_probs = torch.tensor([[[[0.25, 0.5]], [[0.75, 0.5]]]]).log()
    value = lossreg.create("nll2d", **params)(log_probs, torch.tensor([[[0, 1]]]))
    assert value.squeeze().tolist() == pytest.approx(expected)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_is_nll(reduction: str) -> None:
    arguments = batch().values()
    params = {"reduction": reduction, "weight": [1.0, 2.0, 0.5]}
    assert_bit_identical(
        lossreg.create("nll2d", **params)(*arguments), lossreg.create("nll", **params)(*arguments)
    )


def test_does_not_warn() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lossreg.create("nll2d", weight=[1.0, 2.0, 0.5])(*batch().values())
    assert not caught


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_is_torchs_bit_for_bit(dtype: torch.dtype) -> None:
    good = batch()
    dense = {**good, "target": good["target"].clamp(min=0)}
    weights = (None, torch.tensor([1.0, 2.0, 0.5]))
    for reduction, weight in product(("mean", "sum", "none"), weights):
        params = {"reduction": reduction, "weight": weight}
        assert_same_as_torch("nll2d", nn.NLLLoss(**params), good, dtype=dtype, **params)
        params["ignore_index"] = 1
        assert_same_as_torch("nll2d", nn.NLLLoss(**params), dense, dtype=dtype, **params)


@pytest.mark.parametrize("shape", [(2, 1, 8, 8)])
def test_one_class_is_refused(shape: tuple[int, ...]) -> None:
    target = torch.zeros(shape[:1] + shape[2:] if len(shape) > 1 else (), dtype=torch.int64)
    said = refusal("nll2d", {"input": torch.zeros(shape), "target": target})
    assert "'input' (path 'input'): expected at least two classes" in said
    assert "Is bce_with_logits meant" in said


def test_logits_that_are_all_negative_are_warned_of() -> None:
    log_probs, target = batch().values()
    logits = -log_probs.abs() / 10
    said = suspicion("nll2d", {"input": logits, "target": target})
    assert "expected log-probabilities, found classes whose probabilities add up to" in said
    assert "cross_entropy takes logits" in said
    assert_no_fault("nll2d", {"input": log_probs, "target": target})
    nothing = torch.zeros(target.shape, dtype=torch.bool)
    assert_no_fault("nll2d", {"input": logits, "target": target, "m": nothing}, mask="m")
