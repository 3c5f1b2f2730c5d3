"""The inputs that a term has of those that its loss knows."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from lossreg.plugin import LossDefinition

__all__ = ["of_inputs"]


def of_inputs(definition: LossDefinition, names: Collection[str]) -> LossDefinition:
    """The definition with some of its inputs only; itself if it has no others.

    Args:
        definition: The loss.
        names: The inputs that a term has.
    """
    inputs = tuple(argument for argument in definition.inputs if argument.name in names)
    if len(inputs) == len(definition.inputs):
        return definition
    narrowed = copy(definition)
    object.__setattr__(narrowed, "inputs", inputs)  # what the definition checks is as it was
    return narrowed
