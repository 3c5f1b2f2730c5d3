from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import lossreg
from lossreg.testing import LossContract
from oracles import Draw, Example
from properties import FLOAT_DTYPES, assert_bit_identical, value_and_gradients

TORCH = None  # it has no module for a value that is there already


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"input": torch.randn(4, 3, generator=generator)}


def example(draw: Draw) -> Example:
    shape = draw.shape()
    how: dict[str, Callable[[Tensor], Tensor]] = {
        "mean": Tensor.mean,
        "sum": Tensor.sum,
        "none": Tensor.clone,
        "batchmean": lambda each: each.sum() / shape[0],
    }
    return Example(
        tensors={"input": draw.normal(*shape)},
        leaves=("input",),
        counted=(),
        loss=lambda t, r: how[r](t["input"]),
        shape=shape,
    )


class TestValue(LossContract):
    loss = "value"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return batch()


class TestValueBatchmean(TestValue):
    params = {"reduction": "batchmean"}  # noqa: RUF012  (the suite declares it)


class TestValueOfANumber(TestValue):
    def batch(self) -> dict[str, Tensor]:
        return {"input": torch.tensor(2.5)}


@pytest.mark.parametrize(
    ("reduction", "expected"), [("mean", 3.5), ("sum", 21.0), ("batchmean", 10.5)]
)
def test_value_by_hand(reduction: str, expected: float) -> None:
    # 1 + 2 + 3 + 4 + 5 + 6 = 21, over 6 entries or 2 rows.
    given = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert lossreg.create("value", reduction=reduction)(given) == expected


def test_mean_is_the_default() -> None:
    assert lossreg.create("value").reduction == "mean"


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_number_is_itself(reduction: str) -> None:
    number = torch.tensor(-2.5)
    assert_bit_identical(lossreg.create("value", reduction=reduction)(number), number)


def test_a_number_has_no_rows() -> None:
    with pytest.raises(ValueError, match="batchmean"):
        lossreg.create("value", reduction="batchmean")(torch.tensor(1.0))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_every_entry_gets_the_same_gradient(dtype: torch.dtype) -> None:
    given = batch()["input"].to(dtype)
    for reduction, share in (("mean", 1 / 12), ("sum", 1.0), ("batchmean", 1 / 4)):
        module = lossreg.create("value", reduction=reduction)
        value, (gradient,) = value_and_gradients(module, [given], [True])
        assert value.dtype == dtype
        assert_bit_identical(gradient, torch.full_like(given, share))


def test_says_its_reduction() -> None:
    assert repr(lossreg.create("value", reduction="batchmean")) == "Value(reduction='batchmean')"


def test_has_no_state() -> None:
    assert not lossreg.create("value").state_dict()
