"""What is looked at before a graph runs, and while it is traced."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from compiled import Values, build, counter, fit
from lossreg.errors import InputError


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """torch counts compilations of a function over all its modules, and gives up after some."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


MISFITS: dict[str, tuple[dict[str, Any], Values, str]] = {
    "a domain": (
        {"type": "bce", "inputs": ["p", "y"]},
        {"p": torch.ones(4), "y": torch.full((4,), 1.5)},
        "'target' (path 'y'): expected probabilities from 0 to 1, found 1.5",
    ),
    "another domain": (
        {"type": "kl_div", "inputs": ["p", "y"], "params": {"reduction": "batchmean"}},
        {"p": torch.full((2, 2), 0.5), "y": torch.full((2, 2), 0.5)},
        "'input' (path 'p'): expected log-probabilities, at most 0",
    ),
    "a shape": (fit(), {"p": torch.ones(4, 1), "y": torch.ones(4)}, "torch would broadcast"),
    "a dtype": (fit(), {"p": torch.ones(4, dtype=torch.long), "y": torch.ones(4)}, "torch.int64"),
    "one class": (
        {"type": "cross_entropy", "inputs": ["p", "y"]},
        {"p": torch.ones(4, 1, 2), "y": torch.zeros(4, 2, dtype=torch.long)},
        "expected at least two classes",
    ),
    "a mask": (
        fit(mask="m"),
        {"p": torch.ones(4), "y": torch.ones(4), "m": torch.full((4,), 0.5)},
        "a mask keeps or drops",
    ),
}
OF_VALUES = ("a domain", "another domain", "a mask")


@pytest.mark.parametrize("fullgraph", [True, False])
@pytest.mark.parametrize("name", MISFITS)
def test_the_first_batch_is_looked_at_before_the_graph_runs(name: str, fullgraph: bool) -> None:
    term, bad, message = MISFITS[name]
    loss, count = build({"t": term}), counter()
    loss.compile(backend=count, fullgraph=fullgraph)
    with pytest.raises(InputError, match=re.escape(message)):
        loss(bad)
    assert count.frame_count == 0


@pytest.mark.parametrize("checks", ["first", "always"])
def test_after_the_first_batch_a_graph_is_looked_at_as_checks_say(checks: str) -> None:
    loss, count = build({"t": {"type": "bce", "inputs": ["p", "y"]}}, checks=checks), counter()
    loss.compile(backend=count, fullgraph=True)
    good = {"p": torch.full((4,), 0.5), "y": torch.ones(4)}
    for _ in range(2):
        loss(good)
    assert count.frame_count == 1
    if checks == "always":
        with pytest.raises(InputError, match="expected probabilities from 0 to 1"):
            loss({**good, "y": torch.full((4,), 1.5)})


def test_a_term_that_comes_late_is_looked_at_when_it_comes() -> None:
    late = {"type": "bce", "inputs": ["late", "y"], "optional": True}
    loss = build({"t": {"type": "bce", "inputs": ["p", "y"]}, "late": late})
    loss.compile(backend="aot_eager", fullgraph=True)
    good = {"p": torch.full((4,), 0.5), "y": torch.ones(4)}
    loss(good)
    with pytest.raises(InputError, match=r"term 'late', 'input' .*found 2$"):
        loss({**good, "late": torch.full((4,), 2.0)})


def test_switched_off_nothing_is_looked_at() -> None:
    loss = build({"t": fit()}, checks="never")
    loss.compile(backend="aot_eager", fullgraph=True)
    with pytest.warns(UserWarning, match="broadcasting"):
        loss({"p": torch.ones(4, 1), "y": torch.ones(4)})


@pytest.mark.parametrize("name", [name for name in MISFITS if name not in OF_VALUES])
def test_inside_a_larger_graph_shapes_and_dtypes_are_looked_at_while_tracing(name: str) -> None:
    term, bad, message = MISFITS[name]
    loss = build({"t": term})

    def step(values: Values) -> Tensor:
        return loss(values).total * 2

    with pytest.raises(InputError, match=re.escape(message)):
        torch.compile(step, backend="aot_eager")(bad)
    torch._dynamo.reset()
    with pytest.raises(torch._dynamo.exc.Unsupported, match=re.escape(message)):
        torch.compile(step, backend="aot_eager", fullgraph=True)(bad)
