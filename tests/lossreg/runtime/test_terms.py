"""`loss.terms(values)`: each term attached to the graph, raw or weighted, under fixed names."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import lossreg
from lossreg.errors import InputError

RAMP = {"schedule": "linear", "start": 0.0, "end": 1.0, "steps": 10}
MSE = {"type": "mse", "inputs": ["p", "y"]}
TERMS: dict[str, dict[str, Any]] = {
    "fit": {**MSE, "weight": 0.5},
    "ramp": {"type": "l1", "inputs": ["p", "y"], "weight": RAMP},
    "logged": {**MSE, "weight": 0.0},
    "more": {**MSE, "weight": 2.0},
    "depth": {"type": "mse", "inputs": ["depth", "y"], "optional": True, "weight": 3.0},
    "seen": {"type": "l1", "inputs": ["depth", "y"], "optional": True, "weight": 0.0},
}
COUNTED = {
    name: {**term, "sample_weight": "w", "divide_by": "weights"} for name, term in TERMS.items()
}
ABSENT = ("depth", "seen")


def build(terms: dict[str, dict[str, Any]] | None = None) -> lossreg.CompositeLoss:
    loss = lossreg.build({"terms": TERMS if terms is None else terms})
    loss.step()
    return loss


def values(*, depth: bool = True, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    p, y, other = (torch.randn(5, generator=generator).to(dtype) for _ in range(3))
    found = {"p": p.requires_grad_(), "y": y, "w": torch.arange(1.0, 6.0, dtype=dtype)}
    return found | ({"depth": other.requires_grad_()} if depth else {})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("depth", [True, False])
@pytest.mark.parametrize("count", [1, 2, 6])
def test_weighted_terms_add_up_to_the_total(count: int, depth: bool, dtype: torch.dtype) -> None:
    loss = build(dict(list(TERMS.items())[:count]))
    given, twin = values(depth=depth, dtype=dtype), values(depth=depth, dtype=dtype)
    weighted, out = loss.terms(given, weighted=True), loss(twin)
    assert list(weighted) == list(out.terms)
    total = sum(weighted.values())
    torch.testing.assert_close(total, out.total)
    total.backward()
    out.total.backward()
    torch.testing.assert_close(given["p"].grad, twin["p"].grad)
    for name, value in weighted.items():
        torch.testing.assert_close(value.detach(), out.weights[name] * out.terms[name])


@pytest.mark.parametrize("weighted", [True, False])
def test_the_names_never_change_and_every_value_has_a_graph(weighted: bool) -> None:
    loss = build()
    for depth in (True, False, True):
        found = loss.terms(values(depth=depth), weighted=weighted)
        assert list(found) == list(TERMS)
        for name, value in found.items():
            assert value.shape == ()
            assert value.grad_fn is not None
            if name in ABSENT and not depth:
                assert value == 0
        sum(found.values()).backward()


def test_a_raw_term_of_weight_0_can_be_differentiated() -> None:
    given = values()
    raw = build().terms(given)
    (found,) = torch.autograd.grad(raw["logged"], given["p"])
    expected = 2 * (given["p"] - given["y"]).detach() / 5
    torch.testing.assert_close(found, expected)


def test_a_weighted_term_of_weight_0_has_no_nan() -> None:
    given = {**values(), "depth": torch.full((5,), torch.nan, requires_grad=True)}
    weighted = build({name: TERMS[name] for name in ("fit", "seen")}).terms(given, weighted=True)
    assert weighted["seen"] == 0
    sum(weighted.values()).backward()
    assert given["depth"].grad is None


@pytest.mark.parametrize("world_size", [1, 4])
def test_with_denominators_micro_batches_add_up_to_the_whole(world_size: int) -> None:
    loss, whole = build(COUNTED), values()
    parts = [{name: each[rows] for name, each in whole.items()} for rows in ([0, 1], [2, 3, 4])]
    by = loss.denominators(parts, world_size=world_size)
    raw = [loss.terms(part, denominators=by) for part in parts]
    weighted = [loss.terms(part, weighted=True, denominators=by) for part in parts]
    out = [loss(part, denominators=by) for part in parts]
    for name, value in loss.terms(whole).items():
        torch.testing.assert_close(sum(each[name] for each in raw), value)
    for shares, part in zip(weighted, out, strict=True):
        torch.testing.assert_close(sum(shares.values()), part.total)


def test_without_gradients_nothing_has_a_graph() -> None:
    with torch.no_grad():
        found = build().terms(values(depth=False))
    assert not any(value.requires_grad for value in found.values())


def test_it_compiles_to_one_graph() -> None:
    loss = build()
    compiled = torch.compile(loss.terms, backend="aot_eager", fullgraph=True)
    for depth in (True, False, True):
        given = values(depth=depth)
        for weighted in (True, False):
            found = compiled(given, weighted=weighted)
            expected = loss.terms(given, weighted=weighted)
            assert list(found) == list(expected)
            for name in expected:
                torch.testing.assert_close(found[name], expected[name])


def test_without_any_term_it_is_an_error_as_for_the_composite() -> None:
    loss = build({"depth": TERMS["depth"]})
    for call in (loss, loss.terms):
        with pytest.raises(InputError, match="every term is optional, and no term found"):
            call(values(depth=False))
