"""Compiled: one graph for each set of active terms that occurs, however many steps there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

import lossreg
from compiled import BREAKS, assert_a_step_is_eagers, build, counter, fit, tensors
from lossreg.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

RAMP = {"schedule": "linear", "start": 0.2, "end": 1.0, "steps": 5}
EVERY_4 = {"from_step": 2, "every_steps": 4, "times_every": True}
LAZY = {"type": "l1", "inputs": ["p", "y"], "active": EVERY_4}


@pytest.fixture(autouse=True)
def _own_graphs() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_one_graph_for_each_set_and_none_for_a_step() -> None:
    terms = {
        "classify": {"type": "cross_entropy", "inputs": ["logits", "labels"]},
        "fit": fit(weight=RAMP),
        "late": {"type": "smooth_l1", "inputs": ["p", "y"], "active": {"from_step": 9}},
        "lazy": LAZY,
    }
    graphs = counter()
    loss, eager = build(terms), build(terms)
    compiled = torch.compile(loss, backend=graphs, fullgraph=True)
    for t in range(20):
        assert_a_step_is_eagers(compiled, eager, lambda t=t: tensors(t))  # type: ignore[misc]
        loss.step()
        eager.step()
    assert graphs.frame_count == 4  # with and without lazy, before and after late


def test_sets_of_like_terms_are_told_apart() -> None:
    terms: dict[str, Any] = {
        f"at_{t}": {
            "type": "mse",
            "inputs": [f"p{t}", f"y{t}"],
            "active": {"from_step": t, "until_step": t + 1},
        }
        for t in range(3)
    }
    graphs = counter()
    loss = build(terms)
    compiled = torch.compile(loss, backend=graphs, fullgraph=True)
    values = {
        f"{name}{t}": torch.full((3,), float(t + (name == "p") * (t + 1)))
        for name in "py"
        for t in range(3)
    }
    for t in range(4):
        out = compiled(values)
        assert out.total == (0.0 if t == 3 else (t + 1) ** 2)
        assert {name: value.item() for name, value in out.terms.items() if value} == (
            {} if t == 3 else {f"at_{t}": (t + 1.0) ** 2}
        )
        loss.step()
    assert graphs.frame_count == 4


def test_a_composite_that_compiles_itself() -> None:
    graphs = counter()
    terms = {"fit": fit(), "lazy": LAZY}
    loss, eager = build(terms), build(terms)
    loss.compile(backend=graphs, fullgraph=True)
    for t in range(12):
        assert_a_step_is_eagers(loss, eager, lambda t=t: tensors(t))  # type: ignore[misc]
        loss.step()
        eager.step()
    assert graphs.frame_count == 2


def test_inside_a_larger_compiled_function() -> None:
    graphs = counter()
    loss = build({"fit": fit(), "lazy": LAZY})

    @torch.compile(backend=graphs, fullgraph=True)
    def train_step(weight: Tensor, values: dict[str, Tensor]) -> Tensor:
        total: Tensor = loss(p=values["x"] @ weight, y=values["y"]).total
        return total

    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 4, 4, generator=generator)
    weight = torch.randn(4, 4, generator=generator, requires_grad=True)
    for t in range(12):
        error = x @ weight - y
        expected = error.square().mean() + (4 * error.abs().mean() if t % 4 == 2 else 0)
        torch.testing.assert_close(train_step(weight, {"x": x, "y": y}), expected)
        loss.step()
    assert graphs.frame_count == 2


def test_eval_has_its_own_graph_in_which_every_does_not_count() -> None:
    graphs = counter()
    loss = build({"fit": fit(), "lazy": LAZY})
    compiled = torch.compile(loss, backend=graphs, fullgraph=True)
    values = tensors()
    error = (values["p"] - values["y"]).detach()
    mean_square, mean_abs = error.square().mean(), error.abs().mean()
    for t in range(2, 8):
        while loss.progress is not None and loss.progress.steps < t:
            loss.step()
        compiled.train()
        torch.testing.assert_close(
            compiled(values).total.detach(), mean_square + 4 * mean_abs * (t % 4 == 2)
        )
        compiled.eval()
        torch.testing.assert_close(compiled(values).total.detach(), mean_square + mean_abs)
    assert graphs.frame_count == 3


def test_denominators_of_each_step_do_not_compile_it_anew() -> None:
    graphs = counter()
    terms = {"fit": fit(mask="valid"), "lazy": {**LAZY, "mask": "valid"}}
    loss, eager = build(terms), build(terms)
    loss.compile(backend=graphs, fullgraph=True)
    for t in range(9):
        values = tensors(t)
        parts = [values, tensors(t + 1)]
        denominators = loss.denominators(parts)
        for part in parts:
            found = loss(part, denominators=denominators).total
            torch.testing.assert_close(found, eager(part, denominators=denominators).total)
        loss.step()
        eager.step()
        with pytest.raises(InputError, match=f"of step {t + 1}, found those of step {t}"):
            loss(values, denominators=denominators)
    assert graphs.frame_count == 2


@BREAKS
def test_an_inactive_term_that_breaks_graphs_breaks_none() -> None:
    ctc = {
        "type": "ctc",
        "inputs": ["log_probs", "targets", "input_lengths", "target_lengths"],
        "active": {"from_step": 100},
    }
    loss = lossreg.build({"terms": {"fit": fit(), "ctc": ctc}})
    compiled = torch.compile(loss, backend=counter(), fullgraph=True)
    assert compiled(tensors()).terms["ctc"] == 0
