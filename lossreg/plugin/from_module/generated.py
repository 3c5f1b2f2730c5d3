"""A definition from a module's class: its parameters and inputs, from the signatures."""

from __future__ import annotations

import copyreg
import inspect
import re
import sys
import types
import typing
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, cast, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
)

from lossreg.plugin.fields import (
    REDUCTION_MEANING,
    LossConfig,
    Reduction,
    is_tensor,
    marks,
    with_tensors,
)
from lossreg.plugin.from_module.annotations import Members, Refusal, type_of_parameter
from lossreg.plugin.from_module.docstrings import described_parameters, summary_of
from lossreg.plugin.inputs import ANY_SHAPE, LossInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor, nn

    from lossreg.plugin.from_module.docstrings import Described

__all__ = ["generated_fields"]

# Deprecated parameters that torch's own losses still accept.
_RETIRED = ("size_average", "reduce")


def generated_fields(
    module: type[nn.Module],
    name: str | None,
    config: type[LossConfig] | None,
    inputs: tuple[LossInput, ...] | None,
) -> dict[str, Any]:
    """The fields of a LossDefinition that follow from a module's class.

    Raises:
        TypeError: Something in a signature cannot be described, or the config does not fit.
    """
    torch = sys.modules.get("torch")
    if not (isinstance(module, type) and torch and issubclass(module, torch.nn.Module)):
        raise TypeError(f"from_module takes a class of torch.nn.Module, not {module!r}")
    if isinstance(config, type) and issubclass(config, LossConfig):
        _check_fit(module, config)  # LossDefinition itself refuses anything else
    model = generated_config(cast("Any", module)) if config is None else config
    return {
        "name": _snake_case(module.__name__) if name is None else name,
        "config": model,
        "build": ModuleBuilder(module, model),
        "inputs": _inputs(module) if inputs is None else inputs,
        "summary": summary_of(module.__doc__) or f"{module.__name__} of {module.__module__}",
        "unreduced": ANY_SHAPE,
        "generated": config is None,
    }


def _snake_case(name: str) -> str:
    """A class's name as a loss's.

    >>> [_snake_case(name) for name in ("FocalLoss", "NTXentLoss", "BCEDice", "L1Loss", "Loss")]
    ['focal', 'nt_xent', 'bce_dice', 'l1', 'loss']
    """
    stem = re.sub(r"_?(loss|criterion)$", "", name, flags=re.IGNORECASE) or name
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", stem).lower()


_Metaclass: Any = type(BaseModel)  # pydantic has no public name for it


class _Generated(_Metaclass):  # type: ignore[misc]
    """The metaclass of generated configs: a config's class is pickled as its module's class."""


class GeneratedConfig(LossConfig, metaclass=_Generated):
    """The base of generated configs."""

    # A parameter may well be called `model_name`.
    model_config = ConfigDict(protected_namespaces=())
    __source__: ClassVar[type[nn.Module] | None] = None


def _reduced(model: type[GeneratedConfig]) -> str | tuple[Any, ...]:
    if model.__source__ is None:
        return "GeneratedConfig"
    return generated_config, (model.__source__,)


copyreg.pickle(_Generated, _reduced)


@dataclass(frozen=True)
class ModuleBuilder:
    """Makes a module from a config whose fields are its parameters.

    Attributes:
        module: The class.
        config: The config's class.
    """

    module: type[nn.Module]
    config: type[LossConfig]

    def __call__(self, config: LossConfig) -> nn.Module:
        """The module; class weights become its buffers, so that they move with it."""
        arguments = dict(with_tensors(config))
        for name, field in self.config.model_fields.items():
            for mark in marks(field):
                if isinstance(mark, Members):
                    arguments[name] = mark.member(arguments[name])
        module = self.module(**arguments)
        for argument in arguments.values():
            if is_tensor(argument):
                _keep_as_buffer(module, argument)
        return module


def _keep_as_buffer(module: nn.Module, tensor: Tensor) -> None:
    for child in module.modules():
        for name in [name for name, value in vars(child).items() if value is tensor]:
            delattr(child, name)
            # Not persistent: the class's own state_dict does not have it.
            child.register_buffer(name, tensor, persistent=False)


@cache
def generated_config(module: type[nn.Module]) -> type[GeneratedConfig]:
    """The config of a module's parameters; the same class each time.

    Raises:
        TypeError: A parameter cannot be described.
    """
    fields: dict[str, Any] = {}
    refused: list[str] = []
    documented = _documented_parameters(module)
    for parameter, hint in _parameters(module, "__init__"):
        if parameter.name in _RETIRED and parameter.default is None:
            continue
        about = documented.get(parameter.name)
        try:
            kind = type_of_parameter(parameter, hint, about)
        except Refusal as refusal:
            refused.append(f"{parameter.name!r} {refusal}")
            continue
        fields[parameter.name] = kind, _field(module, parameter, kind, about)
    if refused:
        raise _cannot_describe(module, refused)
    model: type[GeneratedConfig] = create_model(
        f"{module.__name__}Config",
        __base__=GeneratedConfig,
        __doc__=summary_of(module.__doc__) or f"The parameters of {module.__name__}.",
        __module__=module.__module__,
        **fields,
    )
    model.__source__ = module
    try:
        model()
    except ValidationError as error:
        wrong = [str(fault["loc"][0]) for fault in error.errors() if fault["type"] != "missing"]
        if wrong:
            names = [f"{name!r} has a default that is not of its type" for name in wrong]
            raise _cannot_describe(module, list(dict.fromkeys(names))) from None
    return model


def _field(
    module: type[nn.Module], parameter: inspect.Parameter, kind: Any, about: Described | None
) -> Any:
    """A parameter's default and description."""
    text = about.text if about is not None else ""
    if not text:
        text = f"The parameter {parameter.name} of {module.__name__}."
        text = REDUCTION_MEANING if kind is Reduction else text
    default = parameter.default
    if isinstance(default, Enum):
        default = default.value
    is_list = list in [get_origin(arm) for arm in (kind, *get_args(kind))]
    if isinstance(default, tuple) and is_list:
        default = list(default)  # authors write immutable defaults for lists
    return Field(... if default is parameter.empty else default, description=text)


def _cannot_describe(module: type, refused: list[str]) -> TypeError:
    return TypeError(
        f"{module.__name__} cannot be described by its signature: {'; '.join(refused)}. Write a "
        "LossConfig by hand and give it to from_module as config"
    )


def _documented_parameters(module: type[nn.Module]) -> dict[str, Described]:
    """The parameters that a class, its constructor and its bases describe in their docstrings."""
    documented: dict[str, Described] = {}
    for base in module.__mro__:
        for text in (base.__doc__, getattr(vars(base).get("__init__"), "__doc__", None)):
            documented = {**described_parameters(text), **documented}
    return documented


def _parameters(module: type[nn.Module], method: str) -> Iterator[tuple[inspect.Parameter, Any]]:
    """Each parameter of a method with its annotation, resolved; a Refusal if it cannot be."""
    if getattr(module, method) is getattr(sys.modules["torch"].nn.Module, method):
        return  # torch's own takes any argument, and passes it on
    function = inspect.unwrap(getattr(module, method))
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        hint = parameter.annotation
        if hint is parameter.empty:
            yield parameter, parameter.empty
            continue
        # One at a time: if one is unknown, Python resolves none of them.
        single = types.SimpleNamespace(__annotations__={parameter.name: hint})
        scope = {**vars(typing), **_torch_names(), **getattr(function, "__globals__", {})}
        try:
            hint = typing.get_type_hints(single, scope, include_extras=True)[parameter.name]
        except Exception as error:  # noqa: BLE001 - an annotation may be any expression
            hint = Refusal(f"is annotated {hint!r}, which cannot be resolved ({error})")
        yield parameter, hint


def _torch_names() -> dict[str, Any]:
    """Names that modules often import only for type checking, so that they lack them."""
    torch = sys.modules["torch"]
    return {"torch": torch, "nn": torch.nn, "Tensor": torch.Tensor}


def _check_fit(module: type[nn.Module], config: type[LossConfig]) -> None:
    """Refuse a hand-written config whose fields are not the module's parameters."""
    fields, problems = config.model_fields, []
    takes_more = False
    known = set()
    for parameter, _ in _parameters(module, "__init__"):
        known.add(parameter.name)
        takes_more = takes_more or parameter.kind is parameter.VAR_KEYWORD
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.default is parameter.empty and parameter.name not in fields:
            problems.append(f"no field for the parameter {parameter.name!r}")
    unknown = [] if takes_more else [name for name in fields if name not in known]
    problems += [f"a field {name!r} that is not a parameter" for name in unknown]
    if problems:
        raise TypeError(f"{config.__name__} has {', and '.join(problems)} of {module.__name__}")


def _inputs(module: type[nn.Module]) -> tuple[LossInput, ...]:
    """The required arguments of forward."""
    documented: Mapping[str, Described] = {
        **_documented_parameters(module),
        **described_parameters(module.forward.__doc__),
    }
    inputs: list[LossInput] = []
    for parameter, _ in _parameters(module, "forward"):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.default is not parameter.empty:
            continue
        if parameter.kind is parameter.KEYWORD_ONLY:
            raise TypeError(
                f"{module.__name__}.forward takes {parameter.name!r} only by keyword, but a loss "
                "is called by position"
            )
        text = documented[parameter.name].text if parameter.name in documented else ""
        inputs.append(
            LossInput(
                name=parameter.name,
                meaning=text or f"the argument {parameter.name} of {module.__name__}",
                dtype="float or int" if inputs else "float",
                shape=ANY_SHAPE,
                gradient=not inputs,
            )
        )
    if not inputs:
        raise TypeError(
            f"{module.__name__}.forward has no named argument; pass `inputs` to from_module"
        )
    return tuple(inputs)
