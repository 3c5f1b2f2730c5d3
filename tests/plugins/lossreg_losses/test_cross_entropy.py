from __future__ import annotations

import math
from itertools import product
from math import log
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
from built_ins import RefusedAlone, is_no_weighting
from lossreg.testing import LossContract
from oracles import Draw, Example, class_indices
from properties import FLOAT_DTYPES, assert_no_fault, assert_same_as_torch, refusal, suspicion

TORCH = nn.CrossEntropyLoss
REFUSED_BY_LOSSREG_ALONE: RefusedAlone = {
    "weight": (is_no_weighting, "Negative numbers"),
    "label_smoothing": (lambda part: part < 0, "A negative number"),
}


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.randn(5, 3, generator=generator),
        "target": torch.tensor([0, 2, 1, 1, -100]),
    }


def probabilities() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "input": torch.randn(2, 3, 4, generator=generator),
        "target": torch.randn(2, 3, 4, generator=generator).softmax(1),
    }


def example(draw: Draw) -> Example:
    if draw.rng.random() < 0.6:
        return class_indices(draw, draw.shape(), logits=True)
    shape = draw.shape()
    n, *rest = shape
    c = draw.rng.randint(2, 4)
    params = draw.maybe(weight=draw.numbers(c))
    weight = draw.tensor(params, "weight")
    options: dict[str, Any] = draw.maybe(label_smoothing=0.2)
    places = (0, *range(2, len(shape) + 1))
    return Example(
        params={**params, **options},
        tensors={"input": draw.normal(n, c, *rest), "target": draw.normal(n, c, *rest).softmax(1)},
        leaves=("input", "target"),
        loss=lambda t, r: F.cross_entropy(**t, weight=weight, reduction=r, **options),
        shape=shape,
        axes={"input": (places, math.nan), "target": (places, math.nan)},
    )


class TestCrossEntropy(LossContract):
    loss = "cross_entropy"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return batch()


class TestCrossEntropyWeighted(TestCrossEntropy):
    params = {"weight": [1.0, 2.0, 0.5], "label_smoothing": 0.1}  # noqa: RUF012  (as declared)


class TestCrossEntropyProbabilities(TestCrossEntropy):
    def batch(self) -> dict[str, Tensor]:
        return probabilities()


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"reduction": "none"}, [log(4), log(4 / 3)]),
        ({"reduction": "sum"}, log(16 / 3)),
        ({"reduction": "mean"}, log(16 / 3) / 2),
        # The mean divides by the weights of the targets, 1 + 3.
        ({"reduction": "mean", "weight": [1.0, 3.0]}, (log(4) + 3 * log(4 / 3)) / 4),
        ({"reduction": "mean", "ignore_index": 0}, log(4 / 3)),
        # Half of each target is spread over both classes: 3/4 of the true one, 1/4 of the other.
        (
            {"reduction": "none", "label_smoothing": 0.5},
            [0.75 * log(4) + 0.25 * log(4 / 3), 0.75 * log(4 / 3) + 0.25 * log(4)],
        ),
    ],
)
def test_value_by_hand(params: dict[str, Any], expected: object) -> None:
    # softmax(0, log 3) = (1, 3) / 4. Class 0: -log 1/4 = log 4. Class 1: -log 3/4 = log 4/3.
    logits = torch.tensor([[0.0, log(3)], [0.0, log(3)]])
    value = lossreg.create("cross_entropy", **params)(logits, torch.tensor([0, 1]))
    assert value.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("label_smoothing", [0, 0.3, 1])
def test_uniform_logits_cost_log_of_the_classes(label_smoothing: float) -> None:
    module = lossreg.create("cross_entropy", label_smoothing=label_smoothing)
    value = module(torch.full((4, 7), 2.5), torch.tensor([0, 6, 3, 3]))
    assert value.item() == pytest.approx(log(7))


def test_is_nll_of_the_log_softmax() -> None:
    logits, target = batch().values()
    torch.testing.assert_close(
        lossreg.create("cross_entropy", weight=[1.0, 2.0, 0.5])(logits, target),
        lossreg.create("nll", weight=[1.0, 2.0, 0.5])(logits.log_softmax(1), target),
    )


def test_a_certain_probability_is_its_class() -> None:
    logits, target = batch()["input"][:4], batch()["target"][:4]
    module = lossreg.create("cross_entropy", reduction="none", label_smoothing=0.1)
    certain = nn.functional.one_hot(target, 3).float()
    torch.testing.assert_close(module(logits, certain), module(logits, target))


@pytest.mark.parametrize("shape", [(2,), (2, 4)])
def test_floating_point_class_indices_are_told_what_they_are_taken_for(
    shape: tuple[int, ...],
) -> None:
    logits = torch.randn(2, 3, *shape[1:])
    said = refusal("cross_entropy", {"input": logits, "target": torch.ones(shape)})
    if shape == (2,):
        assert "'target' (path 'target'): expected the shape N C *, found (2,): floating-p" in said
        assert "class indices are integers of the shape N *, and apply: [{cast: int64}]" in said
    else:
        assert "expected a shape that fits (2, 3, 4) of 'input', found (2, 4)" in said


def test_a_mean_of_nothing_is_nan_as_torchs() -> None:
    value = lossreg.create("cross_entropy")(batch()["input"], torch.full((5,), -100))
    assert value.isnan()


@pytest.mark.parametrize("ignore_index", [-(2**63), 2**63 - 1])
def test_takes_every_64_bit_ignore_index(ignore_index: int) -> None:
    logits = batch()["input"]
    target = torch.tensor([0, 2, ignore_index, 1, ignore_index])
    kept = target != ignore_index
    value = lossreg.create("cross_entropy", ignore_index=ignore_index, reduction="sum")(
        logits, target
    )
    assert value == lossreg.create("cross_entropy", reduction="sum")(logits[kept], target[kept])


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_is_torchs_bit_for_bit(dtype: torch.dtype) -> None:
    weights = (None, torch.tensor([1.0, 2.0, 0.5]))
    for reduction, weight, label_smoothing in product(
        ("mean", "sum", "none"), weights, (0.0, 0.1, 1.0)
    ):
        params = {"reduction": reduction, "weight": weight, "label_smoothing": label_smoothing}
        for good in (batch(), probabilities()):
            reference = nn.CrossEntropyLoss(**params)
            assert_same_as_torch("cross_entropy", reference, good, dtype=dtype, **params)
        params["ignore_index"] = 1
        dense = {"input": batch()["input"], "target": batch()["target"].clamp(min=0)}
        reference = nn.CrossEntropyLoss(**params)
        assert_same_as_torch("cross_entropy", reference, dense, dtype=dtype, **params)


@pytest.mark.parametrize("shape", [(2, 1), (2, 1, 8, 8), (1,)])
def test_one_class_is_refused(shape: tuple[int, ...]) -> None:
    target = torch.zeros(shape[:1] + shape[2:] if len(shape) > 1 else (), dtype=torch.int64)
    # torch's value and gradient are 0, whatever the logits are.
    assert nn.CrossEntropyLoss()(torch.randn(shape), target) == 0
    for each in (target, torch.ones(shape)):
        said = refusal("cross_entropy", {"input": torch.randn(shape), "target": each})
        assert "'input' (path 'input'): expected at least two classes" in said
        assert "Is bce_with_logits meant" in said


def test_probabilities_given_as_logits_are_warned_of() -> None:
    logits, target = batch().values()
    said = suspicion("cross_entropy", {"input": logits.softmax(1), "target": target})
    assert "'input' (path 'input'): expected logits, found what looks like probabilities" in said
    assert "nll" in said
    kept = torch.arange(len(target)) > 0
    masked = {"input": logits.softmax(1), "target": target, "m": kept}
    assert "found what looks like" in suspicion("cross_entropy", masked, mask="m")


def test_logits_and_log_probabilities_are_taken() -> None:
    logits, target = batch().values()
    for each in (logits, logits.log_softmax(1), logits.sigmoid(), logits * 0):
        assert_no_fault("cross_entropy", {"input": each, "target": target})


def test_several_labels_given_as_probabilities_are_warned_of() -> None:
    logits = torch.randn(2, 3)
    labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    said = suspicion("cross_entropy", {"input": logits, "target": labels})
    assert "'target' (path 'target'): expected class probabilities that add up to 1" in said
    assert "some that add up to 2; are these labels of bce_with_logits" in said
    # A row of zeros is one that is left out.
    rows = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    for each in (rows, *(logits.softmax(1).to(dtype) for dtype in FLOAT_DTYPES)):
        assert_no_fault("cross_entropy", {"input": logits.to(each.dtype), "target": each})
    assert_no_fault("cross_entropy", {"input": logits[0], "target": logits[0].softmax(0)})
