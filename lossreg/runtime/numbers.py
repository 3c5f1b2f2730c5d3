"""The current numbers of the schedules that stand in transforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lossreg.vocabulary.schedules import Schedule

__all__ = ["Numbers"]

_SINGLE = 4  # bytes


class Numbers:
    """The current number of each schedule, as a 0-d tensor.

    They are derived from the config and the progress, as weights are: a graph reads them as inputs,
    so it is compiled once. A tensor is never written to after a step could use it, so a backward
    pass has the numbers of its forward pass.

    Args:
        schedules: The schedules; alike ones have one place.
    """

    def __init__(self, schedules: Iterable[Schedule] = ()) -> None:
        by_text = {str(schedule): schedule for schedule in schedules}
        self.schedules = tuple(by_text.values())
        self._places = {text: place for place, text in enumerate(by_text)}
        self._progress = (0, 0)
        self.derive(0, 0, None)

    def place(self, schedule: Schedule) -> int:
        """Where the number of a schedule is."""
        return self._places[str(schedule)]

    def _now(self, steps: int, epochs: int) -> list[float]:
        return [
            schedule.value(epochs if schedule.unit == "epoch" else steps)
            for schedule in self.schedules
        ]

    def derive(self, steps: int, epochs: int, device: torch.device | None) -> None:
        """Make the numbers anew on a device."""
        self._progress = steps, epochs
        # Not as inference tensors, if a validation step comes first: training could not use them.
        with torch.inference_mode(mode=False):
            widest = torch.float32 if device is not None and device.type == "mps" else torch.float64
            self._exact = torch.tensor(self._now(steps, epochs), dtype=widest, device=device)
            self._unbound()

    def move(self, steps: int, epochs: int) -> None:
        """Set the numbers after steps or epochs were completed; does not wait for the device."""
        if not self.schedules:
            return
        self._progress = steps, epochs
        with torch.inference_mode(mode=False), torch.no_grad():
            self._exact = self._exact.clone()
            for view, number in zip(self._exact.unbind(), self._now(steps, epochs), strict=True):
                view.fill_(number)
            self._unbound()

    def _unbound(self) -> None:
        # Made here and not in a step, whose tensors may belong to a function transform.
        self._by_place = list(self._exact.unbind())

    def beside(self, tensor: Tensor, place: int) -> Tensor:
        """A number in the dtype in which it meets a tensor, and on the tensor's device.

        Half precision would round it, so it meets such a tensor in float32.
        """
        dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
        if torch.compiler.is_compiling():
            return self._exact[place].to(tensor.device, dtype)
        if self._exact.device != tensor.device:
            # The loss was not moved to the tensors' device; done once, because it may wait.
            self.derive(*self._progress, tensor.device)
        return self._by_place[place].to(dtype)
