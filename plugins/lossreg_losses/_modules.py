"""Modules that torch lacks or gets wrong; a loss's `build` imports them, and torch with them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["MultiLabelMarginLoss", "Value"]


class MultiLabelMarginLoss(nn.MultiLabelMarginLoss):
    """torch's module, with the right value when compiled.

    Up to release 2.13 torch.compile counts the places after the first -1 as class 0
    (https://github.com/pytorch/pytorch/issues/141017).
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002  (torch's name for it)
        """The loss, as torch computes it."""
        if not torch.compiler.is_compiling():
            return super().forward(input, target)
        classes = input.shape[-1]
        used = (target < 0).int().cumsum(-1) == 0
        labels = torch.where(used, target, 0)
        hit = (labels.unsqueeze(-1) == torch.arange(classes, device=target.device)) & (
            used.unsqueeze(-1)
        )
        pairs = used.unsqueeze(-1) & ~hit.any(-2, keepdim=True)
        margins = 1 - input.gather(-1, labels).unsqueeze(-1) + input.unsqueeze(-2)
        # relu, because its gradient at 0 is 0, as in torch's loss; clamp's is not.
        losses = torch.where(pairs, margins.relu(), 0.0).sum((-2, -1)) / classes
        if self.reduction == "none":
            return losses
        return losses.mean() if self.reduction == "mean" else losses.sum()


class Value(nn.Module):
    """Only reduces its input.

    Args:
        reduction: `mean` over all entries; `sum`; `batchmean`, the sum divided by the size of the
            first dimension; or `none`.
    """

    def __init__(self, reduction: Literal["mean", "sum", "none", "batchmean"] = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name for it)
        """The reduced input, of shape `*`: a scalar, or itself.

        Raises:
            ValueError: The reduction is `batchmean` and the input has no dimension.
        """
        if self.reduction == "mean":
            return input.mean()
        if self.reduction == "sum":
            return input.sum()
        if self.reduction == "none":
            return input
        if input.dim() == 0:
            raise ValueError(
                "reduction 'batchmean' needs an input with a batch dimension, but got a tensor "
                "without dimensions; use 'mean' or 'sum'"
            )
        return input.sum() / input.shape[0]

    def extra_repr(self) -> str:
        """The reduction."""
        return f"reduction={self.reduction!r}"
