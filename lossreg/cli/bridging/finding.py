"""The losses that a library's module exports."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from torch import nn

__all__ = ["exported_losses"]


def exported_losses(module: ModuleType) -> dict[str, type[nn.Module]]:
    """The classes of losses in a module's `__all__`, or its public names; a base class last.

    A class counts if it is of the module's own library, has a forward, and is called a loss: by
    its name, its module's or a base class of torch's.
    """
    own = module.__name__.partition(".")[0]
    names = getattr(module, "__all__", None) or [name for name in vars(module) if name[:1] != "_"]
    losses: dict[str, type[nn.Module]] = {}
    for name in sorted(names):
        value: Any = getattr(module, name, None)
        if isinstance(value, type) and value not in losses.values() and _is_loss(value, own):
            losses[name] = value
    return losses


def _is_loss(value: Any, own: str) -> bool:
    modules: Any = sys.modules["torch"].nn.Module
    if not issubclass(value, modules) or value.__module__.partition(".")[0] != own:
        return False
    words = f"{value.__module__}.{value.__name__}".lower()
    called = any(word in words for word in ("loss", "criterion"))
    based = any(base.__name__ == "_Loss" for base in value.__mro__)
    return (called or based) and value.forward is not modules.forward
