"""An objective's values between two entries of the Trainer's log."""

from __future__ import annotations

import torch
from torch import Tensor

from lossreg.integrations.accumulation import mean_over_ranks
from lossreg.runtime.output import LossOutput

__all__ = ["StepLog", "numbers_of"]


class StepLog:
    """The mean over optimizer steps of everything that an objective logs."""

    def __init__(self) -> None:
        self._keys: tuple[str, ...] = ()
        self._sums: Tensor | None = None
        self._steps = 0

    def add(self, out: LossOutput) -> None:
        """Add a step, as `OptimizerStep.summed` gives it on this rank; each rank must call it."""
        logged = mean_over_ranks(out).log_dict()
        self._keys = tuple(logged)
        values = torch.stack([value.detach().to(out.total) for value in logged.values()])
        self._sums = values if self._sums is None else self._sums + values
        self._steps += 1

    def take(self) -> dict[str, float]:
        """The means since the last call; nothing if there was no step."""
        if self._sums is None:
            return {}
        numbers = (self._sums / self._steps).tolist()
        self._sums, self._steps = None, 0
        return dict(zip(self._keys, numbers, strict=True))


def numbers_of(out: LossOutput, prefix: str) -> dict[str, float]:
    """An output under flat keys, as numbers."""
    logged = out.log_dict(prefix)
    values = torch.stack([value.to(out.total) for value in logged.values()]).tolist()
    return dict(zip(logged, values, strict=True))
