"""The parts of a task: data, a network, and measures on held-out data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Measure", "Rows", "Task"]


class Rows(Dataset[dict[str, Tensor]]):
    """Named tensors with one row for each sample; a batch indexes each tensor once.

    Args:
        tensors: The tensors, all of the same length.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = dict(tensors)

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: tensor[index] for name, tensor in self.tensors.items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """A whole batch at once, for torch's DataLoader."""
        return {name: tensor[list(indices)] for name, tensor in self.tensors.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One number that says how good a network is, and its baseline.

    Attributes:
        name: Its column in the metrics: `accuracy`.
        label: Its name for people: `rebuild error (mse)`.
        per_sample: From a step's values to one number for each sample; the measure is their mean.
        baseline: The value of a simple method on the same held-out data.
        baseline_name: The simple method: `logistic regression on the pixels`.
        higher_is_better: Whether a higher value is better.
    """

    name: str
    label: str
    per_sample: Callable[[Mapping[str, Any]], Tensor]
    baseline: float
    baseline_name: str
    higher_is_better: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A task, ready to be trained.

    Attributes:
        model: Takes a batch and returns named outputs; both together are a step's values.
        train: The training data.
        held_out: The data for the measures, which are never trained on.
        measures: The measures on the held-out data.
        batch_size: The number of samples in a batch, on each device.
        learning_rate: Adam's learning rate.
    """

    model: nn.Module
    train: Rows
    held_out: Rows
    measures: tuple[Measure, ...]
    batch_size: int
    learning_rate: float
