"""Random batches for a loss, and what torch's own functions make of them.

Each built-in's own test file draws its `Example`. Nothing of it looks at lossreg: shapes,
denominators and safe places are written down again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

Tensors = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Example:
    """A loss's parameters and a batch.

    Attributes:
        params: As in a config, without `reduction`.
        tensors: The arguments by name, in order.
        leaves: Those that are differentiated.
        loss: Torch's function of the arguments, with a reduction.
        shape: The unreduced loss's.
        axes: For each argument that may be spoilt under a mask, where it has the dimensions of
            the unreduced loss; and what it is spoilt with.
        counts: What each entry counts in torch's mean; None for 1.
        scales: What each entry is multiplied by in torch's mean; None for 1.
        counted: The arguments that tell what torch's mean divides by, and that are no model's
            result; none if no argument tells it.
    """

    params: dict[str, Any] = field(default_factory=dict)
    tensors: Tensors
    leaves: tuple[str, ...]
    loss: Callable[[Tensors, str], Tensor]
    shape: tuple[int, ...]
    axes: dict[str, tuple[tuple[int, ...], float]] = field(default_factory=dict)
    counts: Callable[[Tensors], Tensor] | None = None
    scales: Callable[[Tensors], Tensor] | None = None
    counted: tuple[str, ...] = ("target",)


class Draw:
    """Random shapes, parameters and tensors of one dtype.

    With `batch`, each batch has as many rows; otherwise a few, and `shape` may leave them out.
    """

    def __init__(self, rng: random.Random, dtype: torch.dtype, batch: int | None = None) -> None:
        self.rng = rng
        self.dtype = dtype
        self.batch = batch
        self.generator = torch.Generator().manual_seed(rng.randrange(2**31))

    def shape(self, least: int = 1, most: int = 3) -> tuple[int, ...]:
        if self.batch is not None:
            least = max(least, 1)
        shape = tuple(self.rng.randint(1, 5) for _ in range(self.rng.randint(least, most)))
        return shape if self.batch is None else (self.batch, *shape[1:])

    def rows(self, most: int = 5) -> int:
        return self.rng.randint(1, most) if self.batch is None else self.batch

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float64).to(self.dtype)

    def uniform(self, *shape: int) -> Tensor:
        """From 0.05 to 0.95."""
        found = torch.rand(shape, generator=self.generator, dtype=torch.float64)
        return (0.05 + 0.9 * found).to(self.dtype)

    def signs(self, *shape: int) -> Tensor:
        return (2 * self.labels(2, *shape) - 1).to(self.dtype)

    def labels(self, classes: int, *shape: int) -> Tensor:
        return torch.randint(classes, shape, generator=self.generator)

    def numbers(self, count: int) -> list[float]:
        return [self.rng.uniform(0.1, 2.0) for _ in range(count)]

    def factors(self, shape: tuple[int, ...]) -> list[float]:
        """One number for each place of the last dimension, if no other one has as many."""
        are_rows = self.batch is not None and len(shape) == 1
        return self.numbers(1 if are_rows or shape[-1] in shape[1:-1] else shape[-1])

    def maybe(self, **params: Any) -> dict[str, Any]:
        return {name: value for name, value in params.items() if self.rng.random() < 0.5}

    def tensor(self, params: dict[str, Any], name: str) -> Tensor | None:
        # A config's numbers are float32, whatever the module is moved to afterwards.
        return torch.tensor(params[name], dtype=self.dtype) if name in params else None


def entrywise(
    loss: Callable[[Tensors, str], Tensor],
    tensors: Tensors,
    leaves: tuple[str, ...] = ("input", "target"),
    **params: Any,
) -> Example:
    """A loss whose arguments all have the shape of the unreduced loss."""
    shape = tuple(next(iter(tensors.values())).shape)
    places = tuple(range(len(shape)))
    return Example(
        params=params,
        tensors=tensors,
        leaves=leaves,
        loss=loss,
        shape=shape,
        axes=dict.fromkeys(tensors, (places, math.nan)),
    )


def class_indices(draw: Draw, shape: tuple[int, ...], *, logits: bool) -> Example:
    """Losses that weigh classes in the mean, and leave targets of one index out."""
    n, *rest = shape
    c = draw.rng.randint(2, 4)
    params = draw.maybe(weight=draw.numbers(c))
    weight = draw.tensor(params, "weight")
    scores = draw.normal(n, c, *rest)
    target = draw.labels(c, *shape)
    options: dict[str, Any] = draw.maybe(ignore_index=-7)
    ignored = options.get("ignore_index", -100)
    if draw.rng.random() < 0.5 and target.numel() > 1:
        target.view(-1)[0] = ignored
    places = (0, *range(2, len(shape) + 1))
    options |= draw.maybe(label_smoothing=0.2) if logits else {}
    function: Any = F.cross_entropy if logits else F.nll_loss

    def counts(t: Tensors) -> Tensor:
        kept = t["target"] != ignored
        each = torch.ones(c, dtype=draw.dtype) if weight is None else weight
        return torch.where(kept, each[t["target"].clamp(min=0)], 0.0)

    return Example(
        params={**params, **options},
        tensors={"input": scores if logits else scores.log_softmax(1), "target": target},
        leaves=("input",),
        loss=lambda t, r: function(**t, weight=weight, reduction=r, **options),
        shape=shape,
        axes={"input": (places, math.nan), "target": (tuple(range(len(shape))), 99)},
        counts=counts,
    )
