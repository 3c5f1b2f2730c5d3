"""The module of a loss that is a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch  # noqa: TID253 - imported only where a function is described
from torch import nn  # noqa: TID253

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FunctionLoss"]


class FunctionLoss(nn.Module):
    """Calls a function with the inputs, and with the same parameters each time.

    Args:
        function: The loss, at the top level of its module, so that it pickles.
        parameters: Its other arguments; tensors become buffers, so that they move with the module.
    """

    def __init__(self, function: Callable[..., torch.Tensor], **parameters: Any) -> None:
        super().__init__()
        self._function = function
        self._constants: dict[str, Any] = {}
        for name, value in parameters.items():
            if isinstance(value, torch.Tensor):
                self.register_buffer(name, value, persistent=False)
            else:
                self._constants[name] = value

    def forward(self, *inputs: torch.Tensor, **named: torch.Tensor) -> torch.Tensor:
        """The function's value."""
        return self._function(*inputs, **named, **self._constants, **dict(self.named_buffers()))

    def extra_repr(self) -> str:
        """The function and its parameters."""
        constants = [f"{name}={value!r}" for name, value in self._constants.items()]
        return ", ".join([self._function.__qualname__, *constants])
