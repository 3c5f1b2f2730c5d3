"""What a composite warns of: once, of the right tensor, and of nothing that is meant."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest
import torch

import lossreg
from lossreg.errors import ConfigWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIT = {"type": "mse", "inputs": ["p", "y"]}
LEFT_OUT = "left out of all 100 training forwards"


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def build(**terms: Any) -> lossreg.CompositeLoss:
    return lossreg.build({"terms": {"fit": FIT, **terms}})


def compiled(**terms: Any) -> lossreg.CompositeLoss:
    loss = build(**terms)
    loss.compile(backend="aot_eager", fullgraph=True)
    return loss


def optional(path: str = "h.pq", **fields: Any) -> dict[str, Any]:
    return {"type": "l1", "inputs": [path, "y"], "optional": True, **fields}


def values(**more: Any) -> dict[str, Any]:
    return {"p": torch.ones(3, requires_grad=True), "y": torch.zeros(3), **more}


def forwards(count: int, loss: lossreg.CompositeLoss, batch: dict[str, Any] | None = None) -> None:
    for _ in range(count):
        loss(values() if batch is None else batch)


PP = torch.ones(3)
HOW = pytest.mark.parametrize("make", [build, compiled])


@HOW
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            {"h": {"pp": PP}},
            "input 'input' (path 'h.pq'): there is no 'pq' under 'h'; there is: pp (3,)",
        ),
        ({}, "there is no 'h' among the values; there is: p (3,), y (3,)"),
        ({"h": None}, "there is no 'pq' under 'h'; it is a NoneType"),
        ({"h": {"pq": None}}, "(path 'h.pq'): the value at this path is None"),
    ],
)
def test_an_optional_term_that_was_never_there_is_told_once(
    make: Callable[..., Any], more: dict[str, Any], expected: str
) -> None:
    loss, batch = make(aux=optional("h.pq")), values(**more)
    forwards(99, loss, batch)
    with pytest.warns(ConfigWarning, match=LEFT_OUT) as found:
        loss(batch)
    (warning,) = found
    assert expected in str(warning.message)
    assert "The term is optional" in str(warning.message)
    assert warning.filename == __file__
    forwards(101, loss, batch)  # warnings are errors


def test_the_name_that_was_meant_is_guessed() -> None:
    loss = build(aux=optional("depth_logitz"))
    with pytest.warns(ConfigWarning, match=r"Did you mean 'depth_logits'\?\. The term is optional"):
        forwards(100, loss, values(depth_logits=PP))


@HOW
def test_a_term_that_was_there_once_is_not_misspelt(make: Callable[..., Any]) -> None:
    loss = make(aux=optional())
    for step in range(300):
        loss(values(h={"pq": PP}) if step == 99 else values())


@HOW
def test_evaluation_does_not_count(make: Callable[..., Any]) -> None:
    loss = make(aux=optional())
    loss.eval()
    forwards(101, loss)
    loss(values(h={"pq": PP}))  # but what is there then is known to be there
    forwards(101, loss.train())
    loss = make(aux=optional())
    for step in range(198):
        loss.train(step % 2 == 0)
        loss(values())
    with pytest.warns(ConfigWarning, match=LEFT_OUT):
        loss.train()(values())


@HOW
@pytest.mark.parametrize("field", ["mask", "sample_weight"])
def test_a_missing_mask_or_weight_is_told(make: Callable[..., Any], field: str) -> None:
    loss = make(aux=optional("p", divide_by="kept", **{field: {"from": "w", "apply": "detach"}}))
    with pytest.warns(ConfigWarning, match=rf"input '{field}' \(path 'w'\): there is no 'w'"):
        forwards(100, loss)


def test_each_term_is_counted_for_itself() -> None:
    # Two terms look for one tensor: the message names the one that it speaks of.
    loss = build(a=optional("x"), b=optional("x"), c=optional("p"))
    with pytest.warns(ConfigWarning) as found:
        forwards(120, loss)
    assert [str(each.message)[:9] for each in found] == ["term 'a',", "term 'b',"]


def test_terms_and_denominators_are_forwards_or_not() -> None:
    loss = build(aux=optional())
    batch = values()
    for _ in range(98):
        loss(batch, denominators=loss.denominators([batch]))
    loss.terms(batch)
    with pytest.warns(ConfigWarning, match=LEFT_OUT):
        loss.terms(batch)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))])
def test_a_copy_goes_on_counting(copied: Callable[[Any], Any]) -> None:
    loss = build(aux=optional())
    forwards(99, loss)
    twin = copied(loss)
    for each in (loss, twin):
        with pytest.warns(ConfigWarning, match=LEFT_OUT):
            each(values())
    copied(twin)(values())


def test_counting_compiles_nothing_anew() -> None:
    count = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    loss = build(aux=optional(), masked={**FIT, "mask": "m"})
    loss.compile(backend=count, fullgraph=True)
    batch = values(m=torch.tensor([True, False, True]))
    with pytest.warns(ConfigWarning, match=LEFT_OUT):
        forwards(102, loss, batch)
    assert count.frame_count == 1


@pytest.mark.parametrize("call", ["loss", "terms", "compiled", "denominators"])
@pytest.mark.parametrize("field", ["mask", "sample_weight"])
def test_a_gradient_that_is_cut_is_told_once(field: str, call: str) -> None:
    term = {**FIT, "divide_by": "kept", field: "w"}
    loss = compiled(aux=term) if call == "compiled" else build(aux=term)
    weight = torch.ones(3, requires_grad=True)

    def run() -> None:
        batch = values(w=weight)
        if call == "terms":
            loss.terms(batch)
        elif call == "denominators":
            loss(batch, denominators=loss.denominators([batch]))
        else:
            loss(batch).total.backward()

    with pytest.warns(ConfigWarning) as found:
        run()
    (warning,) = found
    learned = ", or gradient: true if the weights are learned" if field == "sample_weight" else ""
    assert str(warning.message) == (
        f"term 'aux', '{field}' (path 'w'): it requires a gradient, but no gradient goes through "
        "masks and sample weights: a model that could choose which entries count would choose the "
        f"cheapest; if this is intended, write apply: [detach]{learned}"
    )
    assert warning.filename == __file__
    run()
    assert weight.grad is None


@HOW
def test_a_gradient_that_nobody_expects_is_not_told(make: Callable[..., Any]) -> None:
    weight = torch.ones(3, requires_grad=True)
    for field in ("mask", "sample_weight"):
        make(aux={**FIT, "divide_by": "kept", field: {"from": "w", "apply": "detach"}})(
            values(w=weight)
        )
        make(aux={**FIT, "divide_by": "kept", field: "w"})(values(w=weight.detach()))
        with torch.no_grad():
            make(aux={**FIT, "divide_by": "kept", field: "w"})(values(w=weight))
        build(aux={**FIT, "divide_by": "kept", field: "w", "weight": 0})(values(w=weight))


@HOW
def test_a_weight_that_comes_later_is_told_then(make: Callable[..., Any]) -> None:
    loss = make(aux=optional("p", sample_weight="w", divide_by="weights"))
    loss(values())
    with torch.no_grad():
        loss(values(w=torch.ones(3)))
    with pytest.warns(ConfigWarning, match="no gradient goes through"):
        loss(values(w=torch.ones(3, requires_grad=True)))


def test_checks_off_silence_no_cut() -> None:
    loss = lossreg.build(
        {"checks": "never", "terms": {"a": {**FIT, "sample_weight": "w", "divide_by": "weights"}}}
    )
    with pytest.warns(ConfigWarning, match="no gradient goes through"):
        loss(values(w=torch.ones(3, requires_grad=True)))


def test_inside_a_compiled_function_nothing_is_told() -> None:
    loss = build(aux=optional(), weighted={**FIT, "sample_weight": "w", "divide_by": "weights"})
    step = torch.compile(lambda batch: loss(batch).total, backend="aot_eager", fullgraph=True)
    for _ in range(101):
        step(values(w=torch.ones(3, requires_grad=True)))


def test_a_compiled_composite_inside_a_compiled_function_is_one_graph() -> None:
    count = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    loss = build(aux=optional(), weighted={**FIT, "sample_weight": "w", "divide_by": "weights"})
    loss.compile(backend="aot_eager", fullgraph=True)
    step = torch.compile(lambda batch: loss(batch).total, backend=count, fullgraph=True)
    for _ in range(3):
        step(values(w=torch.ones(3)))
    assert count.frame_count == 1


@pytest.mark.parametrize("how", ["mapping", "keywords", "attributes"])
def test_a_compiled_composite_takes_values_as_before(how: str) -> None:
    class Fields:
        def __init__(self, **tensors: Any) -> None:
            self.__dict__.update(tensors)

    loss = compiled(aux=optional())
    for more in ({}, {"h": {"pq": PP}}, {}):
        batch = values(**more)
        if how == "mapping":
            out = loss(batch)
        else:
            out = loss(Fields(**batch)) if how == "attributes" else loss(**batch)
        assert (out.terms["aux"] > 0) == bool(more)
