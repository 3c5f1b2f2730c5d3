"""A stranger's losses, as libraries write them."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable


class Norm(Enum):
    SQUARED = "squared"
    ABSOLUTE = "absolute"


class CharbonnierLoss(nn.Module):
    """Absolute error, rounded off near "zero".

    Args:
        eps: Where squared turns to absolute, as in C:\\temp.
        norm (str): What's compared.
    """

    def __init__(  # type: ignore[no-untyped-def]  # noqa: ANN204
        self,
        eps=1e-3,  # noqa: ANN001
        norm: Norm | str = Norm.ABSOLUTE,
        mode: str = "plain",
        weight: Tensor | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
        reduction: str = "none",
    ):
        super().__init__()
        self.eps, self.norm, self.mode, self.reduction = eps, norm, mode, reduction
        self.activation = activation
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:  # noqa: A002
        """The loss between two tensors of the same shape."""
        assert self.norm in Norm
        loss = torch.sqrt((input - target) ** 2 + self.eps**2)
        if mask is not None:
            loss = loss * mask
        return loss if self.reduction == "none" else loss.mean()


class CentreLoss(nn.Module):
    """Distances to the centre of each class."""

    def __init__(self, num_classes, embedding_size):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
        super().__init__()
        self.centres = nn.Parameter(torch.randn(num_classes, embedding_size))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean squared distance."""
        return ((embeddings - self.centres[labels]) ** 2).sum(1).mean()


class MappingLoss(nn.Module):
    def forward(self, outputs: dict[str, Tensor]) -> Tensor:
        return outputs["boxes"].sum()


class VectorLoss(nn.Module):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return input.flatten()


class Encoder(nn.Module):
    """Not a loss, in spite of its module's name."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return torch.as_tensor(self.network(input))


__all__ = ["CentreLoss", "CharbonnierLoss", "MappingLoss", "VectorLoss"]
