"""Compiled, a composite is one graph that computes what eager does, and is compiled once."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

import lossreg
from built_ins import BUILT_INS, built_in
from compiled import (
    BREAKS,
    CASES,
    RAMP,
    SIX,
    Values,
    assert_a_step_is_eagers,
    assert_within_ulps,
    build,
    counter,
    fit,
    tensors,
)
from oracles import Draw
from properties import leaves

NIGHTLY = pytest.mark.nightly
REGISTRY = lossreg.Registry.installed()


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """torch counts compilations of a function over all its modules, and gives up after some."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[NIGHTLY] * (case in ("two terms", "three terms")))
        for case in CASES
    ],
)
def test_one_graph_computes_what_eager_does(case: str) -> None:
    loss, eager, count = build(CASES[case]), build(CASES[case]), counter()
    loss.compile(backend=count, fullgraph=True)
    for step in range(4):
        assert_a_step_is_eagers(loss, eager, partial(tensors, step))
        loss.step()
        eager.step()
    assert count.frame_count == 1


@pytest.mark.parametrize("case", ["one term", "six terms"])
@pytest.mark.parametrize("steps", [20, pytest.param(1_000, marks=pytest.mark.nightly)])
def test_weights_that_move_compile_once(case: str, steps: int) -> None:
    terms = copy.deepcopy(CASES[case])
    terms["fit"]["weight"] = {**RAMP, "steps": steps}
    terms["more"] = fit(weight={**RAMP, "schedule": "cyclic", "unit": "epoch"})
    loss, count = build(terms), counter()
    loss.compile(backend=count, fullgraph=True)
    seen = set()
    for step in range(steps):
        out = loss(tensors(step % 7))
        out.total.backward()
        seen.add(out.weights["fit"].item())
        loss.step()
        if step % 10 == 0:
            loss.step_epoch()
    assert len(seen) == steps
    assert count.frame_count == 1


class Training(nn.Module):
    """A model and its loss in one forward pass, as trainers compile it."""

    def __init__(self, loss: lossreg.CompositeLoss) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.loss = loss

    def forward(self, values: Values) -> lossreg.LossOutput:
        return self.loss({**values, "p": self.layer(values["p"])})


def in_a_function(loss: lossreg.CompositeLoss) -> Callable[[Values], lossreg.LossOutput]:
    return lambda values: loss(**{name: each for name, each in values.items() if name != "w"})


def in_a_module(loss: lossreg.CompositeLoss) -> Callable[[Values], lossreg.LossOutput]:
    torch.manual_seed(0)
    return Training(loss)


@pytest.mark.parametrize("around", [in_a_function, in_a_module])
def test_a_compiled_caller_has_one_graph(
    around: Callable[[lossreg.CompositeLoss], Callable[[Values], lossreg.LossOutput]],
) -> None:
    loss, twin, count = build(SIX), build(SIX), counter()
    compiled = torch.compile(around(loss), backend=count, fullgraph=True)
    eager = around(twin)
    for step in range(4):
        values, twins = tensors(step), tensors(step)
        found, expected = compiled(values), eager(twins)
        found.total.backward()
        expected.total.backward()
        assert_within_ulps(found.total.detach(), expected.total.detach())
        for leaf, other in zip(leaves(values), leaves(twins), strict=True):
            if other.grad is not None:
                assert leaf.grad is not None
                assert_within_ulps(leaf.grad, other.grad)
        loss.step()
        twin.step()
    assert count.frame_count == 1


def test_terms_alone_compile() -> None:
    loss, count = build(SIX), counter()
    compiled = torch.compile(loss.terms, backend=count, fullgraph=True)
    for step in range(3):
        found, expected = compiled(tensors(step)), loss.terms(tensors(step))
        assert list(found) == list(SIX)
        for name, each in expected.items():
            assert_within_ulps(found[name].detach(), each.detach())
        loss.step()
    assert count.frame_count == 1


@pytest.mark.parametrize("count_of_terms", [1, pytest.param(2, marks=NIGHTLY), 6])
def test_float64_compiles_once_and_is_not_rounded(count_of_terms: int) -> None:
    terms = {f"t{index}": fit(weight={**RAMP, "start": 0.1}) for index in range(count_of_terms)}
    loss, eager, count = build(terms), build(terms), counter()
    loss.compile(backend=count, fullgraph=True)
    for step in range(4):
        assert_a_step_is_eagers(loss, eager, partial(tensors, step, dtype=torch.float64))
        assert loss(tensors(dtype=torch.float64)).total.dtype == torch.float64
        loss.step()
        eager.step()
    assert count.frame_count == 1


@pytest.mark.parametrize(
    "case", ["six terms", pytest.param("masks and weights of samples", marks=NIGHTLY)]
)
def test_batches_of_other_sizes_do_not_compile_each_time(case: str) -> None:
    loss, eager, count = build(CASES[case]), build(CASES[case]), counter()
    loss.compile(backend=count, fullgraph=True)
    for rows in range(4, 14):
        assert_a_step_is_eagers(loss, eager, partial(tensors, rows=rows))
        loss.step()
        eager.step()
    assert count.frame_count <= 2


def test_a_dimension_marked_dynamic_compiles_once() -> None:
    loss, count = build({"fit": fit(weight=RAMP), "abs": SIX["abs"], "more": fit()}), counter()
    loss.compile(backend=count, fullgraph=True)
    for rows in range(4, 9):
        values = {name: tensors(rows=rows)[name] for name in ("p", "y")}
        for each in values.values():
            torch._dynamo.mark_dynamic(each, 0)
        loss(values).total.backward()
        loss.step()
    assert count.frame_count == 1


# Each loss's own test compiles it by itself.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[NIGHTLY] * (name != "cosine_embedding"))
        for name in BUILT_INS
        if REGISTRY[name].compiles
    ],
)
def test_every_built_in_compiles(name: str) -> None:
    example = built_in(name).example(Draw(random.Random(3), torch.float32))
    params = dict(example.params)
    if name == "kl_div":
        params["reduction"] = "batchmean"
    inputs = list(example.tensors)
    # Some of the leaves are targets.
    terms = {"t": fit(type=name, params=params, inputs=inputs, weight=RAMP, detach=[])}
    loss, eager, count = build(terms), build(terms), counter()
    loss.compile(backend=count, fullgraph=True)

    def make() -> Values:
        return {
            each: tensor.clone().requires_grad_(each in example.leaves)
            for each, tensor in example.tensors.items()
        }

    for _ in range(3):
        assert_a_step_is_eagers(loss, eager, make)
        loss.step()
        eager.step()
    assert count.frame_count == 1


@pytest.mark.parametrize("name", ["cross_entropy", "multi_margin", "nll"])
def test_one_example_without_a_batch_compiles(name: str) -> None:
    # Its shapes are looked at twice while tracing: as a batch's first.
    loss, count = build({"t": {"type": name, "inputs": ["p", "y"]}}), counter()
    values = {"p": torch.tensor([0.5, -1.0, 2.0]).log_softmax(0), "y": torch.tensor(1)}
    step = torch.compile(lambda values: loss(values).total, backend=count, fullgraph=True)
    assert_within_ulps(step(values), loss(values).total)
    assert count.frame_count == 1


def test_ctc_is_declared_to_break_the_graph() -> None:
    assert not REGISTRY["ctc"].compiles


CTC = {"transcribe": {"type": "ctc", "weight": RAMP, "params": {"zero_infinity": True}}}


def ctc_values() -> Values:
    found: Values = dict(built_in("ctc").example(Draw(random.Random(3), torch.float32)).tensors)
    found["log_probs"] = found["log_probs"].clone().requires_grad_()
    return found


@BREAKS
def test_torch_cannot_trace_ctc_but_runs_it() -> None:
    loss, eager = build(CTC), build(CTC)
    loss.compile(backend="aot_eager", fullgraph=True)
    # The size of ctc's intermediate result depends on the lengths, which are data.
    with pytest.raises(torch._dynamo.exc.Unsupported, match="_ctc_loss"):
        loss(ctc_values())
    torch._dynamo.reset()
    loss = build(CTC)
    loss.compile(backend="aot_eager")
    for _ in range(3):
        assert_a_step_is_eagers(loss, eager, ctc_values)
        loss.step()
        eager.step()


@pytest.mark.parametrize("terms", [1, pytest.param(2, marks=NIGHTLY), 4])
def test_bfloat16_terms_are_summed_in_float32(terms: int) -> None:
    each = {f"t{index}": fit(weight=RAMP if index else 0.1) for index in range(terms)}
    loss, eager, count = build(each), build(each), counter()
    loss.compile(backend=count, fullgraph=True)
    make = partial(tensors, dtype=torch.bfloat16)
    out, expected = loss(make()), eager(make())
    assert out.total.dtype == expected.total.dtype == torch.float32
    by_hand = sum(weight * expected.terms[name].double() for name, weight in eager.weights.items())
    for total in (out.total, expected.total):
        assert total.item() == pytest.approx(float(by_hand), rel=1e-6)
    assert_a_step_is_eagers(loss, eager, make)
    assert count.frame_count == 1


@pytest.mark.parametrize(
    "case", ["one term", pytest.param("two terms", marks=NIGHTLY), "six terms"]
)
def test_autocast_leaves_the_sum_in_float32(case: str) -> None:
    loss, eager, count = build(CASES[case]), build(CASES[case]), counter()
    layer = nn.Linear(4, 4)

    @torch.compile(backend=count, fullgraph=True)
    def step(values: Values) -> lossreg.LossOutput:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return loss({**values, "p": layer(values["p"])})

    for _ in range(3):
        out = step(tensors())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            values = tensors()
            p = layer(values["p"])
            assert p.dtype == torch.bfloat16
            expected = eager({**values, "p": p})
        assert out.total.dtype == expected.total.dtype == torch.float32
        for name, each in eager.weights.items():
            assert out.weights[name].item() == pytest.approx(each)
        by_hand = sum(
            weight * expected.terms[name].double() for name, weight in eager.weights.items()
        )
        assert expected.total.item() == pytest.approx(float(by_hand), rel=1e-6)
        torch.testing.assert_close(out.total, expected.total, rtol=1e-2, atol=0)
        out.total.backward()
        loss.step()
        eager.step()
    assert count.frame_count == 1


@pytest.mark.nightly
@pytest.mark.parametrize("case", CASES)
def test_inductor_computes_what_eager_does(case: str) -> None:
    loss, eager = build(CASES[case]), build(CASES[case])
    count = CompileCounterWithBackend("inductor")
    loss.compile(backend=count, fullgraph=True)
    for step in range(8):
        values, twins = tensors(step), tensors(step)
        found, expected = loss(values), eager(twins)
        torch.testing.assert_close(found.total, expected.total)
        found.total.backward()
        expected.total.backward()
        for leaf, twin in zip(leaves(values), leaves(twins), strict=True):
            torch.testing.assert_close(leaf.grad, twin.grad)
        loss.step()
        eager.step()
    assert count.frame_count == 1
