"""Multi-label soft margin loss."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
import properties
from built_ins import RefusedAlone, is_no_weighting
from lossreg.testing import LossContract
from oracles import Draw, Example

TORCH = nn.MultiLabelSoftMarginLoss
REFUSED_BY_LOSSREG_ALONE: RefusedAlone = {
    "weight": (is_no_weighting, "Negative numbers"),
}

REDUCTIONS = ("mean", "sum", "none")


def make_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.randn(4, 3, generator=generator),
        "target": torch.randint(0, 2, (4, 3), generator=generator).float(),
    }


def example(draw: Draw) -> Example:
    n, c = draw.rows(), draw.rng.randint(2, 4)
    params = draw.maybe(weight=draw.numbers(c))
    weight = draw.tensor(params, "weight")
    return Example(
        params=params,
        tensors={"input": draw.normal(n, c), "target": draw.uniform(n, c)},
        leaves=("input", "target"),
        loss=lambda t, r: F.multilabel_soft_margin_loss(**t, weight=weight, reduction=r),
        shape=(n,),
        axes={"input": ((0,), math.nan), "target": ((0,), math.nan)},
    )


class TestMultilabelSoftMargin(LossContract):
    loss = "multilabel_soft_margin"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return make_batch()


class TestMultilabelSoftMarginWithWeight(TestMultilabelSoftMargin):
    params = {"weight": [1.0, 2.0, 0.5]}  # noqa: RUF012  (the suite declares it)


def test_value_by_hand() -> None:
    logits, target = torch.tensor([[math.log(3), 0.0]]), torch.tensor([[1.0, 0.0]])
    # sigmoid(log 3) = 3/4 and sigmoid(0) = 1/2: (log 4/3 + log 2) / 2
    # with weights 3 and 1: (3 log 4/3 + log 2) / 2
    plain = torch.tensor((math.log(4 / 3) + math.log(2)) / 2)
    weighted = torch.tensor((3 * math.log(4 / 3) + math.log(2)) / 2)
    torch.testing.assert_close(lossreg.create("multilabel_soft_margin")(logits, target), plain)
    loss = lossreg.create("multilabel_soft_margin", weight=[3.0, 1.0])
    torch.testing.assert_close(loss(logits, target), weighted)


def test_sure_scores_cost_nothing_if_right_and_themselves_if_wrong() -> None:
    loss = lossreg.create("multilabel_soft_margin", reduction="none")
    value = loss(torch.tensor([[100.0, -100.0], [-100.0, 100.0]]), torch.tensor([[1.0, 0.0]] * 2))
    torch.testing.assert_close(value, torch.tensor([0.0, 100.0]))


def test_without_reduction_there_is_one_value_an_example() -> None:
    batch = make_batch()
    loss = lossreg.create("multilabel_soft_margin", reduction="none")
    assert loss(batch["input"], batch["target"]).shape == (4,)


@pytest.mark.parametrize("dtype", properties.FLOAT_DTYPES, ids=str)
def test_same_as_torch(dtype: torch.dtype) -> None:
    weights = (None, [1.0, 2.0, 0.5], [0.0, 1.0, 0.0], [2.0])
    for reduction, weight in itertools.product(REDUCTIONS, weights):
        reference = nn.MultiLabelSoftMarginLoss(
            weight=None if weight is None else torch.tensor(weight), reduction=reduction
        )
        properties.assert_same_as_torch(
            "multilabel_soft_margin",
            reference,
            make_batch(),
            dtype=dtype,
            reduction=reduction,
            weight=weight,
        )


def test_probabilities_and_integers_are_targets_too() -> None:
    for target in (make_batch()["input"].sigmoid(), make_batch()["target"].long()):
        batch = {"input": make_batch()["input"], "target": target}
        properties.assert_same_as_torch(
            "multilabel_soft_margin", nn.MultiLabelSoftMarginLoss(), batch
        )


@pytest.mark.parametrize("name", ["weight"])
@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 3, 8, 3), (2, 3, 5), (2, 4), (2, 1)])
def test_one_number_a_class_is_refused_where_classes_are_not_last(
    name: str, shape: tuple[int, ...]
) -> None:
    tensors = {"input": torch.rand(shape), "target": torch.rand(shape)}
    said = properties.refusal("multilabel_soft_margin", tensors, params={name: [1.0, 2.0, 3.0]})
    assert f"'input' (path 'input'): expected a last dimension of 3, because '{name}' has" in said
    assert ("permute" in said) == (len(shape) > 2)


@pytest.mark.parametrize("name", ["weight"])
def test_one_number_a_class_is_taken_where_classes_are_last(name: str) -> None:
    for shape in [(3,), (2, 3), (3, 3), (2, 8, 3), (2, 8, 8, 3)]:
        tensors = {"input": torch.rand(shape), "target": torch.rand(shape)}
        properties.assert_no_fault(
            "multilabel_soft_margin", tensors, params={name: [1.0, 2.0, 3.0]}
        )
    tensors = {"input": torch.rand(2, 3, 8, 3), "target": torch.rand(2, 3, 8, 3)}
    properties.assert_no_fault("multilabel_soft_margin", tensors, params={name: [2.0]})
