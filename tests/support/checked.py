"""A loss whose batches are checked, as a composite."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import lossreg
from lossreg.registry import Registry


def build(name: str, checks: str = "always", **term: Any) -> lossreg.CompositeLoss:
    return lossreg.build({"checks": checks, "terms": {"fit": {"type": name, **term}}})


def arguments(name: str, *tensors: Tensor) -> dict[str, Tensor]:
    inputs = Registry.installed()[name].inputs
    return {each.name: tensor for each, tensor in zip(inputs, tensors, strict=True)}


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape)


def longs(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.int64)


def probabilities(*shape: int) -> Tensor:
    return torch.rand(shape).mul(0.8).add(0.1)


def ctc(**changes: Any) -> dict[str, Any]:
    return {
        "log_probs": zeros(7, 2, 3).log_softmax(-1),
        "targets": torch.tensor([[1, 2, 1], [2, 99, -5]]),  # beyond its length is no label
        "input_lengths": torch.tensor([7, 6]),
        "target_lengths": torch.tensor([3, 1]),
        **{name: torch.as_tensor(each) for name, each in changes.items()},
    }
