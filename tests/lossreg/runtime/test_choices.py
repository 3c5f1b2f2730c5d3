"""A loss with chosen components computes what torch does by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import chosen_components
import lossreg
from lossreg.registry import Registry
from wrong_losses.fair import CHECKS, contract

REGISTRY = Registry(()).with_plugins(chosen_components)


def built(params: dict[str, Any]) -> lossreg.CompositeLoss:
    document = {"terms": {"a": {"type": "pair", "inputs": ["x", "y"], "params": params}}}
    return lossreg.build(document, registry=REGISTRY)


def cosine(x: Tensor, y: Tensor) -> Tensor:
    return 1 - functional.cosine_similarity(x, y, dim=1)


def norm(x: Tensor, y: Tensor, p: float) -> Tensor:
    return (functional.normalize(x) - functional.normalize(y)).abs().pow(p).sum(1).pow(1 / p)


FORMULAS: dict[str, tuple[dict[str, Any], Any]] = {
    "the default": ({}, lambda x, y: norm(x, y, 1).mean()),
    "a word": ({"distance": "cosine"}, lambda x, y: cosine(x, y).mean()),
    "a word of a component with parameters": (
        {"distance": "lp"},
        lambda x, y: norm(x, y, 2).mean(),
    ),
    "a parameter": (
        {"distance": {"type": "lp", "p": 3}},
        lambda x, y: norm(x, y, 3).mean(),
    ),
    "a list": (
        {"distance": "cosine", "more": ["cosine", {"type": "lp", "p": 3}]},
        lambda x, y: (2 * cosine(x, y) + norm(x, y, 3)).mean(),
    ),
    "a component of a component": (
        {"distance": "lp", "reducer": {"type": "above", "low": 1, "distance": "cosine"}},
        lambda x, y: (norm(x, y, 2) * (cosine(x, y) > 1)).mean(),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_value_and_gradient_are_those_of_the_formula(name: str) -> None:
    params, formula = FORMULAS[name]
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 16, 5, generator=generator, dtype=torch.float64)
    x.requires_grad_()
    twin = x.detach().clone().requires_grad_()
    total, expected = built(params)(x=x, y=y).total, formula(twin, y)
    torch.testing.assert_close(total, expected)
    total.backward()
    expected.backward()
    torch.testing.assert_close(x.grad, twin.grad)


def test_it_compiles_as_one_graph() -> None:
    loss = built({"distance": "cosine", "reducer": {"type": "above", "low": 1}})
    x, y = torch.randn(2, 4, 3)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x=x, y=y).total, loss(x=x, y=y).total)


def test_create_takes_components_too() -> None:
    x, y = torch.randn(2, 4, 3)
    module = lossreg.create("pair", registry=REGISTRY, distance={"type": "lp", "p": 3})
    torch.testing.assert_close(module(x, y), norm(x, y, 3).mean())
    with pytest.raises(lossreg.ConfigError, match="did you mean 'lp'"):
        lossreg.create("pair", registry=REGISTRY, distance="LpDistance")


def test_it_keeps_the_contract() -> None:
    (definition,) = chosen_components.lossreg_losses()
    batch = {"anchor": torch.randn(6, 4), "other": torch.randn(6, 4)}
    params = {"distance": {"type": "lp", "p": 3}, "more": ["cosine"]}
    suite = contract(definition, batch=batch, params=params)
    for check in CHECKS - {"compiles"}:
        getattr(suite, f"test_{check}")()
