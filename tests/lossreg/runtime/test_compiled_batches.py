"""A batch that lacks something changes nothing that a compiled composite makes of later ones."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from compiled import NAN, assert_within_ulps, build, counter, fit, tensors
from lossreg.errors import NonFiniteError


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """torch counts compilations of a function over all its modules, and gives up after some."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class Fields:
    """A step's values as attributes."""

    def __init__(self, **tensors: Any) -> None:
        self.__dict__.update(tensors)


@dataclass
class Step:
    p: Tensor
    y: Tensor
    h: Any = None
    valid: Any = None


class Row(NamedTuple):
    p: Tensor
    y: Tensor
    h: Any = None
    valid: Any = None


PP = torch.full((6, 4), 5.0)
# What a batch holds for the path h.pp: nothing, or the tensor.
NOTHING: dict[str, dict[str, Any]] = {
    "no h": {},
    "h is None": {"h": None},
    "h is empty": {"h": {}},
    "h.pp is None": {"h": {"pp": None}},
    "h without attributes": {"h": SimpleNamespace()},
    "h a list": {"h": []},
}
THERE: dict[str, dict[str, Any]] = {
    "a mapping": {"h": {"pp": PP}},
    "an ordered one": {"h": OrderedDict(pp=PP)},
    "attributes": {"h": SimpleNamespace(pp=PP)},
}
ORDERS = {"none-both-none-both": (0, 1, 0, 1), "both-none-both": (1, 0, 1)}
NIGHTLY = pytest.mark.nightly
ORDER = pytest.mark.parametrize(
    "order", ["both-none-both", pytest.param("none-both-none-both", marks=NIGHTLY)]
)


@ORDER
@pytest.mark.parametrize(
    ("kind", "nothing", "there"),
    [
        (dict, "no h", "a mapping"),
        (dict, "h is None", "a mapping"),
        (SimpleNamespace, "no h", "a mapping"),
        (Step, "h is None", "attributes"),
        *(
            pytest.param(kind, "no h", "a mapping", marks=NIGHTLY)
            for kind in (OrderedDict, Fields, Step, Row)
        ),
        *(
            pytest.param(dict, nothing, "a mapping", marks=NIGHTLY)
            for nothing in NOTHING
            if nothing not in ("no h", "h is None")
        ),
        pytest.param(dict, "no h", "attributes", marks=NIGHTLY),
        pytest.param(dict, "h without attributes", "attributes", marks=NIGHTLY),
        pytest.param(dict, "h is empty", "an ordered one", marks=NIGHTLY),
    ],
)
def test_a_batch_without_a_term_changes_no_later_one(
    kind: Callable[..., Any], nothing: str, there: str, order: str
) -> None:
    terms = {"fit": fit(), "aux": {"type": "l1", "inputs": ["h.pp", "y"], "optional": True}}
    loss, eager = build(terms), build(terms)
    loss.compile(backend="aot_eager", fullgraph=True)
    for step, both in enumerate(ORDERS[order]):
        base = {name: tensors(step)[name] for name in ("p", "y")}
        values = kind(**base, **(THERE[there] if both else NOTHING[nothing]))
        found = loss(values)
        assert_within_ulps(found.total.detach(), eager(values).total.detach())
        assert (found.terms["aux"].item() > 1) == bool(both)


@ORDER
@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("mask", dict),
        ("sample_weight", Step),
        *(pytest.param("mask", kind, marks=NIGHTLY) for kind in (SimpleNamespace, Step, Row)),
        *(pytest.param("sample_weight", k, marks=NIGHTLY) for k in (dict, SimpleNamespace, Row)),
    ],
)
def test_a_batch_without_a_mask_changes_no_later_one(
    kind: Callable[..., Any], field: str, order: str
) -> None:
    terms = {"fit": fit(), "masked": fit(optional=True, divide_by="kept", **{field: "valid"})}
    loss, eager, count = build(terms), build(terms), counter()
    loss.compile(backend=count, fullgraph=True)
    for step, both in enumerate(ORDERS[order]):
        base = {name: tensors(step)[name] for name in ("p", "y")}
        values = kind(**base, **({"valid": torch.ones(6)} if both else {}))
        found = loss(values)
        assert_within_ulps(found.total.detach(), eager(values).total.detach())
        assert (found.terms["masked"].item() > 0) == bool(both)
    assert count.frame_count == 2


@pytest.mark.parametrize("order", ORDERS)
def test_the_head_of_a_term_that_comes_back_has_its_gradient(order: str) -> None:
    terms = {"fit": fit(), "aux": {"type": "mse", "inputs": ["h.pp", "y"], "optional": True}}
    loss = build(terms)
    compiled = torch.compile(lambda values: loss(**values), backend="aot_eager", fullgraph=True)
    for step, both in enumerate(ORDERS[order]):
        base = {name: tensors(step)[name] for name in ("p", "y")}
        head = PP.clone().requires_grad_()
        compiled({**base, **({"h": {"pp": head}} if both else {})}).total.backward()
        assert (head.grad is not None) == bool(both)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("path", ["h[1]", "h[-2]"])
@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_that_grows_is_looked_at_again(
    kind: Callable[..., Any], path: str, order: str
) -> None:
    terms = {"fit": fit(), "aux": {"type": "l1", "inputs": [path, "y"], "optional": True}}
    loss = build(terms)
    loss.compile(backend="aot_eager", fullgraph=True)
    for both in ORDERS[order]:
        base = {name: tensors()[name] for name in ("p", "y")}
        found = loss(**base, h=kind([PP, PP] if both else [PP]))
        assert (found.terms["aux"].item() > 1) == bool(both)


@pytest.mark.parametrize("bad", [NAN, math.inf, -2.0])
@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_a_denominator_that_is_none_makes_a_nan_in_a_graph(
    kind: Callable[[float], Any], bad: float
) -> None:
    loss = build({"fit": fit(divide_by={"number": "n"})})
    loss.compile(backend="aot_eager", fullgraph=True)
    for number in (4.0, 0.0, bad):
        found = loss({**tensors(), "n": kind(number)}).total
        expected = (tensors()["p"] - tensors()["y"]).square().sum() / (number or 1)
        if number not in (4.0, 0.0):
            assert found.isnan()
        else:
            torch.testing.assert_close(found, expected)
    with pytest.raises(NonFiniteError, match="earlier step: 'fit'"):
        loss.step()


@pytest.mark.parametrize(
    "terms", [fit(mask="m"), fit(sample_weight="m", divide_by="weights")], ids=str
)
def test_a_mask_or_weights_that_are_none_make_a_nan_in_a_graph(terms: dict[str, Any]) -> None:
    loss = build({"fit": terms}, checks="never")
    loss.compile(backend="aot_eager", fullgraph=True)
    number = NAN if "mask" in terms else -9.0
    found = loss({**tensors(), "m": torch.tensor([1.0, 0.0, number, 1.0, 1.0, 1.0])}).total
    assert found.isnan()
