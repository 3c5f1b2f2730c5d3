"""The inputs of a loss, from the arguments of its forward."""

from __future__ import annotations

import collections.abc
import inspect
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_origin

from lossreg.plugin.from_module.annotations import Refusal, is_tensor_type
from lossreg.plugin.inputs import ANY_SHAPE, LossInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lossreg.plugin.from_module.docstrings import Described
    from lossreg.plugin.from_module.signatures import Argument

__all__ = ["Inputs", "generated_inputs"]

# The first words of arguments that a loss is rarely differentiated by.
_FIXED = ("gt", "label", "labels", "target", "targets", "teacher")


class Inputs(NamedTuple):
    """The inputs of a loss.

    Attributes:
        inputs: What is bound in a config.
        not_offered: The other arguments of forward, each with the reason.
    """

    inputs: tuple[LossInput, ...]
    not_offered: Mapping[str, str]


def generated_inputs(
    name: str,
    arguments: Sequence[Argument],
    documented: Mapping[str, Described],
    gradient: tuple[str, ...] | None,
) -> Inputs:
    """The inputs of a loss that is called with some arguments.

    Args:
        name: The class's or the function's.
        arguments: Those of forward, or those of the function that are not parameters.
        documented: What docstrings say of them.
        gradient: The inputs that it is differentiated by; by default, the first that is not called
            a target, a label or a teacher's.

    Raises:
        TypeError: There is none; or one that must be given cannot be.
    """
    inputs: list[LossInput] = []
    not_offered: dict[str, str] = {}
    required = [argument for argument in arguments if not _is_optional(argument)]
    names = [argument.parameter.name for argument in required]
    for argument in arguments:
        parameter = argument.parameter
        if argument.gathers or argument not in required:
            if not argument.gathers:
                not_offered[parameter.name] = f"is left at {_default(parameter)} in each call"
            continue
        _check(name, argument)
        text = documented[parameter.name].text if parameter.name in documented else ""
        chosen = gradient if gradient is not None else _first(names)
        inputs.append(
            LossInput(
                name=parameter.name,
                meaning=text or f"the argument {parameter.name} of {name.removesuffix('.forward')}",
                dtype="float" if parameter.name in chosen else "float or int",
                shape=ANY_SHAPE,
                gradient=parameter.name in chosen,
            )
        )
    if not inputs:
        raise TypeError(f"{name} is not called with a named argument; pass `inputs`")
    return Inputs(tuple(inputs), not_offered)


def _is_optional(argument: Argument) -> bool:
    return argument.gathers or argument.parameter.default is not inspect.Parameter.empty


def _default(parameter: inspect.Parameter) -> str:
    return repr(parameter.default)[:40]


def _first(names: Sequence[str]) -> tuple[str, ...]:
    moving = [name for name in names if name.partition("_")[0].lower() not in _FIXED]
    return tuple((moving or names)[:1])


def _check(name: str, argument: Argument) -> None:
    """Refuse an argument that is not a tensor, or cannot be given by position."""
    parameter, hint = argument.parameter, argument.hint
    if parameter.kind is parameter.KEYWORD_ONLY:
        raise TypeError(
            f"{name} takes {parameter.name!r} only by keyword, but a loss is called by position"
        )
    if not _may_be_tensor(hint):
        shown = getattr(hint, "__name__", None) or str(hint)
        raise TypeError(
            f"{name} is called with {parameter.name!r}, which is {shown} and not a tensor; write "
            "a module that takes tensors, or pass `inputs`"
        )


def _may_be_tensor(hint: Any) -> bool:
    """Whether an argument may be a tensor, as far as its annotation says."""
    if hint in (inspect.Parameter.empty, Any) or isinstance(hint, Refusal | str):
        return True
    if is_tensor_type(hint):
        return True
    origin = get_origin(hint)
    if origin in (list, tuple, dict, collections.abc.Callable):
        return False
    arms = [arm for arm in get_args(hint) if arm is not type(None)]
    if arms:
        return any(map(_may_be_tensor, arms))
    return hint not in (bool, int, float, str, list, tuple, dict) and not (
        isinstance(hint, type) and issubclass(hint, dict)
    )
