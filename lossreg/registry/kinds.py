"""The kinds of plugins. The rest of the registry is written once for all kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from lossreg.errors import (
    DuplicateLossError,
    DuplicateNameError,
    UnknownLossError,
    UnknownNameError,
)
from lossreg.names import closest, guessed_loss
from lossreg.plugin import LossDefinition, TaskDefinition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["KINDS", "LOSSES", "TASKS", "Kind", "Record", "RecordT"]

Record: TypeAlias = LossDefinition | TaskDefinition
"""A plugin's description of one thing that it provides."""

RecordT = TypeVar("RecordT", bound=Record)


class Kind(Generic[RecordT]):
    """One kind of plugin.

    Args:
        noun: Its name in messages: `loss`.
        group: The entry-point group that names its plugins.
        hook: The hook that returns its records.
        record: The class of the records.
        guess: Given an unknown name, and the known names with their modules, returns the name
            that was probably meant, or None; and a remark.
        unknown: The error for a name that no plugin has.
        duplicate: The error for a name that several plugins claim.
    """

    def __init__(
        self,
        noun: str,
        group: str,
        hook: str,
        record: type[RecordT],
        *,
        guess: Callable[[object, Mapping[str, str]], tuple[str | None, str]],
        unknown: type[UnknownNameError] = UnknownNameError,
        duplicate: type[DuplicateNameError] = DuplicateNameError,
    ) -> None:
        self.noun = noun
        self.group = group
        self.hook = hook
        self.record = record
        self.guess = guess
        self.unknown = unknown
        self.duplicate = duplicate

    @property
    def plural(self) -> str:
        """Its plural in messages: `losses`."""
        return self.group.rpartition(".")[2]


def _near(name: object, names: Mapping[str, str]) -> tuple[str | None, str]:
    return closest(name, names), ""


LOSSES = Kind(
    "loss",
    "lossreg.losses",
    "lossreg_losses",
    LossDefinition,
    guess=guessed_loss,
    unknown=UnknownLossError,
    duplicate=DuplicateLossError,
)
TASKS = Kind("task", "lossreg.tasks", "lossreg_tasks", TaskDefinition, guess=_near)

KINDS: tuple[Kind[Any], ...] = (LOSSES, TASKS)
"""Every kind."""
