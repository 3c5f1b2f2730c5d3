from __future__ import annotations

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
from oracles import Draw, Example, entrywise
from properties import FLOAT_DTYPES, assert_no_fault, assert_same_as_torch, refusal

TORCH = nn.BCEWithLogitsLoss
REFUSED_BY_LOSSREG_ALONE: RefusedAlone = {
    "weight": (is_no_weighting, "Negative numbers"),
    "pos_weight": (is_no_weighting, "Negative numbers"),
}


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.randn(4, 3, generator=generator),
        "target": torch.randn(4, 3, generator=generator).sigmoid(),
    }


def example(draw: Draw) -> Example:
    shape = draw.shape()
    params = draw.maybe(weight=draw.factors(shape), pos_weight=draw.factors(shape))
    weight, positive = draw.tensor(params, "weight"), draw.tensor(params, "pos_weight")
    tensors = {"input": draw.normal(*shape), "target": draw.uniform(*shape)}
    return entrywise(
        lambda t, r: F.binary_cross_entropy_with_logits(
            **t, weight=weight, pos_weight=positive, reduction=r
        ),
        tensors,
        **params,
    )


class TestBCEWithLogits(LossContract):
    loss = "bce_with_logits"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return batch()


class TestBCEWithLogitsWeighted(TestBCEWithLogits):
    params = {  # noqa: RUF012  (the suite declares it)
        "weight": [1.0, 2.0, 0.5],
        "pos_weight": [3.0],
    }


class TestBCEWithLogitsOfAnyShape(TestBCEWithLogits):
    params = {"weight": [[1.0, 2.0, 0.5]], "pos_weight": 3.0}  # noqa: RUF012


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"reduction": "none"}, [log(4 / 3), log(4)]),
        ({"reduction": "sum"}, log(16 / 3)),
        ({"reduction": "mean"}, log(16 / 3) / 2),
        # The weights do not count in what the mean divides by.
        ({"reduction": "mean", "weight": [3.0, 1.0]}, (3 * log(4 / 3) + log(4)) / 2),
        # Only the first target is positive.
        ({"reduction": "none", "pos_weight": [5.0]}, [5 * log(4 / 3), log(4)]),
    ],
)
def test_value_by_hand(params: dict[str, Any], expected: object) -> None:
    # sigmoid(log 3) = 3 / (3 + 1) = 3/4. A yes: -log 3/4. A no: -log(1 - 3/4) = log 4.
    module = lossreg.create("bce_with_logits", **params)
    value = module(torch.full((2,), log(3)), torch.tensor([1.0, 0.0]))
    assert value.tolist() == pytest.approx(expected)


def test_is_bce_of_the_sigmoid() -> None:
    logits, target = batch().values()
    torch.testing.assert_close(
        lossreg.create("bce_with_logits", weight=[1.0, 2.0, 0.5])(logits, target),
        lossreg.create("bce", weight=[1.0, 2.0, 0.5])(logits.sigmoid(), target),
    )


def test_a_sure_mistake_costs_its_logit() -> None:
    # Far from 0, -log sigmoid(-x) is x; bce would stop at 100.
    assert lossreg.create("bce_with_logits")(torch.tensor([-1000.0]), torch.tensor([1.0])) == 1000


def test_a_positive_weight_of_99_makes_an_even_guess_cost_68_6() -> None:
    loss = lossreg.create("bce_with_logits", pos_weight=[99.0])
    value = loss(torch.tensor([0.0]), torch.tensor([1.0]))
    assert value.item() == pytest.approx(68.6, abs=0.05)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_is_torchs_bit_for_bit(dtype: torch.dtype) -> None:
    weights = (None, torch.tensor([1.0, 2.0, 0.5]), torch.tensor([3.0]))
    for reduction, weight, pos_weight in product(("mean", "sum", "none"), weights, weights):
        params = {"reduction": reduction, "weight": weight, "pos_weight": pos_weight}
        reference = nn.BCEWithLogitsLoss(**params)
        assert_same_as_torch("bce_with_logits", reference, batch(), dtype=dtype, **params)


@pytest.mark.parametrize("name", ["weight", "pos_weight"])
@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 3, 8, 3), (2, 3, 5), (2, 4), (2, 1)])
def test_one_number_a_class_is_refused_where_classes_are_not_last(
    name: str, shape: tuple[int, ...]
) -> None:
    tensors = {"input": torch.rand(shape), "target": torch.rand(shape)}
    said = refusal("bce_with_logits", tensors, params={name: [1.0, 2.0, 3.0]})
    assert f"'input' (path 'input'): expected a last dimension of 3, because '{name}' has" in said
    assert ("permute" in said) == (len(shape) > 2)


@pytest.mark.parametrize("name", ["weight", "pos_weight"])
def test_one_number_a_class_is_taken_where_classes_are_last(name: str) -> None:
    for shape in [(3,), (2, 3), (3, 3), (2, 8, 3), (2, 8, 8, 3)]:
        tensors = {"input": torch.rand(shape), "target": torch.rand(shape)}
        assert_no_fault("bce_with_logits", tensors, params={name: [1.0, 2.0, 3.0]})
    tensors = {"input": torch.rand(2, 3, 8, 3), "target": torch.rand(2, 3, 8, 3)}
    assert_no_fault("bce_with_logits", tensors, params={name: [2.0]})
    assert_no_fault("bce_with_logits", tensors, params={name: torch.ones(3, 1, 1)})


def test_the_remedy_for_classes_at_dimension_1_weighs_classes() -> None:
    logits, target = torch.randn(2, 3, 4, 3), torch.rand(2, 3, 4, 3)
    last = [{"permute": [0, 2, 3, 1]}, {"flatten": {"end": -2}}]
    term = {
        "type": "bce_with_logits",
        "inputs": [{"from": "input", "apply": last}, {"from": "target", "apply": last}],
        "params": {"pos_weight": [1.0, 2.0, 3.0]},
    }
    found = lossreg.build({"terms": {"tags": term}})(input=logits, target=target).total
    weight = torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    torch.testing.assert_close(found, nn.BCEWithLogitsLoss(pos_weight=weight)(logits, target))
