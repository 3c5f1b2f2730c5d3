"""`{constant: 0.9}`: which inputs can be one, and what it is to the loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

import lossreg
from lossreg.config import examine
from lossreg.errors import InputError


def document(loss: str, inputs: Any, **keys: Any) -> dict[str, Any]:
    return {"terms": {"fit": {"type": loss, "inputs": inputs, **keys}}}


def faults(loss: str, inputs: Any) -> list[tuple[str, str, str]]:
    found = examine(document(loss, inputs)).diagnostics
    return [
        (fault.code, fault.path.removeprefix("terms.fit.inputs"), fault.message) for fault in found
    ]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_it_is_a_target_of_the_inputs_shape_and_dtype(dtype: torch.dtype) -> None:
    x = torch.tensor([[0.5, -1.0], [2.0, 0.0]], dtype=dtype, requires_grad=True)
    for inputs in (["x", {"constant": 0.9}], {"target": {"constant": 0.9}, "input": "x"}):
        loss = lossreg.build(document("bce_with_logits", inputs))
        out = loss(x=x)
        expected = functional.binary_cross_entropy_with_logits(x, torch.full_like(x, 0.9))
        assert out.terms["fit"] == expected
        (found,) = torch.autograd.grad(out.total, x)
        (wanted,) = torch.autograd.grad(expected, x)
        assert torch.equal(found, wanted)


def test_its_shape_may_have_fewer_dimensions() -> None:
    one, two = torch.randn(3, 5), torch.randn(3, 5)
    loss = lossreg.build(document("cosine_embedding", ["a", "b", {"constant": -1}]))
    expected = functional.cosine_embedding_loss(one, two, -torch.ones(3))
    assert loss(a=one, b=two).total == expected


def test_it_begins_where_the_other_input_does() -> None:
    inner = document("mse", [{"from": "x", "apply": ["exp"]}, {"constant": 1}])["terms"]
    loss = lossreg.build({"terms": {"g": {"from": "inner", "terms": inner}}})
    assert loss(inner={"x": torch.zeros(2)}).total == 0


def test_class_probabilities_add_up_to_one() -> None:
    x = torch.randn(3, 4, 2)
    loss = lossreg.build(document("cross_entropy", ["x", {"constant": 0.25}]))
    assert loss(x=x).total == functional.cross_entropy(x, torch.full_like(x, 0.25))
    with pytest.raises(InputError, match=r"found 0\.25 for each of 5 classes; the .* is 0\.2"):
        lossreg.build(document("cross_entropy", ["x", {"constant": 0.25}]))(x=torch.randn(3, 5))


def test_a_schedule_may_stand_in_it() -> None:
    ramp = {"schedule": "linear", "start": 0, "end": 25, "steps": 5}
    loss = lossreg.build(document("mse", ["kl", {"constant": ramp}]))
    kl = torch.tensor([3.0, 8.0])
    for capacity in (0.0, 5.0, 10.0):
        assert loss(kl=kl).total == (kl - capacity).square().mean()
        loss.step()


def test_it_is_compiled_in_one_graph() -> None:
    for name, number in (("mse", 0.9), ("cross_entropy", 0.25)):
        loss = lossreg.build(document(name, ["x", {"constant": number}]))
        compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
        x = torch.randn(3, 4)
        torch.testing.assert_close(compiled(x=x).total, loss(x=x).total)


def test_it_is_the_same_objective_as_full_like() -> None:
    filled = {"from": "x", "apply": [{"full_like": 0.9}]}
    one = lossreg.build(document("mse", ["x", {"constant": 0.9}]))
    assert one.fingerprint == lossreg.build(document("mse", ["x", filled])).fingerprint
    assert one.fingerprint != lossreg.build(document("mse", ["x", {"constant": 1}])).fingerprint


@pytest.mark.parametrize(
    ("loss", "inputs", "place", "words"),
    [
        ("nll", ["x", {"constant": 1}], "[1]", "'target' cannot be a constant: it is a different"),
        ("multi_margin", ["x", {"constant": 1}], "[1]", "class index in each example"),
        (
            "ctc",
            ["x", "t", {"constant": 5}, "l"],
            "[2]",
            "'input_lengths' cannot be a constant: it is a different length",
        ),
        ("cross_entropy", ["x", {"constant": 1}], "[1].constant", "between 0 and 1"),
        ("cross_entropy", ["x", {"constant": 0}], "[1].constant", "a class index cannot be"),
        ("bce", ["x", {"constant": 1.5}], "[1].constant", "from 0 to 1 (probability), found 1.5"),
        ("margin_ranking", ["x", "y", {"constant": 0.5}], "[2].constant", "of 1 or -1"),
        ("poisson_nll", ["x", {"constant": -1}], "[1].constant", "of at least 0"),
        (
            "bce",
            ["x", {"constant": {"schedule": "linear", "start": 0, "end": 2, "steps": 3}}],
            "[1].constant",
            "from 0 to 1 (probability), found 2",
        ),
        (
            "cross_entropy",
            ["x", {"constant": {"schedule": "linear", "start": 0.1, "end": 0.2, "steps": 3}}],
            "[1].constant",
            "expected a number, found a schedule",
        ),
        ("mse", ["x", {"constant": "y"}], "[1].constant", "a finite number or a schedule"),
        ("mse", ["x", {"constant": "0.9"}], "[1].constant", "leave out the quotes"),
        ("mse", ["x", {"constant": True}], "[1].constant", "found true"),
        ("mse", ["x", {"constant": None}], "[1].constant", "found nothing"),
        ("mse", ["x", {"constnat": 0.9}], "[1].constnat", "did you mean 'constant'?"),
        ("mse", ["x", {"value": 0.9}], "[1].value", "did you mean 'constant'?"),
        ("mse", ["x", {"constant": 0.9, "dtype": 1}], "[1].dtype", "expected one of constant"),
        ("mse", ["x", {"from": "y", "constant": 1}], "[1].constant", "it has no other key"),
        ("value", [{"constant": 1}], "[0]", "found constants only"),
        ("cosine_embedding", ["x", {"constant": 1}, "t"], "", ""),
    ],
    ids=str,
)
def test_what_cannot_be_one_is_refused(loss: str, inputs: Any, place: str, words: str) -> None:
    if not words:
        assert faults(loss, inputs) == []
        return
    ((_, where, message),) = faults(loss, inputs)
    assert where == place
    assert words in message


def test_two_constants_have_no_shape() -> None:
    found = faults("mse", [{"constant": 1}, {"constant": 0}])
    assert [place for _, place, _ in found] == ["[0]", "[1]"]


@pytest.mark.parametrize("key", ["mask", "sample_weight"])
def test_only_an_input_is_one(key: str) -> None:
    written = document("mse", ["x", "y"], **{key: {"constant": 1}})
    (fault,) = examine(written).diagnostics
    assert fault.message == "only an input of a loss can be a constant; expected a path"
