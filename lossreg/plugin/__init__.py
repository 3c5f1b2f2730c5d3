"""Everything that the author of a plugin needs.

A plugin is a module, named by an entry point of the group `lossreg.losses`, that holds one
function marked with `hookimpl`:

    # pyproject.toml
    [project.entry-points."lossreg.losses"]
    focal = "my_package.focal"

    # my_package/focal.py
    class FocalConfig(LossConfig):
        gamma: float = Field(2.0, ge=0, description="How much easy examples count less.")

    def build(config: FocalConfig) -> nn.Module: ...

    @hookimpl
    def lossreg_losses() -> list[LossDefinition]:
        return [LossDefinition(name="focal", config=FocalConfig, build=build, ...)]

For an existing module class, `LossDefinition.from_module(FocalLoss)` is enough.
A task of `lossreg run` is likewise a `TaskDefinition` from the hook `lossreg_tasks`, in the group
`lossreg.tasks`; one module may implement both hooks.
"""

from __future__ import annotations

from pydantic import Field

from lossreg.plugin.choice import Choice, Chosen, Component
from lossreg.plugin.definition import (
    Denominator,
    LossDefinition,
    WorkedExample,
    not_ignored,
    target_weights,
)
from lossreg.plugin.fields import (
    ClassWeights,
    ElementWeights,
    IgnoreIndex,
    LossConfig,
    PositiveWeights,
    Reduction,
    to_tensor,
)
from lossreg.plugin.hooks import LossHooks, TaskHooks, hookimpl
from lossreg.plugin.inputs import Domain, DType, LossInput
from lossreg.plugin.problems import (
    Problem,
    aligned_weight,
    normalised_logits,
    several_classes,
    unnormalised,
)
from lossreg.plugin.task import TaskDefinition

__all__ = [
    "Choice",
    "Chosen",
    "ClassWeights",
    "Component",
    "DType",
    "Denominator",
    "Domain",
    "ElementWeights",
    "Field",
    "IgnoreIndex",
    "LossConfig",
    "LossDefinition",
    "LossHooks",
    "LossInput",
    "PositiveWeights",
    "Problem",
    "Reduction",
    "TaskDefinition",
    "TaskHooks",
    "WorkedExample",
    "aligned_weight",
    "hookimpl",
    "normalised_logits",
    "not_ignored",
    "several_classes",
    "target_weights",
    "to_tensor",
    "unnormalised",
]
