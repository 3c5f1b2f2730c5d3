"""The frozen models that a config becomes. Imports nothing that reads one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lossreg.config.trainer import TrainerConfig
    from lossreg.inputs import Path
    from lossreg.plugin import LossConfig, LossDefinition

__all__ = ["TASKS", "CompositeConfig", "ExperimentConfig", "TermConfig"]

TASKS = ("digits",)
"""The tasks that `lossreg.experiments` bundles."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TermConfig:
    """One named, weighted, routed loss.

    Attributes:
        name: The term's name.
        type: The loss's name, as written.
        definition: The loss definition of that name.
        params: Its validated parameters.
        weight: What the raw value is multiplied by.
        inputs: For each forward argument, in order, where its tensor is.
        enabled: Whether the term is built.
    """

    name: str
    type: str
    definition: LossDefinition
    params: LossConfig
    weight: float
    inputs: Mapping[str, Path]
    enabled: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class CompositeConfig:
    """A composite objective.

    Attributes:
        terms: Its terms, in the order of the file, the disabled ones included.
    """

    terms: tuple[TermConfig, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentConfig:
    """A bundled task, trained with an objective.

    Attributes:
        task: The task's name.
        seed: Seeds every random generator.
        trainer: Options for Lightning's Trainer.
        loss: The objective.
    """

    task: str
    seed: int
    trainer: TrainerConfig
    loss: CompositeConfig
