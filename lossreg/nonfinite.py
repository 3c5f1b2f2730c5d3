"""Who made the nan: laying a non-finite value at a term's door.

On the CPU the total is read back at once. On an accelerator reading waits for it, so each term
keeps a flag on the device, which is copied without waiting and told by a later `step()`.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lossreg.errors import NonFiniteError, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lossreg.config.schema import OnNonFinite

__all__ = ["DelayedFlags", "culprits", "describe", "report"]


def describe(tensor: Tensor) -> str:
    """A tensor's range and how much of it is not finite."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return f"{tuple(tensor.shape)} {tensor.dtype}"
    values = tensor.detach()
    finite = values[values.isfinite()]
    bounds = (
        f"min {finite.min().item():.4g}, max {finite.max().item():.4g}"
        if finite.numel()
        else "nothing finite"
    )
    return f"{bounds}, {int(values.isnan().sum())} nan and {int(values.isinf().sum())} infinite"


def report(message: str, *, term: str, action: OnNonFinite) -> None:
    """Raise or warn.

    Raises:
        NonFiniteError: The action is to raise.
    """
    if action == "raise":
        raise NonFiniteError(message, term=term)
    if action == "warn":
        warnings.warn(printable(message, keep="\n"), RuntimeWarning, stacklevel=3)


def culprits(raw: Mapping[str, Tensor]) -> list[str]:
    """The terms whose value is not finite."""
    return [name for name, value in raw.items() if not math.isfinite(value.item())]


class DelayedFlags:
    """Reads flags from their device without waiting for it: what is told is some steps old."""

    def __init__(self) -> None:
        self._copy: Tensor | None = None
        self._event: torch.cuda.Event | None = None

    def __reduce__(self) -> tuple[type[DelayedFlags], tuple[()]]:
        # An event belongs to its process and device, so a copy begins anew.
        return DelayedFlags, ()

    def read(self, flags: Tensor) -> list[bool]:
        """What the flags were when they were last copied; empty while nothing is known.

        Args:
            flags: Of dtype bool, on any device.
        """
        if flags.device.type != "cuda":
            found: list[bool] = flags.tolist()
            return found
        if self._copy is None or self._event is None:
            self._copy = torch.empty(flags.shape, dtype=torch.bool, pin_memory=True)
            self._copy.copy_(flags, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()
            return []
        if not self._event.query():  # type: ignore[no-untyped-call]
            return []
        found = self._copy.tolist()
        self._copy = self._event = None
        return found
