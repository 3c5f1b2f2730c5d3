"""The record of one task that `lossreg run` can train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lossreg.plugin.definition import checked_name

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TaskDefinition"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskDefinition:
    """A plugin's description of one task.

    Attributes:
        name: The task's name, the same as its entry point's.
        summary: What the task is, in one line.
        build: Makes the `lossreg.experiments.task.Task`: loads the data, makes the network. It
            takes no arguments, and is the place to import torch.

    Raises:
        TypeError: A field is of the wrong type.
        ValueError: The name is empty or has other characters than letters, digits, `_` and `-`.
    """

    name: str
    summary: str
    build: Callable[[], object]

    def __post_init__(self) -> None:
        checked_name(self)
        if not callable(self.build):
            raise TypeError(f"TaskDefinition.build must be callable, not {self.build!r}")
