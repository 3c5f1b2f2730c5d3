"""The inputs that a term has of those that its loss knows; and those that are not one tensor."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lossreg.runtime.checks import check_alone
from lossreg.runtime.lookup import SEQUENCES, shown
from lossreg.runtime.reduction import Misfit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from lossreg.plugin import LossDefinition, LossInput

__all__ = ["check_others", "of_inputs", "tensors_in"]


def of_inputs(definition: LossDefinition, names: Collection[str]) -> LossDefinition:
    """The definition with the tensors among some of its inputs; itself if it has no others.

    Args:
        definition: The loss.
        names: The inputs that a term has.
    """
    inputs = tuple(
        argument
        for argument in definition.inputs
        if argument.name in names and argument.holds == "tensor"
    )
    if len(inputs) == len(definition.inputs):
        return definition
    narrowed = copy(definition)
    object.__setattr__(narrowed, "inputs", inputs)  # what the definition checks is as it was
    return narrowed


def tensors_in(value: Any) -> list[Tensor]:
    """The tensor, or those in a list; none in a number."""
    if isinstance(value, Tensor):
        return [value]
    return list(value) if isinstance(value, SEQUENCES) else []


def check_others(
    others: Sequence[LossInput],
    inputs: Mapping[str, Any],
    device: torch.device | None,
    *,
    values: bool,
) -> None:
    """Check the lists and the numbers among a term's inputs.

    Args:
        others: Those inputs.
        inputs: All inputs by name.
        device: Where the tensors are; None if there are none.
        values: Whether to check values as well, for which a number is read.

    Raises:
        Misfit: One does not fit the definition.
    """
    for argument in others:
        value = inputs[argument.name]
        if argument.holds == "number":
            _check_number(argument, value, values=values)
            continue
        if not isinstance(value, SEQUENCES):
            raise Misfit(argument.name, f"expected a list of tensors, found {shown(value)}")
        for place in range(len(value)):
            element = value[place]
            device = element.device if device is None else device
            check_alone(argument, element, f" at [{place}]", device, values=values)


def _check_number(argument: LossInput, value: Any, *, values: bool) -> None:
    if not isinstance(value, Tensor):
        if argument.dtype == "int" and not isinstance(value, int):
            raise Misfit(argument.name, f"expected a whole number, found {value}")
        if not values:
            return
        value = torch.tensor(value)
    elif value.dim():
        message = f"expected one number, found a tensor {shown(value)}"
        raise Misfit(argument.name, message)
    elif value.is_complex() or value.dtype == torch.bool:
        raise Misfit(argument.name, f"expected a number, found {value.dtype}")
    elif argument.dtype == "int" and value.is_floating_point():
        raise Misfit(argument.name, f"expected a whole number, found {value.dtype}")
    if values:
        check_alone(argument, value, "", None, values=True)
