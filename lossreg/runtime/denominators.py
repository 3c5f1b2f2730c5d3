"""What terms' sums are divided by, added up over micro-batches and ranks.

The average of the micro-batches' means is not the mean of the batch if micro-batches count
different numbers of entries. So the denominators are added up first, only from targets, masks,
weights and lengths, and each micro-batch's sum is divided by their total.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import distributed

from lossreg.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

__all__ = ["WHOLE", "Denominators", "Moment", "Share", "added_up"]


class Share(NamedTuple):
    """Which part of an optimizer step one forward pass is.

    Attributes:
        micro_batches: How many forward passes each rank adds up.
        world_size: What the total is multiplied by, because gradients are averaged over ranks.
        parts: By term, in how many forward passes of all ranks it is, as a 0-d tensor; None where
            nobody needs to know.
    """

    micro_batches: int = 1
    world_size: int = 1
    parts: Mapping[str, Tensor] | None = None


WHOLE = Share()


class Moment:
    """The step that denominators are for.

    An object of its own, because a graph reads every number of a dataclass, and would be compiled
    for each step; torch 2.6 does so.

    Args:
        steps: The completed steps.
    """

    __slots__ = ("steps",)

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __repr__(self) -> str:
        return f"Moment(steps={self.steps})"


@dataclass(frozen=True, slots=True)
class Denominators:
    """Each term's denominator over all micro-batches and ranks, from `loss.denominators`.

    Attributes:
        names: The terms' names.
        values: One number per term, float64; 1 for a term that is a sum.
        world_size: What the total is multiplied by, because gradients are averaged over ranks.
        micro_batches: The number of micro-batches of this rank that were added up.
        parts: For each term the number of micro-batches of all ranks that have it, if a weight is
            learned.
        active: The terms that were counted; None if that is not known.
        moment: The step that they are for; None if the composite counts none.
    """

    names: tuple[str, ...]
    values: Tensor
    world_size: int
    micro_batches: int = 1
    parts: Tensor | None = None
    active: tuple[str, ...] | None = None
    moment: Moment | None = None

    @property
    def share(self) -> Share:
        """Which part of the step each micro-batch is."""
        if self.parts is None:
            return Share(self.micro_batches, self.world_size)
        parts = dict(zip(self.names, self.parts.unbind(), strict=True))
        return Share(self.micro_batches, self.world_size, parts)

    def by_name(
        self,
        names: tuple[str, ...],
        active: tuple[str, ...] | None = None,
        steps: int | None = None,
    ) -> dict[str, Tensor]:
        """Each term's denominator, a 0-d tensor.

        Args:
            names: The terms of the composite that uses them.
            active: Those that are active.
            steps: Its completed steps; None to accept any.

        Raises:
            InputError: They are from another composite, another step or other active terms.
        """
        if names != self.names:
            raise InputError(
                f"expected denominators of the terms {', '.join(names)}, found those of "
                f"{', '.join(self.names)}"
            )
        moment = self.moment
        if steps is not None and moment is not None and steps != moment.steps:
            raise InputError(
                f"expected the denominators of step {steps}, found those of step {moment.steps}; "
                "call loss.denominators for each optimizer step, after the loss.step() before it"
            )
        if active is not None and self.active is not None and active != self.active:
            raise InputError(
                f"expected denominators of the terms that are active now, {_listed(active)}, found "
                f"those of {_listed(self.active)}; call loss.denominators at the step and in the "
                "mode (train() or eval()) that they are for"
            )
        return dict(zip(names, self.values.unbind(), strict=True))


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) if names else "none"


def added_up(
    local: Tensor, group: distributed.ProcessGroup | None, world_size: int | None
) -> tuple[Tensor, int]:
    """Add up this rank's numbers over a group's ranks; also return the world size.

    Args:
        local: One number per term.
        group: The ranks that share the batch; the default group, if torch.distributed runs.
        world_size: Returned instead of the group's size: 1 where gradients are summed.

    Raises:
        ValueError: This rank is not in the group.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return local, 1 if world_size is None else world_size
    if distributed.get_rank(group) < 0:
        raise ValueError("this rank is not one of the group's")
    if distributed.get_backend(group) == "nccl" and local.device.type != "cuda":
        local = local.to(torch.device("cuda", torch.cuda.current_device()))
    total = local.clone()
    distributed.all_reduce(total, group=group)
    return total, distributed.get_world_size(group) if world_size is None else world_size
