"""Repeated groups in micro-batches and in compiled graphs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import lossreg
from compiled import RAMP, counter
from lossreg.errors import InputError
from properties import leaves

DOUBLE = torch.float64
ROWS = 12
SPLIT = [5, 1, 6]


def layers(count: int = 3, dtype: torch.dtype = DOUBLE) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, ROWS, 4, generator=generator, dtype=DOUBLE).to(dtype)


def target(dtype: torch.dtype = DOUBLE) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "y": torch.randn(ROWS, 4, generator=generator, dtype=DOUBLE).to(dtype),
        "labels": torch.randint(4, (ROWS,), generator=generator),
        "valid": torch.arange(ROWS) % 3 != 1,
        "w": torch.rand(ROWS, generator=generator, dtype=DOUBLE).to(dtype),
    }


def build(each: dict[str, Any], term: dict[str, Any]) -> lossreg.CompositeLoss:
    each = {"over": {"h": "hs"}, **each}
    config = {"terms": {"f": {"each": each, "terms": {"fit": term}}}}
    return lossreg.build(config).double()


FIT = {"type": "mse", "inputs": ["h", "y"], "mask": "valid"}
COUNTED = {
    "mean": FIT,
    "weights": {**FIT, "sample_weight": "w", "divide_by": "weights"},
    "kept_rows": {**FIT, "divide_by": "kept_rows"},
    "number": {**FIT, "divide_by": {"number": {"from": "w", "apply": ["sum"]}}},
    "rows": {**FIT, "divide_by": {"rows": "y"}},
    "classes": {
        "type": "cross_entropy",
        "inputs": ["h", "labels"],
        "params": {"weight": [1.0, 2.0, 0.5, 0.1], "ignore_index": 2},
    },
    "sum": {"type": "l1", "inputs": ["h", "y"], "params": {"reduction": "sum"}},
}


@pytest.mark.parametrize("combine", ["sum", "mean", "pooled"])
@pytest.mark.parametrize("name", COUNTED)
def test_micro_batches_add_up_to_the_big_batch(name: str, combine: str) -> None:
    if (name, combine) == ("sum", "pooled"):
        return  # refused when the file is read
    weights = {"decay": 0.8, "towards": "last", "zero": [0]}
    loss = build({"combine": combine, "weights": weights}, COUNTED[name])
    whole = layers().requires_grad_()
    out = loss(hs=list(whole), **target())
    out.total.backward()

    parts = layers().requires_grad_()
    batches = [
        {key: value.split(SPLIT)[place] for key, value in target().items()}
        for place in range(len(SPLIT))
    ]
    denominators = loss.denominators(batches)
    total = torch.zeros((), dtype=DOUBLE)
    for place, batch in enumerate(batches):
        hs = list(parts.split(SPLIT, 1)[place])
        share = loss({"hs": hs, **batch}, denominators=denominators)
        share.total.backward()
        total = total + share.terms["f/fit"]
    torch.testing.assert_close(total, out.terms["f/fit"], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(parts.grad, whole.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("term", "source"),
    [
        ({"type": "mse", "inputs": ["y", "h"]}, "'target' (path 'h')"),
        ({**FIT, "mask": "h"}, "'mask' (path 'h')"),
        (
            {**FIT, "sample_weight": {"from": "h", "apply": ["abs"]}, "divide_by": "weights"},
            "'sample_weight' (path 'h | abs')",
        ),
        ({**FIT, "divide_by": {"number": "h.n"}}, "'divide_by' (path 'h.n')"),
    ],
)
@pytest.mark.parametrize("combine", ["sum", "mean", "pooled"])
def test_what_comes_from_the_lists_cannot_be_counted(
    term: dict[str, Any], source: str, combine: str
) -> None:
    with pytest.raises(InputError) as error:
        build({"combine": combine}, term).denominators([target()])
    assert str(error.value) == (
        f"term 'f/fit': what 'mse' divides by is counted before the model runs, and {source} comes "
        "from 'each'; write divide_by: {rows: path}, {entries: path} or {number: path} of what the "
        "batch has outside of its lists"
    )


def step(count: int, seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)

    # Leaves: torch warns of other tensors with a gradient, where warnings are errors.
    def leaf(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).requires_grad_()

    hs = [{"logits": leaf(ROWS, 4), "size": leaf()} for _ in range(count)]
    return {"hs": hs, **target(torch.float32)}


TERMS = {
    "ce": {
        "type": "cross_entropy",
        "inputs": ["h.logits", "labels"],
        "params": {"weight": [1.0, 2.0, 0.5, 0.1]},
    },
    "fit": {
        "type": "mse",
        "inputs": [
            {
                "from": "h.logits",
                "apply": [{"mul": RAMP}],
            },
            "y",
        ],
        "mask": "valid",
        "sample_weight": "w",
        "divide_by": "weights",
    },
    "size": {"type": "value", "inputs": ["h.size"]},
}


def composite(combine: str) -> lossreg.CompositeLoss:
    weights = {"decay": 0.8, "towards": "last"}
    each = {"over": {"h": "hs"}, "weights": weights, "combine": combine}
    return lossreg.build({"terms": {"f": {"each": each, "terms": TERMS}}})


@pytest.mark.parametrize(
    "combine",
    [
        "sum",
        pytest.param("mean", marks=pytest.mark.nightly),
        pytest.param("pooled", marks=pytest.mark.nightly),
    ],
)
def test_one_graph_serves_one_length(combine: str) -> None:
    torch.compiler.reset()
    loss, eager, graphs = composite(combine), composite(combine), counter()
    loss.compile(backend=graphs, fullgraph=True)
    for moved in range(4):
        found, expected = loss(step(3, moved)), eager(step(3, moved))
        torch.testing.assert_close(found.total, expected.total)
        for name, value in expected.terms.items():
            torch.testing.assert_close(found.terms[name], value)
        loss.step()
        eager.step()
    assert graphs.frame_count == 1
    for seed in range(3):
        torch.testing.assert_close(loss(step(5, seed)).total, eager(step(5, seed)).total)
    assert graphs.frame_count == 2


def test_an_eager_step_between_two_compiled_ones_compiles_nothing() -> None:
    torch.compiler.reset()
    loss, graphs = composite("sum"), counter()
    compiled = torch.compile(loss, backend=graphs, fullgraph=True)
    for seed in range(3):
        torch.testing.assert_close(compiled(step(3, seed)).total, loss(step(3, seed)).total)
    assert graphs.frame_count == 1


def test_gradients_through_a_graph_equal_those_without() -> None:
    torch.compiler.reset()
    grads = []
    for is_compiled in (False, True):
        loss = composite("pooled")
        if is_compiled:
            loss.compile(backend="aot_eager", fullgraph=True)
        values = step(3)
        loss(values).total.backward()
        grads.append([leaf.grad for leaf in leaves(values)])
    assert len(grads[0]) == 6
    torch.testing.assert_close(*grads)


def test_mappings_and_nested_lists_are_traced() -> None:
    torch.compiler.reset()
    each = {"over": {"h": "hs"}, "nested": 2, "combine": "mean"}
    config = {
        "terms": {"f": {"each": each, "terms": {"fit": {"type": "mse", "inputs": ["h", "y"]}}}}
    }
    loss, graphs = lossreg.build(config), counter()
    loss.compile(backend=graphs, fullgraph=True)
    y = torch.rand(3)
    for moved in (1.0, 2.0):
        hs = [{"a": y + moved, "b": y - moved}, {"a": y, "b": y}]
        torch.testing.assert_close(loss(hs=hs, y=y).total, torch.tensor(moved**2 / 2))
    assert graphs.frame_count == 1


@pytest.mark.parametrize("check", ["first", "always"])
def test_a_compiled_step_is_checked_as_an_eager_one(check: str) -> None:
    torch.compiler.reset()
    each = {"over": {"h": "hs"}, "combine": "sum"}
    terms = {"ce": {"type": "cross_entropy", "inputs": ["h", "labels"]}}
    loss = lossreg.build({"checks": check, "terms": {"f": {"each": each, "terms": terms}}})
    loss.compile(backend="aot_eager")
    with pytest.raises(InputError, match=r"'f/ce\[1\]', 'target'.* from 0 to 1, found 3"):
        loss(hs=[torch.rand(2, 4), torch.rand(2, 2)], labels=torch.tensor([0, 3]))


def test_an_optional_group_may_come_and_go_in_graphs() -> None:
    torch.compiler.reset()
    each = {"over": {"h": "hs"}, "combine": "mean"}

    def fit(*inputs: str) -> dict[str, Any]:
        return {"type": "mse", "inputs": list(inputs)}

    terms = {
        "f": {"each": each, "optional": True, "terms": {"fit": fit("h", "y")}},
        "far": fit("p", "y"),
    }
    loss = lossreg.build({"terms": terms})
    loss.compile(backend="aot_eager", fullgraph=True)
    y = torch.rand(3)
    for _ in range(2):
        assert loss(p=y + 1, y=y).total == pytest.approx(1.0)
        assert loss(p=y + 1, y=y, hs=[y + 2, y]).total == pytest.approx(3.0)
        assert loss(p=y + 1, y=y, hs=[]).total == pytest.approx(1.0)
