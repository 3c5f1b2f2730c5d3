"""Build a loss's module from its definition; a failure is reported as the plugin's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from lossreg.config.faults.faults import path_text
from lossreg.errors import ConfigError, Diagnostic, MissingExtraError, described
from lossreg.plugin.fields import with_tensors
from lossreg.plugin.requirements import unmet
from lossreg.runtime.reduction import share_state

if TYPE_CHECKING:
    from lossreg.config.faults.faults import ConfigPath
    from lossreg.plugin import LossConfig, LossDefinition
    from lossreg.registry.plugins import Origin

__all__ = ["construct", "unreduced_twin"]


def construct(
    definition: LossDefinition,
    config: LossConfig,
    path: ConfigPath,
    origin: Origin | None,
    variant: str = "",
) -> nn.Module:
    """Build the module of a loss.

    Args:
        definition: The loss. A third party's builder may raise or return anything.
        config: Its parameters, with tensors where a builder expects them.
        path: Its place in the document, for the error.
        origin: The plugin and distribution that provide it.
        variant: How the parameters differ from the document's, in words for the error.

    Raises:
        ConfigError: It cannot be built.
        MissingExtraError: Something that it requires is not installed.
    """
    for lacking in unmet(definition.requires):
        what = f"'{definition.name}' ({origin or definition.config.__module__})"
        raise MissingExtraError(what, missing=lacking.text, installed=lacking.installed)
    try:
        module: object = definition.build(config)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        reason = f"raised {described(error)}"
        raise _unbuilt(definition, path, origin, variant, reason) from error
    if not isinstance(module, nn.Module):
        reason = f"gave a {type(module).__name__}, not a module"
        raise _unbuilt(definition, path, origin, variant, reason)
    return module


def unreduced_twin(
    definition: LossDefinition,
    config: LossConfig,
    path: ConfigPath,
    origin: Origin | None,
    module: nn.Module,
) -> nn.Module:
    """Build the same loss unreduced, sharing parameters, buffers and hooks with `module`.

    Args:
        definition: The loss.
        config: The module's parameters.
        path: Its place in the document, for the error.
        origin: The plugin and distribution that provide it.
        module: The loss with its reduction.

    Raises:
        ConfigError: It cannot be built, or cannot share the module's state.
    """
    params = with_tensors(config.model_copy(update={"reduction": "none"}))
    variant = " with reduction 'none'"
    twin = construct(definition, params, path, origin, variant)
    try:
        share_state(twin, module)
    except Exception as error:
        reason = f"gave a module that cannot share its state: {described(error)}"
        raise _unbuilt(definition, path, origin, variant, reason) from error
    return twin


def _unbuilt(
    definition: LossDefinition, path: ConfigPath, origin: Origin | None, variant: str, reason: str
) -> ConfigError:
    who = origin or definition.config.__module__
    message = f"building '{definition.name}' ({who}){variant} {reason}"
    return ConfigError([Diagnostic(code="LR303", path=path_text(path), message=message)])
