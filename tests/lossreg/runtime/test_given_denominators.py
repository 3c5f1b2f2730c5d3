"""A number from the step's values divides a term's sum."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossreg
from lossreg.errors import InputError
from masked import CASES, DOUBLE, GIVEN, NAN, build, per_label

# lossreg and torch warn of kl_div's mean.
pytestmark = [
    pytest.mark.filterwarnings("ignore::lossreg.errors.ConfigWarning"),
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning:torch"),
]


def given(params: dict[str, Any] | None = None, **term: Any) -> lossreg.CompositeLoss:
    term = {"type": "l1", "divide_by": {"number": "sizes.n"}, "params": params or {}, **term}
    return lossreg.build({"terms": {"t": term}})


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (4, 1.5),
        (0.5, 12.0),
        (torch.tensor(4), 1.5),
        (torch.tensor(4.0), 1.5),
        (torch.tensor([4]), 1.5),
        (torch.tensor([[4.0]], dtype=torch.float64), 1.5),
        (0, 6.0),
        (torch.tensor(0), 6.0),
    ],
    ids=str,
)
def test_a_given_denominator_divides_the_sum(number: float | Tensor, expected: float) -> None:
    out = given()({**GIVEN, "sizes": {"n": number}})
    assert out.total == expected
    assert out.total.dtype == torch.float32


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (torch.ones(2), r"expected one number, found \(2,\)"),
        (torch.ones(0), r"expected one number, found \(0,\)"),
        ("4", "expected a number, found a str"),
        (True, "expected a number, found a bool"),
        (None, "expected a number, found a NoneType"),
        ([4], "expected a number, found a list"),
        (torch.tensor([True]), "expected a number, found torch.bool"),
        (torch.tensor(4j), "expected a number, found torch.complex64"),
        *(
            (kind(number), f"expected a finite number of at least 0, found {shown}$")
            for kind in (float, torch.tensor)
            for number, shown in ((NAN, "nan"), (math.inf, "inf"), (-math.inf, "-inf"), (-2, "-2"))
        ),
        (1e-46, "found 1e-46, which is 0 in torch.float32"),
        (torch.tensor(1e300, dtype=DOUBLE), r"found 1e\+300, which is inf in torch.float32"),
    ],
    ids=str,
)
def test_a_denominator_that_is_no_number_is_an_error(number: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        given()({**GIVEN, "sizes": {"n": number}})
    error = raised.value
    assert (error.term, error.argument, error.path) == ("t", "divide_by", "sizes.n")


@pytest.mark.parametrize("number", [NAN, math.inf, -math.inf, -2.0, -1e-30])
def test_a_denominator_that_is_no_divisor_is_an_error_at_every_step(number: float) -> None:
    loss = lossreg.build(
        {"checks": "never", "terms": {"t": {"type": "l1", "divide_by": {"number": "n"}}}}
    )
    for _ in range(2):
        assert loss({**GIVEN, "n": torch.tensor(4.0)}).total == 1.5
        with pytest.raises(InputError, match="expected a finite number of at least 0"):
            loss({**GIVEN, "n": torch.tensor(number)})
    with pytest.raises(InputError, match=r"term 't', 'divide_by'.* expected a finite number"):
        loss.denominators([{**GIVEN, "n": 3}, {**GIVEN, "n": number}])


@pytest.mark.parametrize("number", [NAN, math.inf, -math.inf, -2.0, -1e-30])
def test_where_a_denominator_is_not_read_it_makes_a_nan(
    number: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on an accelerator, which would have to be waited for.
    loss = lossreg.build(
        {
            "checks": "never",
            "on_nonfinite": "ignore",
            "terms": {"t": {"type": "l1", "divide_by": {"number": "n"}}},
        }
    )
    monkeypatch.setattr(torch.Tensor, "is_cpu", property(lambda _: False))
    assert loss({**GIVEN, "n": torch.tensor(number)}).total.isnan()
    assert [loss({**GIVEN, "n": torch.tensor(n)}).total for n in (4, 0, 0.5)] == [1.5, 6, 12]


def test_a_denominator_that_is_not_there_is_an_error() -> None:
    with pytest.raises(InputError, match=r"input 'divide_by' \(path 'sizes.n'\): there is no"):
        given()({**GIVEN, "sizes": {}})


def test_no_gradient_reaches_a_denominator() -> None:
    number = torch.tensor(4.0, requires_grad=True)
    leaf = GIVEN["input"].clone().requires_grad_()
    given()({**GIVEN, "input": leaf, "sizes": {"n": number}}).total.backward()
    assert number.grad is None
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [0.25] * 3


def test_a_denominator_with_a_mask_divides_what_is_left() -> None:
    values = {
        **GIVEN,
        "sizes": {"n": 2},
        "m": torch.tensor([0, 1, 1]),
        "w": torch.tensor([9, 1, 3]),
    }
    assert given(mask="m")(values).total == 2.5
    assert given(mask="m", sample_weight="w")(values).total == (2 + 9) / 2


def test_a_denominator_of_class_weights_divides_the_weighted_sum() -> None:
    case = CASES["cross_entropy weighted"]
    total = case.module(reduction="sum")(*case.inputs.values())
    torch.testing.assert_close(
        build(case, divide_by={"number": "n"})({**case.inputs, "n": 7}).total, total / 7
    )


@pytest.mark.parametrize("mask", [{}, {"mask": "m"}])
def test_a_denominator_of_ctc_divides_the_losses_a_label(mask: dict[str, str]) -> None:
    case = CASES["ctc"]
    taken = list(case.inputs.values())
    each = nn.CTCLoss(reduction="none")(*taken)
    values = {**case.inputs, "n": 8, "m": torch.ones(4)}
    mean = build(case, divide_by={"number": "n"}, **mask)(values).total
    torch.testing.assert_close(mean, (each * per_label(taken)).sum() / 8)
    by_row = build(case, divide_by="rows", **mask)(values).total
    torch.testing.assert_close(by_row, each.sum() / 4)


def test_a_value_is_divided_as_well() -> None:
    loss = lossreg.build({"terms": {"t": {"type": "value", "divide_by": {"number": "n"}}}})
    assert loss(input=torch.tensor([1.0, 2.0, 3.0]), n=4).total == 1.5


def test_a_value_may_have_the_name_that_a_trainer_calls_with() -> None:
    terms = {"fit": {"type": "mse", "inputs": ["p", "y"]}}
    terms["fit"]["divide_by"] = {"number": "num_items_in_batch"}  # type: ignore[assignment]
    loss = lossreg.build({"terms": terms})
    p, y = torch.tensor([1.0, 3.0]), torch.zeros(2)
    assert loss(p=p, y=y, num_items_in_batch=5).total == 2.0
    with pytest.raises(TypeError, match="Trainer calls its compute_loss_func"):
        loss({"p": p}, y, num_items_in_batch=5)
