"""Random batches for each built-in loss, and what torch's own functions make of them.

Nothing here looks at lossreg: shapes, denominators and safe places are written down again.
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
    """

    params: dict[str, Any] = field(default_factory=dict)
    tensors: Tensors
    leaves: tuple[str, ...]
    loss: Callable[[Tensors, str], Tensor]
    shape: tuple[int, ...]
    axes: dict[str, tuple[tuple[int, ...], float]] = field(default_factory=dict)
    counts: Callable[[Tensors], Tensor] | None = None
    scales: Callable[[Tensors], Tensor] | None = None


class Draw:
    """Random shapes, parameters and tensors of one dtype."""

    def __init__(self, rng: random.Random, dtype: torch.dtype) -> None:
        self.rng = rng
        self.dtype = dtype
        self.generator = torch.Generator().manual_seed(rng.randrange(2**31))

    def shape(self, least: int = 1, most: int = 3) -> tuple[int, ...]:
        return tuple(self.rng.randint(1, 5) for _ in range(self.rng.randint(least, most)))

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
        return self.numbers(1 if shape[-1] in shape[1:-1] else shape[-1])

    def maybe(self, **params: Any) -> dict[str, Any]:
        return {name: value for name, value in params.items() if self.rng.random() < 0.5}

    def tensor(self, params: dict[str, Any], name: str) -> Tensor | None:
        # A config's numbers are float32, whatever the module is moved to afterwards.
        return torch.tensor(params[name], dtype=self.dtype) if name in params else None


def _entrywise(
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


def l1(draw: Draw) -> Example:
    shape = draw.shape()
    tensors = {"input": draw.normal(*shape), "target": draw.normal(*shape)}
    return _entrywise(lambda t, r: F.l1_loss(**t, reduction=r), tensors)


def mse(draw: Draw) -> Example:
    shape = draw.shape()
    tensors = {"input": draw.normal(*shape), "target": draw.normal(*shape)}
    return _entrywise(lambda t, r: F.mse_loss(**t, reduction=r), tensors)


def smooth_l1(draw: Draw) -> Example:
    shape, params = draw.shape(), draw.maybe(beta=draw.rng.choice([0.0, 0.3, 2.0]))
    tensors = {"input": draw.normal(*shape), "target": draw.normal(*shape)}
    return _entrywise(lambda t, r: F.smooth_l1_loss(**t, reduction=r, **params), tensors, **params)


def bce(draw: Draw) -> Example:
    shape = draw.shape()
    params = draw.maybe(weight=draw.factors(shape))
    weight = draw.tensor(params, "weight")
    tensors = {"input": draw.uniform(*shape), "target": draw.uniform(*shape)}
    return _entrywise(
        lambda t, r: F.binary_cross_entropy(**t, weight=weight, reduction=r),
        tensors,
        **params,
    )


def bce_with_logits(draw: Draw) -> Example:
    shape = draw.shape()
    params = draw.maybe(weight=draw.factors(shape), pos_weight=draw.factors(shape))
    weight, positive = draw.tensor(params, "weight"), draw.tensor(params, "pos_weight")
    tensors = {"input": draw.normal(*shape), "target": draw.uniform(*shape)}
    return _entrywise(
        lambda t, r: F.binary_cross_entropy_with_logits(
            **t, weight=weight, pos_weight=positive, reduction=r
        ),
        tensors,
        **params,
    )


def poisson_nll(draw: Draw) -> Example:
    shape = draw.shape()
    params = draw.maybe(log_input=False, full=True, eps=1e-4)
    counts = draw.labels(6, *shape).to(draw.dtype)
    tensors = {"input": draw.uniform(*shape), "target": counts}
    return _entrywise(
        lambda t, r: F.poisson_nll_loss(**t, reduction=r, **params),
        tensors,
        ("input",),
        **params,
    )


def kl_div(draw: Draw) -> Example:
    shape = (*draw.shape(0, 2), draw.rng.randint(2, 5))
    params = draw.maybe(log_target=True)
    target = draw.normal(*shape).softmax(-1)
    tensors = {
        "input": draw.normal(*shape).log_softmax(-1),
        "target": target.log() if params else target,
    }
    return _entrywise(lambda t, r: F.kl_div(**t, reduction=r, **params), tensors, **params)


def soft_margin(draw: Draw) -> Example:
    shape = draw.shape()
    tensors = {"input": draw.normal(*shape), "target": draw.signs(*shape)}
    return _entrywise(lambda t, r: F.soft_margin_loss(**t, reduction=r), tensors, ("input",))


def hinge_embedding(draw: Draw) -> Example:
    shape, params = draw.shape(), draw.maybe(margin=0.5)
    tensors = {"input": draw.uniform(*shape), "target": draw.signs(*shape)}
    return _entrywise(
        lambda t, r: F.hinge_embedding_loss(**t, reduction=r, **params),
        tensors,
        ("input",),
        **params,
    )


def margin_ranking(draw: Draw) -> Example:
    shape, params = draw.shape(), draw.maybe(margin=0.3)
    tensors = {
        "input1": draw.normal(*shape),
        "input2": draw.normal(*shape),
        "target": draw.signs(*shape),
    }
    return _entrywise(
        lambda t, r: F.margin_ranking_loss(**t, reduction=r, **params),
        tensors,
        ("input1", "input2"),
        **params,
    )


def cosine_embedding(draw: Draw) -> Example:
    n, d = draw.rng.randint(1, 5), draw.rng.randint(2, 4)
    params = draw.maybe(margin=0.2)
    tensors = {"input1": draw.normal(n, d), "input2": draw.normal(n, d), "target": draw.signs(n)}
    return Example(
        params=params,
        tensors=tensors,
        leaves=("input1", "input2"),
        loss=lambda t, r: F.cosine_embedding_loss(**t, reduction=r, **params),
        shape=(n,),
        axes=dict.fromkeys(tensors, ((0,), math.nan)),
    )


def triplet_margin(draw: Draw) -> Example:
    n, d = draw.rng.randint(1, 5), draw.rng.randint(2, 4)
    params = draw.maybe(margin=2.0, p=3.0, swap=True)
    names = ("anchor", "positive", "negative")
    tensors = {name: draw.normal(n, d) for name in names}
    return Example(
        params=params,
        tensors=tensors,
        leaves=names,
        loss=lambda t, r: F.triplet_margin_loss(**t, reduction=r, **params),
        shape=(n,),
        axes=dict.fromkeys(names, ((0,), math.nan)),
    )


def multi_margin(draw: Draw) -> Example:
    n, c = draw.rng.randint(1, 5), draw.rng.randint(2, 4)
    params = draw.maybe(p=2, margin=0.7, weight=draw.numbers(c))
    weight = draw.tensor(params, "weight")
    options = {name: each for name, each in params.items() if name != "weight"}
    return Example(
        params=params,
        tensors={"input": draw.normal(n, c), "target": draw.labels(c, n)},
        leaves=("input",),
        loss=lambda t, r: F.multi_margin_loss(**t, weight=weight, reduction=r, **options),
        shape=(n,),
        axes={"input": ((0,), math.nan), "target": ((0,), 99)},
    )


def multilabel_margin(draw: Draw) -> Example:
    n, c = draw.rng.randint(1, 5), draw.rng.randint(2, 4)
    target = torch.full((n, c), -1)
    for row in range(n):
        labels = draw.rng.sample(range(c), draw.rng.randint(1, c))
        target[row, : len(labels)] = torch.tensor(labels)
    return Example(
        tensors={"input": draw.normal(n, c), "target": target},
        leaves=("input",),
        loss=lambda t, r: F.multilabel_margin_loss(**t, reduction=r),
        shape=(n,),
        axes={"input": ((0,), math.nan), "target": ((0,), 99)},
    )


def multilabel_soft_margin(draw: Draw) -> Example:
    n, c = draw.rng.randint(1, 5), draw.rng.randint(2, 4)
    params = draw.maybe(weight=draw.numbers(c))
    weight = draw.tensor(params, "weight")
    return Example(
        params=params,
        tensors={"input": draw.normal(n, c), "target": draw.uniform(n, c)},
        leaves=("input", "target"),
        loss=lambda t, r: F.multilabel_soft_margin_loss(**t, weight=weight, reduction=r),
        shape=(n,),
        axes={"input": ((0,), math.nan), "target": ((0,), math.nan)},
    )


def _class_indices(draw: Draw, shape: tuple[int, ...], *, logits: bool) -> Example:
    """Losses that weigh classes in the mean, and leave targets of -100 out."""
    n, *rest = shape
    c = draw.rng.randint(2, 4)
    params = draw.maybe(weight=draw.numbers(c))
    weight = draw.tensor(params, "weight")
    scores = draw.normal(n, c, *rest)
    target = draw.labels(c, *shape)
    if draw.rng.random() < 0.5 and target.numel() > 1:
        target.view(-1)[0] = -100
    places = (0, *range(2, len(shape) + 1))
    options: dict[str, Any] = draw.maybe(label_smoothing=0.2) if logits else {}
    function: Any = F.cross_entropy if logits else F.nll_loss

    def counts(t: Tensors) -> Tensor:
        kept = t["target"] != -100
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


def nll(draw: Draw) -> Example:
    return _class_indices(draw, draw.shape(), logits=False)


def nll2d(draw: Draw) -> Example:
    return _class_indices(draw, draw.shape(3, 3), logits=False)


def cross_entropy(draw: Draw) -> Example:
    if draw.rng.random() < 0.6:
        return _class_indices(draw, draw.shape(), logits=True)
    shape = draw.shape()
    n, *rest = shape
    c = draw.rng.randint(2, 4)
    params = draw.maybe(weight=draw.numbers(c))
    weight = draw.tensor(params, "weight")
    places = (0, *range(2, len(shape) + 1))
    return Example(
        params=params,
        tensors={"input": draw.normal(n, c, *rest), "target": draw.normal(n, c, *rest).softmax(1)},
        leaves=("input", "target"),
        loss=lambda t, r: F.cross_entropy(**t, weight=weight, reduction=r),
        shape=shape,
        axes={"input": (places, math.nan), "target": (places, math.nan)},
    )


def ctc(draw: Draw) -> Example:
    n, c, s = draw.rng.randint(1, 4), draw.rng.randint(2, 4), draw.rng.randint(1, 3)
    t = 2 * s + draw.rng.randint(1, 3)
    return Example(
        tensors={
            "log_probs": draw.normal(t, n, c).log_softmax(-1),
            "targets": 1 + draw.labels(c - 1, n, s),
            "input_lengths": torch.full((n,), t) - draw.labels(2, n),
            "target_lengths": draw.labels(s + 1, n),
        },
        leaves=("log_probs",),
        loss=lambda t, r: F.ctc_loss(*t.values(), reduction=r),
        shape=(n,),
        axes={"log_probs": ((1,), math.nan)},
        scales=lambda t: 1 / t["target_lengths"].clamp(min=1).to(draw.dtype),
    )


def value(draw: Draw) -> Example:
    shape = draw.shape()
    how: dict[str, Callable[[Tensor], Tensor]] = {
        "mean": Tensor.mean,
        "sum": Tensor.sum,
        "batchmean": lambda each: each.sum() / shape[0],
    }
    return Example(
        tensors={"input": draw.normal(*shape)},
        leaves=("input",),
        loss=lambda t, r: how[r](t["input"]),
        shape=shape,
    )


EXAMPLES: dict[str, Callable[[Draw], Example]] = {
    each.__name__: each
    for each in (
        bce,
        bce_with_logits,
        cosine_embedding,
        cross_entropy,
        ctc,
        hinge_embedding,
        kl_div,
        l1,
        margin_ranking,
        mse,
        multi_margin,
        multilabel_margin,
        multilabel_soft_margin,
        nll,
        nll2d,
        poisson_nll,
        smooth_l1,
        soft_margin,
        triplet_margin,
        value,
    )
}
