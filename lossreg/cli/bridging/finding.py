"""The losses that a library's module exports."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

from lossreg.plugin.from_module.naming import loss_name

if TYPE_CHECKING:
    from types import ModuleType

    from torch import nn

__all__ = ["exported_functions", "exported_losses"]


def exported_losses(module: ModuleType) -> dict[str, type[nn.Module]]:
    """The classes of losses in a module's `__all__`, or its public names.

    A class counts if it is of the module's own library, has a forward, and is called a loss: by
    its name, its module's or a base class of torch's.
    """
    own = module.__name__.partition(".")[0]
    losses: dict[str, type[nn.Module]] = {}
    for name in _names(module):
        value: Any = getattr(module, name, None)
        if isinstance(value, type) and value not in losses.values() and _is_loss(value, own):
            losses[name] = value
    return losses


def exported_functions(module: ModuleType) -> list[str]:
    """The names of a module's functions that are losses and have no class of the same name."""
    own = module.__name__.partition(".")[0]
    classes = {loss_name(name) for name in exported_losses(module)}
    return [
        name
        for name in _names(module)
        if inspect.isfunction(value := getattr(module, name, None))
        and value.__module__.partition(".")[0] == own
        and "loss" in name.lower()
        and loss_name(name) not in classes
    ]


def _names(module: ModuleType) -> list[str]:
    public = getattr(module, "__all__", None)
    return sorted(public or [name for name in vars(module) if name[:1] != "_"])


def _is_loss(value: Any, own: str) -> bool:
    modules: Any = sys.modules["torch"].nn.Module
    if not issubclass(value, modules) or value.__module__.partition(".")[0] != own:
        return False
    words = f"{value.__module__}.{value.__name__}".lower()
    called = any(word in words for word in ("loss", "criterion"))
    based = any(base.__name__ == "_Loss" for base in value.__mro__)
    return (called or based) and value.forward is not modules.forward
