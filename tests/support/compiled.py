"""Compiled composites, whose graphs are counted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

import lossreg
from properties import leaves

NAN = math.nan
RAMP = {"schedule": "linear", "start": 0.2, "end": 1.0, "steps": 5}
# torch's compiled backward adds up in another order.
FEW_ULPS = 8

Values = dict[str, Any]


def counter() -> CompileCounterWithBackend:
    return CompileCounterWithBackend("aot_eager")


def fit(**fields: Any) -> dict[str, Any]:
    return {"type": "mse", "inputs": ["p", "y"], **fields}


def build(terms: dict[str, Any], **options: Any) -> lossreg.CompositeLoss:
    return lossreg.build({"terms": terms, **options})


def tensors(seed: int = 0, rows: int = 6, dtype: torch.dtype = torch.float32) -> Values:
    """New leaves; the same numbers for the same seed."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    def labels(classes: int, *shape: int) -> Tensor:
        return torch.randint(classes, shape, generator=generator)

    y = normal(rows, 4)
    return {
        "p": normal(rows, 4).requires_grad_(),
        "y": y,
        "holes": torch.where(labels(3, rows, 4) == 0, NAN, y),
        "logits": normal(rows, 4).requires_grad_(),
        "labels": labels(4, rows),
        "tokens": {"logits": normal(rows, 5, 3).requires_grad_(), "labels": labels(3, rows, 5)},
        "aux": [
            {"p": normal(rows, 4).requires_grad_(), "y": normal(rows, 4), "count": rows * 2.0},
            {"p": normal(rows, 4).requires_grad_(), "y": normal(rows, 4), "count": rows * 3.0},
        ],
        "valid": torch.arange(rows) % 3 != 1,
        "w": torch.rand(rows, generator=generator).to(dtype),
        "number": torch.tensor(7.0, dtype=dtype),
    }


SIX = {
    "classify": {
        "type": "cross_entropy",
        "inputs": ["logits", "labels"],
        "params": {"weight": [1.0, 2.0, 0.5, 1.0], "label_smoothing": 0.1},
    },
    "fit": fit(weight=RAMP),
    "abs": {"type": "l1", "weight": 0.3, "inputs": ["p", "y"]},
    "robust": {"type": "smooth_l1", "weight": 0.1, "inputs": ["p", "y"]},
    "tags": {
        "type": "bce_with_logits",
        "weight": {**RAMP, "schedule": "cosine"},
        "inputs": ["logits", {"from": "labels", "apply": [{"one_hot": {"classes": 4}}]}],
    },
    "penalty": {"type": "value", "weight": 0.05, "inputs": ["number"]},
}
CASES: dict[str, dict[str, Any]] = {
    "one term": {"fit": fit(weight=RAMP)},
    "two terms": {"fit": fit(weight=RAMP), "classify": SIX["classify"]},
    "three terms": {name: SIX[name] for name in ("classify", "fit", "abs")},
    "six terms": SIX,
    "nested paths and transforms": {
        "next": {
            "type": "cross_entropy",
            "weight": RAMP,
            "inputs": {
                "input": {"from": "tokens.logits", "apply": [{"transpose": [1, 2]}]},
                "target": {
                    "from": "tokens.labels",
                    "apply": [{"shift": {"by": -1, "dim": 1, "fill": -100}}],
                },
            },
        },
        "distil": {
            "type": "kl_div",
            "params": {"reduction": "batchmean"},
            "inputs": [
                {"from": "logits", "apply": ["log_softmax"]},
                {"from": "aux[-1].p", "apply": [{"div": 2}, {"softmax": 1}, "detach"]},
            ],
        },
    },
    "masks and weights of samples": {
        "masked": fit(mask="valid", weight=RAMP),
        "weighted": fit(sample_weight="w", divide_by="weights"),
        "ignored": fit(
            inputs=["p", "holes"],
            ignore="nan",
            mask="valid",
            sample_weight="w",
            divide_by="weights",
        ),
        "rows": {
            "type": "kl_div",
            "inputs": [
                {"from": "logits", "apply": ["log_softmax"]},
                {"from": "p", "apply": ["softmax"]},
            ],
            "params": {"reduction": "batchmean"},
            "detach": [],
            "mask": {"from": "labels", "apply": [{"cast": "bool"}]},
        },
        "classes": {**SIX["classify"], "ignore": 2},
    },
    "groups": {
        "first": {
            "from": "aux[0]",
            "weight": RAMP,
            "divide_by": {"number": "aux[0].count"},
            "terms": {"fit": fit(), "abs": {"type": "l1", "weight": 0.5, "inputs": ["p", "y"]}},
        },
        "second": {"from": "aux[1]", "terms": {"fit": fit()}},
    },
    "weights of zero": {
        "logged": {"type": "l1", "weight": 0, "inputs": ["p", "y"]},
        "fit": fit(weight=RAMP),
        "passes": fit(weight={**RAMP, "start": 0.0}),
        "masked": {"type": "l1", "weight": 0, "inputs": ["p", "holes"], "ignore": "nan"},
    },
    "optional terms": {
        "there": fit(optional=True),
        "gone": {"type": "l1", "inputs": ["absent", "y"], "optional": True},
        "late": {"type": "smooth_l1", "weight": RAMP, "inputs": ["p", "y"]},
    },
}


def assert_within_ulps(found: Tensor, expected: Tensor) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if expected.numel():
        size = expected.abs().max().item()
        assert (found - expected).abs().max().item() <= (
            FEW_ULPS * torch.finfo(expected.dtype).eps * size
        )


def assert_a_step_is_eagers(
    compiled: Callable[[Values], lossreg.LossOutput],
    eager: lossreg.CompositeLoss,
    make: Callable[[], Values],
) -> None:
    """Value, logged values, weights and gradients are the eager composite's."""
    values, twins = make(), make()
    found, expected = compiled(values), eager(twins)
    assert_within_ulps(found.total.detach(), expected.total.detach())
    assert list(found.terms) == list(expected.terms)
    assert list(found.weights) == list(expected.weights)
    for name in expected.terms:
        assert not found.terms[name].requires_grad
        assert_within_ulps(found.terms[name], expected.terms[name])
        assert found.weights[name].item() == expected.weights[name].item()
    found.total.backward()
    expected.total.backward()
    for leaf, twin in zip(leaves(values), leaves(twins), strict=True):
        assert (leaf.grad is None) == (twin.grad is None)
        if leaf.grad is not None and twin.grad is not None:
            assert_within_ulps(leaf.grad, twin.grad)


# dynamo looks at every tensor's `grad` where a graph breaks.
BREAKS = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
