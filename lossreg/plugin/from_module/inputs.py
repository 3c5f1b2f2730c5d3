"""The inputs of a loss, from the arguments of its forward."""

from __future__ import annotations

import collections.abc
import inspect
import types
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from lossreg.plugin.from_module.annotations import Refusal, is_tensor_type
from lossreg.plugin.inputs import ANY_SHAPE, LossInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lossreg.plugin.from_module.docstrings import Described
    from lossreg.plugin.from_module.signatures import Argument
    from lossreg.plugin.inputs import Holds

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

    What has a default is an input that may be left out.

    Args:
        name: The class's forward, or the function.
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
        parameter, holds = argument.parameter, _holds(argument)
        if argument.gathers:
            continue
        if holds is None and not _is_required(argument):
            not_offered[parameter.name] = f"is left at {_default(parameter)} in each call"
            continue
        if holds is None:
            raise _cannot_hold(name, argument)
        if parameter.kind is parameter.KEYWORD_ONLY:
            call = "keyword"
        text = documented[parameter.name].text if parameter.name in documented else ""
        own_name = name.removesuffix(".forward")
        inputs.append(
            LossInput(
                name=parameter.name,
                meaning=text or f"the argument {parameter.name} of {own_name}",
                dtype="float" if parameter.name in chosen else "float or int",
                shape=ANY_SHAPE,
                gradient=parameter.name in chosen,
                optional=not _is_required(argument),
                holds=holds,
            )
        )
    if not names:
        raise TypeError(f"{name} is not called with a named argument; pass `inputs`")
    return Inputs(tuple(inputs), not_offered, call)


def _is_required(argument: Argument) -> bool:
    return not argument.gathers and argument.parameter.default is inspect.Parameter.empty


def _default(parameter: inspect.Parameter) -> str:
    return repr(parameter.default)[:40]


def _first(names: Sequence[str]) -> tuple[str, ...]:
    moving = [name for name in names if name.partition("_")[0].lower() not in _FIXED]
    return tuple((moving or names)[:1])


def _cannot_hold(name: str, argument: Argument) -> TypeError:
    shown = getattr(argument.hint, "__name__", None) or str(argument.hint)
    return TypeError(
        f"{name} is called with {argument.parameter.name!r}, which is {shown}: not a tensor, a "
        "list of tensors or a number; write a module that takes them, or pass `inputs`"
    )


def _holds(argument: Argument) -> Holds | None:
    """What an argument may be, as far as its annotation says, or else its default."""
    hint, default = argument.hint, argument.parameter.default
    is_unknown = hint in (inspect.Parameter.empty, Any) or isinstance(hint, Refusal | str)
    if is_unknown and default not in (inspect.Parameter.empty, None):
        hint = type(default)
    elif is_unknown:
        return "tensor"
    kinds = [_kind(arm) for arm in get_args(hint) or (hint,)] if _is_union(hint) else [_kind(hint)]
    return next((kind for kind in ("tensor", "list", "number") if kind in kinds), None)


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _kind(hint: Any) -> Holds | None:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in (int, float):
        return "number"
    if origin in (list, tuple, collections.abc.Sequence):
        members = [_kind(member) for member in arguments if member is not ...]
        return "list" if members and set(members) == {"tensor"} else None
    if origin is Annotated:
        return _kind(arguments[0])
    if _is_union(hint):
        return "tensor" if any(_kind(arm) == "tensor" for arm in arguments) else None
    if is_tensor_type(hint) or isinstance(hint, TypeVar):
        return "tensor"
    return None
