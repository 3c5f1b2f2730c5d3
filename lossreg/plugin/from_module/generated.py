"""A definition from a module's class, or from a function, by their signatures."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from lossreg.plugin.fields import LossConfig, is_tensor, marks, with_tensors
from lossreg.plugin.from_module.annotations import Members
from lossreg.plugin.from_module.docstrings import described_parameters, summary_of
from lossreg.plugin.from_module.inputs import generated_inputs
from lossreg.plugin.from_module.naming import loss_name
from lossreg.plugin.from_module.parameters import (
    generated_config,
    is_parameter,
    offered_arguments,
)
from lossreg.plugin.from_module.signatures import (
    documented_arguments,
    forward_arguments,
    function_arguments,
)
from lossreg.plugin.inputs import ANY_SHAPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

    from lossreg.plugin.from_module.docstrings import Described
    from lossreg.plugin.from_module.options import Options
    from lossreg.plugin.from_module.signatures import Argument
    from lossreg.plugin.inputs import LossInput

__all__ = ["fields_of_function", "fields_of_module"]


class _Source(NamedTuple):
    """What a definition is generated from.

    Attributes:
        owner: The class or the function.
        make: Makes the module from the parameters, given by name.
        parameters: What may be parameters of the loss.
        called_with: What it is called with.
        documented: What docstrings say of both.
    """

    owner: Any
    make: Callable[..., nn.Module]
    parameters: list[Argument]
    called_with: list[Argument]
    documented: Mapping[str, Described]


def fields_of_module(
    module: type[nn.Module],
    name: str | None,
    config: type[LossConfig] | None,
    inputs: tuple[LossInput, ...] | None,
    options: Options,
) -> dict[str, Any]:
    """The fields of a LossDefinition that follow from a module's class.

    Raises:
        TypeError: Something in a signature cannot be described, or the config does not fit.
    """
    torch = sys.modules.get("torch")
    if not (isinstance(module, type) and torch and issubclass(module, torch.nn.Module)):
        raise TypeError(f"from_module takes a class of torch.nn.Module, not {module!r}")
    documented = {
        **documented_arguments(module),
        **described_parameters(module.forward.__doc__),
    }
    parameters = offered_arguments(module)
    source = _Source(module, module, parameters, forward_arguments(module), documented)
    return _fields(source, name, config, inputs, options)


def fields_of_function(
    function: Callable[..., Tensor],
    name: str | None,
    config: type[LossConfig] | None,
    inputs: tuple[LossInput, ...] | None,
    options: Options,
) -> dict[str, Any]:
    """The fields of a LossDefinition that follow from a function.

    Raises:
        TypeError: Something in its signature cannot be described, or the config does not fit.
    """
    from lossreg.plugin.from_module.functions import FunctionLoss

    if not inspect.isfunction(function) or "<" in function.__qualname__:
        raise TypeError(
            f"from_function takes a function at the top level of a module, not {function!r}"
        )
    called_with = [arg for arg in function_arguments(function) if not is_parameter(arg)]
    source = _Source(
        function,
        partial(FunctionLoss, function),
        offered_arguments(function),
        called_with,
        documented_arguments(function),
    )
    return _fields(source, name, config, inputs, options)


def _fields(
    source: _Source,
    name: str | None,
    config: type[LossConfig] | None,
    inputs: tuple[LossInput, ...] | None,
    options: Options,
) -> dict[str, Any]:
    owner = source.owner
    options.check_names(
        owner.__name__,
        (argument.parameter.name for argument in source.parameters),
        (argument.parameter.name for argument in source.called_with),
    )
    if isinstance(config, type) and issubclass(config, LossConfig):
        _check_fit(source, config)  # LossDefinition itself refuses anything else
    model: Any = config
    not_offered: dict[str, str] = {}
    call = "position"
    if config is None:
        model = generated_config(owner, options)
        not_offered |= model.__not_offered__
    if inputs is None:
        inputs, others, call = generated_inputs(
            f"{owner.__name__}.forward" if isinstance(owner, type) else owner.__name__,
            source.called_with,
            source.documented,
            options.gradient,
        )
        not_offered |= {key: reason for key, reason in others.items() if key not in not_offered}
    return {
        "name": loss_name(owner.__name__) if name is None else name,
        "config": model,
        "build": Builder(source.make, model),
        "inputs": inputs,
        "summary": summary_of(owner.__doc__) or f"{owner.__name__} of {owner.__module__}",
        "unreduced": ANY_SHAPE,
        "compiles": None,
        "generated": config is None,
        "not_offered": not_offered,
        "call": call,
    }


@dataclass(frozen=True)
class Builder:
    """Makes a module from a config whose fields are its parameters.

    Attributes:
        make: The class, or what takes its place.
        config: The config's class.
    """

    make: Callable[..., nn.Module]
    config: type[LossConfig]

    def __call__(self, config: LossConfig) -> nn.Module:
        """The module; class weights become its buffers, so that they move with it."""
        arguments = dict(with_tensors(config))
        for name, field in self.config.model_fields.items():
            for mark in marks(field):
                if isinstance(mark, Members):
                    arguments[name] = mark.member(arguments[name])
        module = self.make(**arguments)
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


def _check_fit(source: _Source, config: type[LossConfig]) -> None:
    """Refuse a hand-written config whose fields are not the parameters."""
    fields, problems = config.model_fields, []
    takes_more = False
    known = set()
    for argument in source.parameters:
        parameter = argument.parameter
        known.add(parameter.name)
        takes_more = takes_more or parameter.kind is parameter.VAR_KEYWORD
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.default is parameter.empty and parameter.name not in fields:
            problems.append(f"no field for the parameter {parameter.name!r}")
    unknown = [] if takes_more else [name for name in fields if name not in known]
    problems += [f"a field {name!r} that is not a parameter" for name in unknown]
    if problems:
        owner = source.owner.__name__
        raise TypeError(f"{config.__name__} has {', and '.join(problems)} of {owner}")
