"""InfoNCE over the pairs of a batch, or of all ranks' batches."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, distributed, nn

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["InfoNCE"]


class InfoNCE(nn.Module):
    """Cross entropy of each embedding's choice of its partner.

    Args:
        temperature: What similarities are divided by.
        normalize: Whether similarities are cosines.
        symmetric: Whether the second embeddings choose as well.
        own_view: Whether an embedding is also compared with its own side's others.
        gather: Whether the choice is among all ranks' embeddings.
        reduction: `mean` over the rows, or `sum`.
    """

    def __init__(
        self,
        temperature: float = 0.07,
        *,
        normalize: bool = True,
        symmetric: bool = True,
        own_view: bool = False,
        gather: bool = False,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.normalize = normalize
        self.symmetric = symmetric
        self.own_view = own_view
        self.gather = gather
        self.reduction = reduction

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """The loss of embeddings of shape `N D`, row by row partners."""
        with _in_full_precision(input1):
            pair = [self._embeddings(tensor) for tensor in (input1, input2)]
            everyone = [self._of_all_ranks(tensor) for tensor in pair]
            losses = self._choice(pair[0], everyone[1], everyone[0])
            if self.symmetric:
                losses = (losses + self._choice(pair[1], everyone[0], everyone[1])) / 2
            value: Tensor = losses.mean() if self.reduction == "mean" else losses.sum()
            return value

    def _embeddings(self, tensor: Tensor) -> Tensor:
        # A temperature of 0.07 makes errors of half precision 14 times larger.
        wide = tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
        if self.normalize:
            wide = F.normalize(wide, dim=-1)
        return wide

    def _of_all_ranks(self, tensor: Tensor) -> Tensor:
        if not (self.gather and distributed.is_available() and distributed.is_initialized()):
            return tensor
        gathered: Tensor = _gathered(tensor)
        return gathered

    def _choice(self, anchors: Tensor, others: Tensor, own_side: Tensor) -> Tensor:
        """Each anchor's loss; the rows of this rank stand first in what it chooses from."""
        rows = torch.arange(len(anchors), device=anchors.device)
        logits = anchors @ others.T
        if self.own_view:
            itself = rows.unsqueeze(1) == torch.arange(len(own_side), device=anchors.device)
            same = (anchors @ own_side.T).masked_fill(itself, -torch.inf)
            logits = torch.cat([logits, same], dim=1)
        return F.cross_entropy(logits / self.temperature, rows, reduction="none")

    def extra_repr(self) -> str:
        """The parameters."""
        return (
            f"temperature={self.temperature}, normalize={self.normalize}, "
            f"symmetric={self.symmetric}, own_view={self.own_view}, gather={self.gather}, "
            f"reduction={self.reduction!r}"
        )


def _in_full_precision(tensor: Tensor) -> AbstractContextManager[Any]:
    # Autocast knows no device "meta", on which shapes are tried.
    kind = tensor.device.type
    return nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _gathered(tensor: Tensor) -> Tensor:
    gathered: Tensor = _AllGather.apply(tensor)  # type: ignore[no-untyped-call]
    return gathered


class _AllGather(torch.autograd.Function):
    """All ranks' rows, this rank's first; each row's gradient is the sum of all ranks'.

    torch.distributed.nn.functional.all_gather is deprecated, and needs all_to_all backwards.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:  # noqa: ARG004
        """Gather the rows."""
        parts = [torch.empty_like(tensor) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, tensor.contiguous())
        rank = distributed.get_rank()
        return torch.cat([*parts[rank:], *parts[:rank]])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        """Add up what all ranks say of this rank's rows."""
        rank, world_size = distributed.get_rank(), distributed.get_world_size()
        parts = gradient.chunk(world_size)
        # In the order of the ranks, so that the same rows are added.
        whole = torch.stack([parts[(other - rank) % world_size] for other in range(world_size)])
        distributed.all_reduce(whole)
        return whole[rank]
