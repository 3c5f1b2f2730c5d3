"""The named parts of a loss's result: their sum is the loss, and each is logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lossreg.runtime.lookup import SEQUENCES, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["added", "as_vector", "fault_of"]


def fault_of(result: Any, names: Sequence[str]) -> str:
    """What is wrong with a result that should have these parts; empty if nothing is.

    Args:
        result: A mapping of the parts, or a tuple of them in this order.
        names: The parts.
    """
    wanted = f"expected a mapping of {', '.join(names)}, or a tuple in this order, found "
    if isinstance(result, Mapping):
        lacking = [name for name in names if name not in result]
        if lacking or len(result) != len(names):
            return f"{wanted}a mapping of {', '.join(map(str, result)) or 'nothing'}"
    elif not isinstance(result, SEQUENCES) or len(result) != len(names):
        return wanted + shown(result)
    for name, part in zip(names, _in_order(result, names), strict=True):
        if not isinstance(part, Tensor) or part.numel() != 1:
            return f"expected one number for the part '{name}', found {shown(part)}"
    return ""


def as_vector(result: Any, names: Sequence[str]) -> Tensor:
    """The parts one after the other, of a result without a fault."""
    return torch.stack([part.reshape(()) for part in _in_order(result, names)])


def added(vector: Tensor) -> Tensor:
    """The sum of the parts, in their order."""
    total, *others = vector.unbind()
    for part in others:
        total = total + part
    return total


def _in_order(result: Any, names: Sequence[str]) -> list[Any]:
    if isinstance(result, Mapping):
        return [result[name] for name in names]
    return list(result)
