"""Composites of one and more terms, with their batches and the same things in torch."""

from __future__ import annotations

from typing import Any

import torch

import lossreg

LEARNED = """
    import torch
    from torch import nn


    class Learned(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))

        def forward(self, input, target):
            return (self.scale * (input - target)).abs().mean()
"""


def fit_term(**fields: Any) -> dict[str, Any]:
    return {"type": "mse", "inputs": ["p", "y"], **fields}


def build(**terms: dict[str, Any]) -> lossreg.CompositeLoss:
    return lossreg.build({"terms": terms})


def step(**values: Any) -> dict[str, Any]:
    return {"p": torch.tensor([1.0, 3.0], requires_grad=True), "y": torch.ones(2), **values}
