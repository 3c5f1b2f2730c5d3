"""The config of a class's or a function's parameters, generated from its signature."""

from __future__ import annotations

import copyreg
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, get_origin

from pydantic import BaseModel, ConfigDict, Field, create_model

from lossreg.plugin.fields import LossConfig
from lossreg.plugin.from_module.annotations import (
    Members,
    Refusal,
    bounded,
    type_of_parameter,
    words_of_field,
)
from lossreg.plugin.from_module.docstrings import summary_of
from lossreg.plugin.from_module.signatures import (
    constructor_arguments,
    documented_arguments,
    function_arguments,
)

if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from torch import nn

    from lossreg.plugin.from_module.docstrings import Described
    from lossreg.plugin.from_module.options import Options
    from lossreg.plugin.from_module.signatures import Argument

    Source: TypeAlias = type[nn.Module] | Callable[..., Any]

__all__ = ["generated_config", "is_parameter", "offered_arguments"]

# Deprecated parameters that torch's own losses still accept.
_RETIRED = ("size_average", "reduce")
_REDUCTIONS = ("mean", "sum", "none")

_Metaclass: Any = type(BaseModel)  # pydantic has no public name for it


class _Generated(_Metaclass):  # type: ignore[misc]
    """The metaclass of generated configs: a config's class is pickled as its module's class."""


class GeneratedConfig(LossConfig, metaclass=_Generated):
    """The base of generated configs.

    Attributes:
        __source__: What it was generated from.
        __not_offered__: The parameters without a field, each with the reason.
    """

    # A parameter may well be called `model_name`.
    model_config = ConfigDict(protected_namespaces=())
    __source__: ClassVar[tuple[Source, Options] | None] = None
    __not_offered__: ClassVar[Mapping[str, str]] = {}


def _reduced(model: type[GeneratedConfig]) -> str | tuple[Any, ...]:
    return "GeneratedConfig" if model.__source__ is None else (generated_config, model.__source__)


copyreg.pickle(_Generated, _reduced)


def is_parameter(argument: Argument) -> bool:
    """Whether an argument of a function is a parameter of the loss, and not an input."""
    parameter = argument.parameter
    if argument.gathers or parameter.kind is parameter.KEYWORD_ONLY:
        return True
    return parameter.default is not parameter.empty


def offered_arguments(source: Source) -> list[Argument]:
    """The arguments that may be parameters of the loss."""
    if not isinstance(source, type):
        return [argument for argument in function_arguments(source) if is_parameter(argument)]
    return [
        argument
        for argument in constructor_arguments(source)
        if not (argument.parameter.name in _RETIRED and argument.parameter.default is None)
    ]


class _Offered(NamedTuple):
    """A field: its type, its default, and the class's words that it does not take."""

    kind: Any
    default: Any
    others: tuple[str, ...] = ()


@cache
def generated_config(source: Source, options: Options) -> type[GeneratedConfig]:
    """The config of a loss's parameters; the same class each time.

    Raises:
        TypeError: A parameter that must be given cannot be described, or an option does not fit.
    """
    fields: dict[str, Any] = {}
    not_offered: dict[str, str] = {}
    refused: list[str] = []
    documented = documented_arguments(source)
    for argument in offered_arguments(source):
        name, parameter = argument.parameter.name, argument.parameter
        about = documented.get(name)
        try:
            kind, default, others = _offered(argument, about, options)
        except Refusal as refusal:
            if parameter.default is parameter.empty and not argument.gathers:
                refused.append(f"{name!r} {refusal}")
            not_offered[name] = str(refusal)
            continue
        fields[name] = kind, _field(source, name, default, about)
        if others:
            not_offered[name] = f"is not offered as {' or '.join(others)}, which was not tried"
    if refused:
        way = "from_module" if isinstance(source, type) else "from_function"
        raise TypeError(
            f"{source.__name__} cannot be described by its signature: {'; '.join(refused)}. Give "
            f"the types that YAML can hold as types={{name: type}}, or write a LossConfig by hand "
            f"and give it to {way} as config"
        )
    model: type[GeneratedConfig] = create_model(
        f"{source.__name__}Config",
        __base__=GeneratedConfig,
        __doc__=summary_of(source.__doc__) or f"The parameters of {source.__name__}.",
        __module__=source.__module__,
        **fields,
    )
    model.__source__ = source, options
    model.__not_offered__ = not_offered
    return model


def _offered(argument: Argument, about: Described | None, options: Options) -> _Offered:
    """The type and default of a parameter's field; a Refusal if it is not offered."""
    parameter = argument.parameter
    name, default = parameter.name, parameter.default
    if name in options.leave_out:
        if default is parameter.empty:
            raise TypeError(f"leave_out: {name!r} has no default, so it must be given")
        raise Refusal("is left out")
    kind = type_of_parameter(parameter, options.hint(name, argument.hint), about)
    if name in options.bounds:
        try:
            kind = bounded(kind, options.bounds[name])
        except TypeError as error:
            raise TypeError(f"bounds: {name!r}: {error}") from None
    if isinstance(default, Enum):
        default = default.value
    if name == "reduction":
        return _reduction(parameter, kind, default, options)
    if isinstance(default, tuple) and _takes_list(kind):
        default = list(default)  # authors write immutable defaults for lists
    return _Offered(kind, ... if default is parameter.empty else default)


def _takes_list(kind: Any) -> bool:
    return any(get_origin(arm) is list for arm in (kind, *getattr(kind, "__args__", ())))


def _reduction(parameter: inspect.Parameter, kind: Any, default: Any, options: Options) -> _Offered:
    """Of the words of `reduction`, those that were asked for; by default only `mean`.

    What a library calls `sum` or `none` need not be what the others are made of.
    """
    words = words_of_field(kind)
    if default not in (*_REDUCTIONS, parameter.empty):
        raise Refusal(f"has a default of its own, {default!r}")
    chosen = options.reductions or (("sum",) if default == "sum" else ("mean",))
    unknown = [word for word in chosen if word not in (words or _REDUCTIONS)]
    if unknown and options.reductions is None:
        raise TypeError(f"its reduction has no 'mean', but {words}: say which as reductions=(...)")
    if unknown:
        raise TypeError(f"reductions: {unknown[0]!r} is not one of {words or _REDUCTIONS}")
    # A term must be one number, whatever the class does by default.
    own = default if default in chosen and default != "none" else None
    first = "mean" if "mean" in chosen else chosen[0]
    choice: Any = Literal
    members = [mark for mark in getattr(kind, "__metadata__", ()) if isinstance(mark, Members)]
    chosen_kind: Any = choice[tuple(chosen)]
    for mark in members:
        chosen_kind = Annotated[chosen_kind, mark]
    others = tuple(str(word) for word in words or _REDUCTIONS if word not in chosen)
    return _Offered(chosen_kind, own or first, others)


def _field(source: Source, name: str, default: Any, about: Described | None) -> Any:
    """A parameter's default and description."""
    text = about.text if about is not None else ""
    if not text:
        text = f"The parameter {name} of {source.__name__}."
        text = "How the loss becomes one value." if name == "reduction" else text
    return Field(default, description=text)
