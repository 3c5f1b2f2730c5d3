"""The loss `example`: a function, and the module that lossreg builds."""

import torch
from torch import Tensor, nn


def unreduced(input: Tensor, target: Tensor, *, eps: float) -> Tensor:
    """One value for each entry, before any reduction."""
    return torch.sqrt((input - target) ** 2 + eps**2)


class ExampleLoss(nn.Module):
    """The function with its parameters, reduced.

    Args:
        reduction: `mean`, `sum`, or `none` to leave a value for each entry.
        parameters: The function's keyword arguments.
    """

    def __init__(self, *, reduction: str, **parameters: float) -> None:
        super().__init__()
        self.reduction = reduction
        self.arguments = parameters

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss between two tensors of the same shape."""
        loss = unreduced(input, target, **self.arguments)
        if self.reduction == "none":
            return loss
        return loss.mean() if self.reduction == "mean" else loss.sum()
