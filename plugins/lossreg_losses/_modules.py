"""The modules that torch does not have; a loss's `build` imports them, and torch with them."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

__all__ = ["Value"]


class Value(nn.Module):
    """Reduces its input and nothing else.

    Args:
        reduction: `mean` over all entries, `sum`, or `batchmean`, the sum divided by the size of
            the first dimension.
    """

    def __init__(self, reduction: Literal["mean", "sum", "batchmean"] = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name for it)
        """The reduced input, a scalar, of an input of shape `*`.

        Raises:
            ValueError: The reduction is `batchmean` and the input has no dimension.
        """
        if self.reduction == "mean":
            return input.mean()
        if self.reduction == "sum":
            return input.sum()
        if input.dim() == 0:
            raise ValueError(
                "reduction 'batchmean' needs an input with a batch dimension, but got a tensor "
                "without dimensions; use 'mean' or 'sum'"
            )
        return input.sum() / input.shape[0]

    def extra_repr(self) -> str:
        """The reduction."""
        return f"reduction={self.reduction!r}"
