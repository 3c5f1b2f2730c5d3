"""An objective's mean over an evaluation set."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor
from torch.utils import _pytree
from transformers.trainer_pt_utils import find_batch_size

from lossreg.integrations.averaging import Average
from lossreg.runtime.composite import CompositeLoss
from lossreg.runtime.output import LossOutput

__all__ = ["Evaluation"]


class Evaluation:
    """The batches of one evaluation or prediction.

    Args:
        objective: The objective.
        accelerator: The Trainer's, which knows what is repeated in the last batch.
        is_prediction: Whether the targets may be missing.
    """

    def __init__(self, objective: CompositeLoss, accelerator: Any, *, is_prediction: bool) -> None:
        self.is_prediction = is_prediction
        self._objective = objective
        self._accelerator = accelerator
        self._average = Average(objective)
        self._is_fed = False

    def add(self, inputs: Any, values: Any) -> Tensor:
        """Add a batch to the mean.

        Args:
            inputs: The batch, which tells its size.
            values: Its values.

        Returns:
            The batch's own total, for `include_for_metrics`; Trainer's mean of these is replaced.
        """
        size = find_batch_size(inputs) or 1
        kept = self._kept_rows(size)
        real = values if kept == size else _pytree.tree_map(partial(_cut, size, kept), values)
        if kept or not self._is_fed:  # each rank must have had a batch
            self._average.add(real, kept)
            self._is_fed = True
        # Trainer drops the total of a batch without rows, but gathers it in the others' dtype.
        total: Tensor = self._objective(real if kept else values).total
        return total

    def mean(self) -> LossOutput | None:
        """The mean over the batches of all ranks; None if there was none."""
        return self._average.mean()

    def _kept_rows(self, size: int) -> int:
        """How many of a batch's rows are not repeated to give each rank equally many."""
        state = self._accelerator.gradient_state
        is_filled = state.end_of_dataloader and state.remainder > 0
        if self._accelerator.num_processes == 1 or not is_filled:
            return size
        before = self._accelerator.process_index * size
        return int(min(max(state.remainder - before, 0), size))


def _cut(size: int, kept: int, value: Any) -> Any:
    """The first rows of a tensor that has the batch's."""
    is_rows = isinstance(value, Tensor) and value.dim() > 0 and len(value) == size
    return value[:kept] if is_rows else value
