"""Modules that torch lacks or gets wrong; a loss's `build` imports them, and torch with them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DISTANCES", "GaussianKL", "GaussianNLLLoss", "MultiLabelMarginLoss", "Pinball", "Value"]


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
        return _reduced(losses, self.reduction)


class GaussianNLLLoss(nn.GaussianNLLLoss):
    """torch's module, bit for bit, without its look at the variances.

    torch's waits for the device at each call, and breaks the graph when compiled. Where a variance
    is below 0, which torch refuses, the loss is nan, so that a composite reports the term.
    """

    def forward(self, input: Tensor, target: Tensor, var: Tensor) -> Tensor:  # type: ignore[override]  # noqa: A002  (torch's name for it)
        """The loss, as torch computes it."""
        raised = var.clone()
        with torch.no_grad():
            raised.clamp_(min=self.eps)
        losses = 0.5 * (torch.log(raised) + (input - target) ** 2 / raised)
        if self.full:
            losses += 0.5 * math.log(2 * math.pi)
        return _reduced(losses.masked_fill(var < 0, torch.nan), self.reduction)


class GaussianKL(nn.Module):
    """Divergence of diagonal Gaussians, entry by entry.

    Args:
        reduction: `mean` over all entries; `sum`; `batchmean`, the sum divided by the size of the
            first dimension; or `none`.
    """

    def __init__(self, reduction: Literal["mean", "sum", "none", "batchmean"] = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(
        self, mean: Tensor, log_var: Tensor, prior_mean: Tensor, prior_log_var: Tensor
    ) -> Tensor:
        """The divergence of the first Gaussian from the second, all of shape `N *`."""
        ratio = log_var - prior_log_var
        # expm1, because near 0 the difference of the exponential and 1 has few digits.
        losses = 0.5 * (
            torch.expm1(ratio) - ratio + (mean - prior_mean) ** 2 * torch.exp(-prior_log_var)
        )
        if self.reduction == "batchmean":
            return losses.sum() / (losses.shape[0] if losses.dim() else 1)
        return _reduced(losses, self.reduction)

    def extra_repr(self) -> str:
        """The reduction."""
        return f"reduction={self.reduction!r}"


class Pinball(nn.Module):
    """Absolute error, weighed by `q` below the target and by `1 - q` above it."""

    def __init__(self, q: float = 0.5, reduction: Literal["mean", "sum", "none"] = "mean") -> None:
        super().__init__()
        self.q = q
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002  (torch's name for it)
        """The loss of predictions and targets of one shape."""
        short = target - input
        return _reduced(torch.maximum(self.q * short, (self.q - 1) * short), self.reduction)

    def extra_repr(self) -> str:
        """The parameters."""
        return f"q={self.q}, reduction={self.reduction!r}"


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


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def _squared_euclidean(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).square().sum(-1)


def _manhattan(one: Tensor, other: Tensor) -> Tensor:
    return F.pairwise_distance(one, other, p=1.0)


def _chebyshev(one: Tensor, other: Tensor) -> Tensor:
    return F.pairwise_distance(one, other, p=math.inf)


def _cosine(one: Tensor, other: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(one, other, dim=-1)


# Functions of a module, because a loss is pickled.
DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "euclidean": F.pairwise_distance,
    "squared_euclidean": _squared_euclidean,
    "manhattan": _manhattan,
    "chebyshev": _chebyshev,
    "cosine": _cosine,
}
