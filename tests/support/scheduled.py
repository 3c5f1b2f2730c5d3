"""A composite whose weights are scheduled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import lossreg

# A tenth more each step.
RAMP = {"schedule": "linear", "start": 0.0, "end": 1.0, "steps": 10}


def build(**weights: Any) -> lossreg.CompositeLoss:
    """A composite of one mse term for each weight."""
    return lossreg.build(
        {
            "terms": {
                name: {"type": "mse", "weight": each, "inputs": ["p", "y"]}
                for name, each in weights.items()
            }
        }
    )


def values(dtype: torch.dtype = torch.float32, device: str = "cpu") -> dict[str, Tensor]:
    """The mse is 2."""
    return {
        "p": torch.tensor([1.0, 3.0], dtype=dtype, device=device, requires_grad=True),
        "y": torch.ones(2, dtype=dtype, device=device),
    }
