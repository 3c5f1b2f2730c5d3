"""How a loss is called: which of its inputs go by position, and which by keyword."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from lossreg.plugin.definition import LossDefinition

__all__ = ["by_position_and_name", "called", "check_call", "shape_of_mask"]


def check_call(definition: LossDefinition) -> None:
    """Refuse a definition that does not say how its module is called.

    Raises:
        ValueError: Every input is optional, or `call` is not one of its words.
    """
    if all(argument.optional for argument in definition.inputs):
        raise ValueError("LossDefinition.inputs must have an input that is not optional")
    if definition.call not in ("position", "keyword"):
        raise ValueError(
            f"LossDefinition.call must be 'position' or 'keyword', not {definition.call!r}"
        )


def shape_of_mask(definition: LossDefinition) -> str:
    """The shape of the input that takes a term's mask.

    Raises:
        ValueError: There is no such input, or it cannot take a mask; or lossreg masks the loss,
            because it has a reduction `none`.
    """
    found = [argument for argument in definition.inputs if argument.name == definition.mask]
    wanted = "an optional input that is a tensor of one shape"
    if not found or not found[0].optional or found[0].holds != "tensor":
        raise ValueError(f"LossDefinition.mask must name {wanted}, not {definition.mask!r}")
    if len(found[0].letters.forms) != 1:
        raise ValueError(
            f"LossDefinition.mask must name {wanted}; {definition.mask!r} has the shape "
            f"{found[0].letters.text!r}"
        )
    if "none" in definition.reductions:
        raise ValueError(
            "LossDefinition.mask is for a loss without reduction 'none', which lossreg cannot mask"
        )
    return found[0].letters.text


def by_position_and_name(
    definition: LossDefinition, names: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The inputs that go by position, and those that go by keyword, each in order.

    From the first one that is left out, inputs go by keyword.

    Args:
        definition: The loss.
        names: The inputs that there are.
    """
    ordered = [argument.name for argument in definition.inputs]
    count = 0
    if definition.call == "position":
        absent = (place for place, name in enumerate(ordered) if name not in names)
        count = next(absent, len(ordered))
    return tuple(ordered[:count]), tuple(name for name in ordered[count:] if name in names)


def called(
    module: Callable[..., Any],
    inputs: Mapping[str, Any],
    by_position: Sequence[str],
    by_name: Sequence[str],
) -> Any:
    """The result of a loss for its inputs."""
    values = [inputs[name] for name in by_position]
    return module(*values, **{name: inputs[name] for name in by_name})
