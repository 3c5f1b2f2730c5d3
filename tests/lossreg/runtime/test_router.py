"""Each distinct tensor of a step is found and transformed once, for all terms that need it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import lossreg
from lossreg.errors import InputError
from lossreg.runtime.routing import Router
from lossreg.vocabulary.paths import ValuePath
from lossreg.vocabulary.routes import Route, Transform
from lossreg.vocabulary.transforms import TRANSFORMS

T = torch.arange(6.0).reshape(2, 3)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The transforms that were run, in order."""
    seen: list[str] = []

    def counted(name: str) -> Any:
        definition = TRANSFORMS[name]

        def run(tensor: Tensor, *values: Any) -> Tensor:
            seen.append(name)
            return definition.run(tensor, *values)

        return definition._replace(run=run)

    for name in TRANSFORMS:
        monkeypatch.setitem(TRANSFORMS, name, counted(name))
    return seen


def build(**terms: Any) -> lossreg.CompositeLoss:
    return lossreg.build({"terms": terms})


def test_each_distinct_tensor_is_computed_once_a_step(calls: list[str]) -> None:
    soft = {"from": "a", "apply": [{"div": 2}, "softmax"]}
    term = {"type": "mse", "inputs": [soft, "y"]}
    log = {"type": "mse", "inputs": [{"from": "a", "apply": [{"div": 2}, "log_softmax"]}, "y"]}
    other = {"type": "mse", "inputs": [{"from": "b", "apply": [{"div": 2}, "softmax"]}, "y"]}
    masked = {"type": "mse", "inputs": ["a", "y"], "mask": {"from": "m", "apply": "detach"}}
    weighed = {**masked, "sample_weight": {"from": "m", "apply": "detach"}, "divide_by": "weights"}
    loss = build(x=term, y=term, z=log, v=other, u=masked, w=weighed)
    values = {"a": torch.rand(2, 3), "b": torch.rand(2, 3), "y": torch.rand(2, 3)}
    values["m"] = torch.ones(2)
    for _ in range(2):
        calls.clear()
        loss(values)
        assert sorted(calls) == ["detach", "div", "div", "log_softmax", "softmax", "softmax"]


def test_a_tensor_is_looked_up_once_a_step() -> None:
    class Counting(dict[str, Tensor]):
        seen: list[str] = []  # noqa: RUF012

        def __getitem__(self, key: str) -> Tensor:
            self.seen.append(key)
            return super().__getitem__(key)

    term = {"type": "mse", "inputs": ["a", "y"]}
    build(x=term, y=term)(Counting(a=torch.rand(2), y=torch.rand(2)))
    assert sorted(Counting.seen) == ["a", "y"]


def test_a_number_and_an_integer_are_two_arguments() -> None:
    router = Router()
    places = [
        router.add(
            Route(ValuePath(("n",)), (Transform("mul", (("by", by),)),)),
            term="fit",
            argument="input",
            optional=False,
        )
        for by in (2, 2.0, 2)
    ]
    found = router.run({"n": torch.tensor([1])})
    assert [found[place].dtype for place in places] == [torch.int64, torch.float32, torch.int64]


def test_a_failing_transform_is_an_error_of_its_term() -> None:
    route = {"from": "out.logits", "apply": ["sigmoid", {"softmax": 5}]}
    loss = build(
        fine={"type": "value", "inputs": ["y"]}, fit={"type": "mse", "inputs": [route, "y"]}
    )
    with pytest.raises(InputError) as raised:
        loss({"out": {"logits": T}, "y": T})
    error = raised.value
    assert (error.term, error.argument) == ("fit", "input")
    assert error.path == "out.logits | sigmoid | softmax(dim=5)"
    assert str(error) == (
        "term 'fit', input 'input' (path 'out.logits | sigmoid | softmax(dim=5)'): 'softmax' of "
        "(2, 3) torch.float32 failed: Dimension out of range (expected to be in range of [-2, 1], "
        "but got 5)"
    )


@pytest.mark.parametrize(
    ("transform", "tensor", "reason"),
    [
        ({"one_hot": 3}, T, "expected class indices, an integer tensor"),
        ({"one_hot": 3}, T.long(), "expected class indices from 0 to 2, found 3"),
        ({"shift": {"by": 1, "dim": 0, "fill": -1}}, T.to(torch.uint8), "-1 does not fit"),
        ({"slice": {"dim": 2}}, T, "Dimension out of range"),
        ("softmax", T.long(), "not implemented for"),
    ],
)
def test_whatever_a_transform_refuses_is_an_input_error(
    transform: Any, tensor: Tensor, reason: str
) -> None:
    loss = build(fit={"type": "value", "inputs": [{"from": "x", "apply": transform}]})
    with pytest.raises(InputError, match=reason) as raised:
        loss(x=tensor)
    assert (raised.value.term, raised.value.argument) == ("fit", "input")


def test_a_transform_out_of_memory_is_no_fault_of_the_tensor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def greedy(_: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("too much")

    monkeypatch.setitem(TRANSFORMS, "sigmoid", TRANSFORMS["sigmoid"]._replace(run=greedy))
    loss = build(fit={"type": "value", "inputs": [{"from": "x", "apply": "sigmoid"}]})
    with pytest.raises(torch.OutOfMemoryError):
        loss(x=T)


OPTIONAL = {"type": "mse", "inputs": [{"from": "aux.a", "apply": "sigmoid"}, "y"], "optional": True}


@pytest.mark.parametrize(
    "values",
    [
        {"y": T},
        {"y": T, "aux": {}},
        {"y": T, "aux": None},
        {"y": T, "aux": {"a": None}},
        {"aux": {"a": T}, "x": T},
    ],
    ids=["no parent", "empty parent", "parent None", "None", "no target"],
)
def test_an_optional_term_may_miss_its_tensors(values: dict[str, Any]) -> None:
    loss = build(fit={"type": "value", "inputs": ["x"]}, extra=OPTIONAL)
    out = loss({"x": T, **values})
    assert list(out.terms) == ["fit", "extra"]
    assert (out.terms["extra"], out.weights["extra"]) == (0, 0)
    assert out.total == T.mean()
    full = loss({"x": T, "y": T, "aux": {"a": T}})
    assert full.terms["extra"] > 0
    assert full.weights["extra"] == 1


def test_what_is_there_but_no_tensor_is_an_error_of_an_optional_term_too() -> None:
    loss = build(fit={"type": "value", "inputs": ["x"]}, extra=OPTIONAL)
    with pytest.raises(InputError, match="term 'extra', input 'input': expected a tensor"):
        loss({"x": T, "y": T, "aux": {"a": [T]}})


def test_a_tensor_that_one_term_may_miss_and_another_may_not() -> None:
    term = {"type": "mse", "inputs": ["a", "y"]}
    loss = build(extra={**term, "optional": True}, fit=term)
    with pytest.raises(InputError) as raised:
        loss(y=T)
    assert (raised.value.term, raised.value.argument) == ("fit", "input")


def test_without_any_optional_term_there_is_no_total() -> None:
    with pytest.raises(InputError, match="every term is optional"):
        build(extra=OPTIONAL)(y=T)
