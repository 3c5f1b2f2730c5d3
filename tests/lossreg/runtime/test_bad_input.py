"""What a step may bring that does not fit: one error that says whose, where, and what came."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pytest
import torch
from torch import Tensor

import lossreg
from lossreg.errors import InputError, NonFiniteError

CLASSIFY = {"type": "cross_entropy", "inputs": ["logits", "labels"]}
FIT = {"type": "mse", "inputs": ["heads.p", "y"]}
RAGGED = torch.nested.as_nested_tensor([torch.ones(2), torch.ones(1)], layout=torch.jagged)
RAMP = {"schedule": "linear", "start": 1.0, "end": 0.0, "steps": 4}


def good() -> dict[str, Any]:
    return {
        "logits": torch.zeros(3, 4, requires_grad=True),
        "labels": torch.tensor([0, 1, 3]),
        "heads": {"p": torch.zeros(3, 2, requires_grad=True)},
        "y": torch.ones(3, 2),
        "signs": torch.tensor([1.0, -1.0, 1.0]),
        "scores": torch.zeros(3, requires_grad=True),
        "shares": torch.full((3,), 0.5, requires_grad=True),
        "halves": torch.full((3,), 0.5),
        "valid": torch.tensor([True, False, True]),
        "weights": torch.tensor([1.0, 2.0, 0.0]),
        "count": 2,
    }


@dataclass
class Case:
    """A term, what is wrong with a batch, and what the error says."""

    term: dict[str, Any]
    wrong: dict[str, Any]
    argument: str
    path: str
    message: str
    value: float  # the term's on a good batch
    refused: bool = True  # by torch as well


def masked(**fields: Any) -> dict[str, Any]:
    return {**FIT, **fields}


CASES = {
    "a shape that torch would broadcast": Case(
        FIT, {"y": torch.ones(2)}, "target", "y",
        "expected a shape that fits (3, 2) of 'input', found (2,); "
        "torch would broadcast or refuse it",
        1.0, refused=False,
    ),
    "a shape that torch refuses": Case(
        FIT, {"y": torch.ones(4, 2)}, "target", "y",
        "expected a shape that fits (3, 2) of 'input', found (4, 2); "
        "torch would broadcast or refuse it",
        1.0,
    ),
    "too few dimensions": Case(
        CLASSIFY, {"logits": torch.zeros(())}, "input", "logits",
        "expected the shape N C *, found ()", math.log(4),
    ),
    "an integer where a float belongs": Case(
        FIT, {"heads": {"p": torch.ones(3, 2).long()}}, "input", "heads.p",
        "expected a floating-point tensor, found torch.int64", 1.0, refused=False,
    ),
    "a complex number": Case(
        CLASSIFY, {"labels": torch.zeros(3, dtype=torch.complex64)}, "target", "labels",
        "expected an integer tensor, found torch.complex64", math.log(4),
    ),
    "complex numbers": Case(
        FIT, {"heads": {"p": torch.ones(3, 2, dtype=torch.complex64)}}, "input", "heads.p",
        "expected a floating-point tensor, found torch.complex64; give its magnitudes, x.abs(), "
        "or its two parts as a dimension more, torch.view_as_real(x)", 1.0, refused=False,
    ),
    "a sparse tensor": Case(
        FIT, {"heads": {"p": torch.ones(3, 2).to_sparse()}}, "input", "heads.p",
        "expected a dense tensor, found torch.sparse_coo; give x.to_dense()", 1.0,
    ),
    "rows of different length": Case(
        FIT, {"heads": {"p": RAGGED}}, "input", "heads.p",
        "expected one shape, found a nested tensor, whose rows differ; pad it, "
        "torch.nested.to_padded_tensor(x, 0.0), and give the term a 'mask'", 1.0,
    ),
    "class weights of another dtype": Case(
        {**CLASSIFY, "params": {"weight": [1.0, 1.0, 1.0, 1.0]}},
        {"logits": torch.zeros(3, 4).double()}, "input", "logits",
        "expected torch.float32, the dtype of the class weights, found torch.float64; "
        "write loss.to(torch.float64)", math.log(4),
    ),
    "another device": Case(
        FIT, {"y": torch.ones(3, 2, device="meta")}, "target", "y",
        "expected a tensor on cpu, found one on meta", 1.0,
    ),
    "a class that is not there": Case(
        CLASSIFY, {"labels": torch.tensor([0, 4, 1])}, "target", "labels",
        "expected class indices from 0 to 3, found 4", math.log(4),
    ),
    "labels of 0 and 1 for 1 and -1": Case(
        {"type": "soft_margin", "inputs": ["scores", "signs"]},
        {"signs": torch.tensor([1.0, 0.0, 1.0])}, "target", "signs",
        "expected labels of 1 and -1, found 0", math.log(2), refused=False,
    ),
    "no probability": Case(
        {"type": "bce", "inputs": ["shares", "halves"]},
        {"shares": torch.tensor([0.5, 1.5, 0.5])}, "input", "shares",
        "expected probabilities from 0 to 1, found 1.5", math.log(2),
    ),
    "a list": Case(
        FIT, {"y": [[1.0, 1.0]] * 3}, "target", "y",
        "expected a tensor at 'y', found a list of 3", 1.0,
    ),
    "a number": Case(
        FIT, {"heads": {"p": 3.0}}, "input", "heads.p",
        "expected a tensor at 'heads.p', found a float", 1.0,
    ),
    "a missing key": Case(
        FIT, {"heads": {"q": torch.ones(3, 2)}}, "input", "heads.p",
        "there is no 'p' under 'heads'; there is: q (3, 2)", 1.0,
    ),
    "a transform that fails": Case(
        {**FIT, "inputs": ["heads.p", {"from": "y", "apply": [{"slice": {"dim": 1, "end": 2}}]}]},
        {"y": torch.ones(3)}, "target", "y | slice(dim=1, start=None, end=2, step=1)",
        "'slice' of (3,) torch.float32 failed: ", 1.0,
    ),
    "a mask of the last dimension": Case(
        masked(mask="valid"), {"valid": torch.tensor([True, False])}, "mask", "valid",
        "found (2,)", 1.0,
    ),
    "a mask of too many dimensions": Case(
        masked(mask="valid"), {"valid": torch.ones(3, 2, 1) > 0}, "mask", "valid",
        "found (3, 2, 1)", 1.0,
    ),
    "a mask that is a list": Case(
        masked(mask="valid"), {"valid": [True, False, True]}, "mask", "valid",
        "expected a tensor at 'valid', found a list of 3", 1.0,
    ),
    "weights of other samples": Case(
        masked(sample_weight="weights", divide_by="weights"), {"weights": torch.ones(2)},
        "sample_weight", "weights",
        "expected the leading dimensions of (3, 2), found (2,)", 1.0,
    ),
    "a denominator of several numbers": Case(
        masked(divide_by={"number": "count"}), {"count": torch.ones(2)}, "divide_by", "count",
        "expected one number, found (2,)", 3.0,
    ),
    "a denominator that is none": Case(
        masked(divide_by={"number": "count"}), {"count": "two"}, "divide_by", "count",
        "expected a number, found a str", 3.0,
    ),
}  # fmt: skip


def build(case: Case, *, checks: str) -> lossreg.CompositeLoss:
    terms = {
        "before": {"type": "value", "weight": RAMP, "inputs": ["y"], "optional": True},
        "bad": case.term,
        "after": {"type": "value", "inputs": ["count_of_steps"]},
    }
    return lossreg.build({"checks": checks, "terms": terms})


def values(**wrong: Any) -> dict[str, Any]:
    return {**good(), "count_of_steps": torch.ones(1), **wrong}


def unharmed(loss: lossreg.CompositeLoss, value: float, state: dict[str, Any]) -> None:
    after = loss.state_dict()
    assert after.keys() == state.keys()
    assert all(torch.equal(after[key], state[key]) for key in state)
    out = loss(values())
    assert out.terms["bad"].item() == pytest.approx(value)
    weight = loss.weights["before"]
    assert out.total.item() == pytest.approx(weight * 1 + value + 1)
    out.total.backward()
    loss.step()
    assert loss.weights["before"] == weight - 0.25


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("when", ["first", "later"])
def test_one_error_says_whose_where_and_what_came(name: str, when: str) -> None:
    case = CASES[name]
    loss = build(case, checks="first" if when == "first" else "always")
    if when == "later":
        unharmed(loss, case.value, loss.state_dict())
    state = copy.deepcopy(loss.state_dict())
    with pytest.raises(InputError) as raised:
        loss(values(**case.wrong))
    error = raised.value
    assert (error.term, error.argument, error.path) == ("bad", case.argument, case.path)
    for part in ("term 'bad'", f"'{case.argument}'", case.path, case.message):
        assert part in str(error)
    unharmed(loss, case.value, state)


@pytest.mark.filterwarnings("ignore:Using a target size:UserWarning")
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.refused])
def test_unchecked_it_is_an_error_of_the_term_all_the_same(name: str) -> None:
    case = CASES[name]
    loss = build(case, checks="never")
    with pytest.raises(InputError) as raised:
        loss(values(**case.wrong))
    assert raised.value.term == "bad"
    assert f"'{case.argument}'" in str(raised.value)
    assert case.path in str(raised.value)
    unharmed(loss, case.value, loss.state_dict())


def empty() -> dict[str, Any]:
    return {"heads": {"p": torch.zeros(0, 2, requires_grad=True)}, "y": torch.ones(0, 2)}


def test_an_empty_batch_is_torchs_nan_with_a_name() -> None:
    with pytest.raises(NonFiniteError) as raised:
        lossreg.build({"terms": {"bad": FIT}})(empty())
    assert str(raised.value) == (
        "term 'bad' is nan: 'input' at 'heads.p': (0, 2) torch.float32; "
        "'target' at 'y': (0, 2) torch.float32; "
        f"the loss is mse (lossreg {version('lossreg')}, lossreg_losses.mse)"
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"mask": "valid"},
        {"sample_weight": "valid", "divide_by": "kept"},
        {"ignore": "nan"},
        {"divide_by": {"number": "count"}},
        {"params": {"reduction": "sum"}},
    ],
    ids=str,
)
def test_an_empty_batch_is_a_zero_where_torch_does_not_take_the_mean(
    fields: dict[str, Any],
) -> None:
    given = {**empty(), "valid": torch.zeros(0), "count": 0}
    total = lossreg.build({"terms": {"a": masked(**fields)}})(given).total
    assert total.item() == 0.0
    total.backward()


@pytest.mark.parametrize(
    "fields", [{"mask": "valid"}, {"sample_weight": "valid", "divide_by": "entries"}], ids=str
)
def test_where_nothing_counts_the_term_is_a_zero_joined_to_the_graph(
    fields: dict[str, Any],
) -> None:
    given = good()
    given["valid"] = torch.zeros(3)
    total = lossreg.build({"terms": {"a": masked(**fields)}})(given).total
    assert total.item() == 0.0
    total.backward()
    leaf: Tensor = given["heads"]["p"]
    assert leaf.grad is not None
    assert not leaf.grad.any()
