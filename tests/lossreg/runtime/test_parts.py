"""Losses that return named parts, or a tensor of one element."""

from __future__ import annotations

import pickle
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

import lossreg
from lossreg.errors import InputError
from lossreg.integrations.accumulation import sum_of
from lossreg.integrations.averaging import Average
from made_up import Whole, a_loss, an_input, one_graph, registry_of

DOUBLE = torch.float64


class Detection(nn.Module):
    def __init__(self, reduction: str = "mean", form: str = "mapping") -> None:
        super().__init__()
        self.reduction, self.form = reduction, form

    def forward(self, input: Tensor, target: Tensor) -> Any:  # noqa: A002
        error = input - target
        ce, boxes = error**2, 0.3 * error.abs()
        if self.reduction == "sum":
            ce, boxes = ce.sum(), boxes.sum()
        else:
            ce, boxes = ce.mean(), boxes.mean()
        if self.form == "mapping":
            return {"boxes": boxes, "ce": ce.reshape(1)}
        return (ce, boxes) if self.form == "tuple" else {"ce": ce, "other": boxes}


class Form(Whole):
    """How the parts come."""

    form: str = "mapping"


class FormAndSum(Form):
    reduction: Literal["mean", "sum"] = "mean"


class OneElement(nn.Module):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return (input - target).abs().mean().reshape(1, 1)


INPUTS = (an_input("input", gradient=True), an_input("target", counted=True))
PARTS = a_loss(
    Detection, *INPUTS, name="detection", config=FormAndSum, parts=("ce", "boxes"), additive=True
)
ONE = a_loss(OneElement, *INPUTS, name="one")
VECTOR = a_loss(lambda: nn.L1Loss(reduction="none"), *INPUTS, name="vector")
REGISTRY = registry_of(PARTS, ONE, VECTOR)


def build(terms: dict[str, Any], **keys: Any) -> lossreg.CompositeLoss:
    return lossreg.build({"terms": terms, **keys}, registry=REGISTRY)


def term(kind: str = "detection", **keys: Any) -> dict[str, Any]:
    return {"type": kind, "inputs": ["p", "y"], **keys}


def batch(rows: int = 4, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    p, y = torch.randn(2, rows, 3, generator=generator, dtype=DOUBLE).unbind()
    return {"p": p.requires_grad_(), "y": y}


def by_hand(values: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    ce, boxes = Detection(form="tuple")(values["p"], values["y"])
    return ce, boxes


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize("form", ["mapping", "tuple"])
def test_the_value_is_the_sum_of_the_parts(form: str, compiles: bool) -> None:
    loss = build({"d": term(weight=0.5, params={"form": form}), "one": term("one", weight=2.0)})
    forward = one_graph(loss) if compiles else loss
    values, twins = batch(), batch()
    out = forward(values)
    ce, boxes = by_hand(twins)
    other = OneElement()(twins["p"], twins["y"]).squeeze()
    expected = 0.5 * (ce + boxes) + 2.0 * other
    torch.testing.assert_close(out.total, expected, rtol=1e-14, atol=0)
    torch.testing.assert_close(out.terms["d"], (ce + boxes).detach(), rtol=0, atol=0)
    assert list(out.weights) == ["d", "one"]
    assert list(out.terms) == [*out.weights, *out.parts]
    weighted = sum(out.weights[name] * out.terms[name] for name in out.weights)
    torch.testing.assert_close(out.total.detach(), weighted, rtol=1e-14, atol=0)
    assert list(out.parts) == ["d/ce", "d/boxes"]
    torch.testing.assert_close(out.parts["d/ce"], ce.detach(), rtol=0, atol=0)
    torch.testing.assert_close(out.parts["d/boxes"], boxes.detach(), rtol=0, atol=0)
    assert not any(part.requires_grad for part in out.parts.values())
    logged = out.log_dict("train/")
    assert [name for name in logged if name.startswith("train/loss/")] == [
        "train/loss/total", "train/loss/d", "train/loss/one", "train/loss/d/ce",
        "train/loss/d/boxes",
    ]  # fmt: skip
    out.total.backward()
    expected.backward()
    torch.testing.assert_close(values["p"].grad, twins["p"].grad, rtol=1e-14, atol=0)
    assert loss.state_dict().keys() == build({"d": term("one")}).state_dict().keys()


def test_a_loss_without_parts_gives_none() -> None:
    out = build({"one": term("one")})(batch())
    assert out.parts == {}
    total, terms, weights = pickle.loads(pickle.dumps(out))
    assert (total, dict(terms), dict(weights)) == (out.total, dict(out.terms), dict(out.weights))


def test_the_names_of_parts_never_change() -> None:
    loss = build({"d": term(optional=True), "z": term(weight=0), "one": term("one")})
    values = batch()
    names = ["d/ce", "d/boxes", "z/ce", "z/boxes"]
    ce, boxes = by_hand(values)
    out = loss(values)
    assert list(out.parts) == names
    assert out.parts["z/ce"] == ce
    assert out.parts["z/boxes"] == boxes
    loss = build({"d": {**term(optional=True), "inputs": ["q", "y"]}, "one": term("one")})
    out = loss(values)
    assert {name: float(part) for name, part in out.parts.items()} == {"d/ce": 0, "d/boxes": 0}


def test_parts_of_a_group_and_of_the_elements_of_a_list() -> None:
    each = {"each": {"over": {"o": "outs"}, "combine": "mean"}, "weight": 3}
    group = {**each, "terms": {"d": {**term(), "inputs": ["o.p", "o.y"]}}}
    values = [batch(4), batch(5, seed=1)]
    out = build({"g": group})({"outs": values})
    parts = [by_hand(element) for element in values]
    for name, pair in zip(("g/d/ce", "g/d/boxes"), zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(out.parts[name], torch.stack(pair).mean().detach())
    apart = build({"g": group}).terms({"outs": values}, elements=True)
    for index, (ce, boxes) in enumerate(parts):
        torch.testing.assert_close(apart[f"g/d[{index}]"], ce + boxes)


def test_micro_batches_divide_each_part() -> None:
    loss = build({"d": term(divide_by={"rows": "y"})})
    parts = [batch(2), batch(5, seed=1)]
    denominators = loss.denominators([{"y": part["y"]} for part in parts])
    out = sum_of([loss(part, denominators=denominators) for part in parts])
    sums = [Detection("sum", "tuple")(part["p"], part["y"]) for part in parts]
    for index, name in enumerate(("d/ce", "d/boxes")):
        expected = (sums[0][index] + sums[1][index]) / 7
        torch.testing.assert_close(out.parts[name], expected.detach())
    torch.testing.assert_close(out.total, out.parts["d/ce"] + out.parts["d/boxes"])


def test_an_average_has_the_parts() -> None:
    average = Average(build({"d": term(weight=2.0)}))
    batches = [batch(2), batch(5, seed=1)]
    for values in batches:
        average.add(values, size=len(values["y"]))
    out = average.mean()
    assert out is not None
    torch.testing.assert_close(out.parts["d/ce"] + out.parts["d/boxes"], out.terms["d"])
    expected = torch.stack([by_hand(values)[0] for values in batches]).mean()
    torch.testing.assert_close(out.parts["d/ce"].double(), expected.detach())


@pytest.mark.parametrize("compiles", [False, True])
def test_other_parts_are_refused(compiles: bool) -> None:
    loss = build({"d": term(params={"form": "other"})}, checks="never")
    message = "expected a mapping of ce, boxes, or a tuple in this order, found a mapping of ce, o"
    # With `fullgraph` torch reports the place where the error is made instead.
    forward = torch.compile(loss, backend="aot_eager") if compiles else loss
    with pytest.raises(InputError, match=message):
        forward(batch())


def test_a_result_of_several_elements_is_still_refused() -> None:
    with pytest.raises(InputError, match=r"expected one number, found \(4, 3\)"):
        build({"v": term("vector")})(batch())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (("ce", "ce"), "names a part twice"),
        (("a/b",), "must be a tuple of names"),
        ("ce", "must be a tuple of names"),
    ],
)
def test_a_definition_names_its_parts(parts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        a_loss(Detection, *INPUTS, parts=parts)
