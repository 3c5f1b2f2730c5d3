from __future__ import annotations

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
from properties import FLOAT_DTYPES, assert_no_fault, assert_same_as_torch, refusal, suspicion

TORCH = nn.NLLLoss
REFUSED_BY_LOSSREG_ALONE: RefusedAlone = {
    "weight": (is_no_weighting, "Negative numbers"),
}


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.randn(5, 3, generator=generator).log_softmax(1),
        "target": torch.tensor([0, 2, 1, 1, -100]),
    }


def example(draw: Draw) -> Example:
    return class_indices(draw, draw.shape(), logits=False)


class TestNLL(LossContract):
    loss = "nll"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return batch()


class TestNLLWeighted(TestNLL):
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
    # The first target has 1/4: -log 1/4 = 2 log 2. The second has 1/2: log 2.
    log_probs = torch.tensor([[0.25, 0.75], [0.5, 0.5]]).log()
    value = lossreg.create("nll", **params)(log_probs, torch.tensor([0, 1]))
    assert value.tolist() == pytest.approx(expected)


def test_equal_weights_change_nothing_in_the_mean() -> None:
    arguments = batch().values()
    torch.testing.assert_close(
        lossreg.create("nll", weight=[4, 4, 4])(*arguments), lossreg.create("nll")(*arguments)
    )


def test_a_mean_of_nothing_is_nan_as_torchs() -> None:
    value = lossreg.create("nll")(batch()["input"], torch.full((5,), -100))
    assert value.isnan()


@pytest.mark.parametrize("ignore_index", [-(2**63), 2**63 - 1])
def test_takes_every_64_bit_ignore_index(ignore_index: int) -> None:
    log_probs = batch()["input"]
    target = torch.tensor([0, 2, ignore_index, 1, ignore_index])
    kept = target != ignore_index
    value = lossreg.create("nll", ignore_index=ignore_index, reduction="sum")(log_probs, target)
    assert value == lossreg.create("nll", reduction="sum")(log_probs[kept], target[kept])


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_is_torchs_bit_for_bit(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    shaped = {
        "input": torch.randn(2, 3, 4, generator=generator).log_softmax(1),
        "target": torch.randint(0, 3, (2, 4), generator=generator),
    }
    weights = (None, torch.tensor([1.0, 2.0, 0.5]))
    for reduction, weight in product(("mean", "sum", "none"), weights):
        params = {"reduction": reduction, "weight": weight}
        assert_same_as_torch("nll", nn.NLLLoss(**params), batch(), dtype=dtype, **params)
        params["ignore_index"] = 1
        assert_same_as_torch("nll", nn.NLLLoss(**params), shaped, dtype=dtype, **params)


@pytest.mark.parametrize("shape", [(2, 1), (2, 1, 8), (1,)])
def test_one_class_is_refused(shape: tuple[int, ...]) -> None:
    target = torch.zeros(shape[:1] + shape[2:] if len(shape) > 1 else (), dtype=torch.int64)
    said = refusal("nll", {"input": torch.zeros(shape), "target": target})
    assert "'input' (path 'input'): expected at least two classes" in said
    assert "Is bce_with_logits meant" in said


def test_logits_that_are_all_negative_are_warned_of() -> None:
    log_probs, target = batch().values()
    logits = -log_probs.abs() / 10
    said = suspicion("nll", {"input": logits, "target": target})
    assert "expected log-probabilities, found classes whose probabilities add up to" in said
    assert "cross_entropy takes logits" in said
    assert_no_fault("nll", {"input": log_probs, "target": target})
    nothing = torch.zeros(target.shape, dtype=torch.bool)
    assert_no_fault("nll", {"input": logits, "target": target, "m": nothing}, mask="m")
