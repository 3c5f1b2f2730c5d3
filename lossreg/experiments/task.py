"""What a task is made of: data, a network, and what is measured on held-out data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Measure", "Rows", "Task"]


class Rows(Dataset[dict[str, Tensor]]):
    """Named tensors with one row a sample; a batch is one indexing of each.

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
        """A whole batch at once, as torch's DataLoader asks for it."""
        return {name: tensor[list(indices)] for name, tensor in self.tensors.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One number that says how good a network is, and what it is compared with.

    Attributes:
        name: Its column in the metrics: `accuracy`.
        label: How a person would call it: `rebuild error (mse)`.
        per_sample: From a step's values to one number a sample; the measure is their mean.
        baseline: What something simple reaches on the same held-out data.
        baseline_name: What that is: `logistic regression on the pixels`.
        higher_is_better: Which way is up.
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
        model: Takes a batch, gives named outputs; the two together are a step's values.
        train: What it learns from.
        held_out: What it is measured on, and never learns from.
        measures: What is measured there.
        batch_size: Samples a batch, on each device.
        learning_rate: Adam's.
    """

    model: nn.Module
    train: Rows
    held_out: Rows
    measures: tuple[Measure, ...]
    batch_size: int
    learning_rate: float
