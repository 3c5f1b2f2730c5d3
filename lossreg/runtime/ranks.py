"""How many ranks there are, and the parameters that each trains on its own.

Nothing averages the gradients of those that stand outside of every DDP module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from lossreg.errors import warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import nn

__all__ = ["OutsideDDP", "OwnParameters", "world_size_of"]


def world_size_of(group: distributed.ProcessGroup | None = None) -> int:
    """The number of ranks of a group; 1 if torch.distributed does not run.

    Args:
        group: By default, that of all ranks.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return distributed.get_world_size(group)


class OutsideDDP:
    """Warns, once, of a forward pass after which nothing averages the gradients over ranks.

    Args:
        what: The parameters, as in "the learned weight of 'seg' is".
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._is_done = False

    def dismiss(self) -> None:
        """Warn no more: an adapter averages the gradients."""
        self._is_done = True

    def look(self) -> None:
        """Warn if there are several ranks, and no DDP module is in its forward pass."""
        if self._is_done or world_size_of() == 1:
            return
        if DistributedDataParallel._active_ddp_module is not None:  # noqa: SLF001 - torch has no other name for it
            return
        self._is_done = True
        warn(
            f"{self._what} outside of the forward pass of DistributedDataParallel, so each rank "
            "learns another one: make the loss a part of the module that DDP wraps and call it in "
            "that module's forward, or average the gradients of loss.parameters() over the ranks "
            "before each optimizer.step()"
        )


class OwnParameters:
    """Watches the parameters that losses have themselves, such as the centres of classes.

    Args:
        modules: Each term's loss, by name.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._modules = {
            term: module for term, module in modules.items() if list(module.parameters())
        }
        self._outside: OutsideDDP | None = None

    def __bool__(self) -> bool:
        return bool(self._modules)

    def look(self) -> None:
        """Warn, once, if a step trains them on each rank by itself."""
        if world_size_of() == 1 or not torch.is_grad_enabled():
            return
        if self._outside is None:
            # Those of a module that `fully_shard` wraps are averaged.
            own = [
                f"the parameter '{name}' of the loss of '{term}'"
                for term, module in self._modules.items()
                for name, parameter in module.named_parameters()
                if parameter.requires_grad and not hasattr(parameter, "full_tensor")
            ]
            if not own:
                return
            self._outside = OutsideDDP(_sentence(own))
        self._outside.look()


def _sentence(own: Iterable[str]) -> str:
    first, *more = own
    return f"{first} is" if not more else f"{first} and {len(more)} more are"
