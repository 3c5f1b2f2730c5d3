"""The inputs of a loss, from the arguments of its forward."""

from __future__ import annotations

import collections.abc
import inspect
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args, get_origin

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
        call: How they are given.
    """

    inputs: tuple[LossInput, ...]
    not_offered: Mapping[str, str]
    call: Literal["position", "keyword"]


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
    call: Literal["position", "keyword"] = "position"
    names = [argument.parameter.name for argument in arguments if _is_required(argument)]
    chosen = gradient if gradient is not None else _first(names)
    for argument in arguments:
        parameter = argument.parameter
        if argument.gathers:
            continue
        if not (_is_required(argument) or _may_be_left_out(argument)):
            not_offered[parameter.name] = f"is left at {_default(parameter)} in each call"
            continue
        _check(name, argument)
        if parameter.kind is parameter.KEYWORD_ONLY:
            call = "keyword"
        text = documented[parameter.name].text if parameter.name in documented else ""
        inputs.append(
            LossInput(
                name=parameter.name,
                meaning=text or f"the argument {parameter.name} of {name.removesuffix('.forward')}",
                dtype="float" if parameter.name in chosen else "float or int",
                shape=ANY_SHAPE,
                gradient=parameter.name in chosen,
                optional=not _is_required(argument),
            )
        )
    if not names:
        raise TypeError(f"{name} is not called with a named argument; pass `inputs`")
    return Inputs(tuple(inputs), not_offered, call)


def _is_required(argument: Argument) -> bool:
    return not argument.gathers and argument.parameter.default is inspect.Parameter.empty


def _may_be_left_out(argument: Argument) -> bool:
    return argument.parameter.default is None and _may_be_tensor(argument.hint)


def _default(parameter: inspect.Parameter) -> str:
    return repr(parameter.default)[:40]


def _first(names: Sequence[str]) -> tuple[str, ...]:
    moving = [name for name in names if name.partition("_")[0].lower() not in _FIXED]
    return tuple((moving or names)[:1])


def _check(name: str, argument: Argument) -> None:
    """Refuse an argument that is not a tensor."""
    parameter, hint = argument.parameter, argument.hint
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
