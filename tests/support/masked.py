"""Losses and batches, and how torch's own modules see the entries that a mask keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

import lossreg

if TYPE_CHECKING:
    from collections.abc import Callable

DOUBLE = torch.float64
NAN = math.nan


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=DOUBLE)


def signs(*shape: int) -> Tensor:
    return random(*shape, seed=9).sign().long()


def labels(classes: int, *shape: int) -> Tensor:
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(3))


@dataclass
class Case:
    """A loss, a batch, and how torch's own module sees the entries that a mask keeps.

    Attributes:
        name: The loss.
        inputs: Its arguments.
        module: torch's module with a reduction.
        shape: The shape of the unreduced loss.
        taken: The arguments as torch gets them, of the entries that a mask keeps.
        counted: What each of these counts in the mean's denominator.
        scaled: What each of these is multiplied by in the mean's numerator.
        params: The loss's parameters.
        garbage: What a masked integer may be.
    """

    name: str
    inputs: dict[str, Tensor]
    module: Callable[..., nn.Module]
    shape: tuple[int, ...]
    taken: Callable[[dict[str, Tensor], Tensor], list[Tensor]]
    counted: Callable[[list[Tensor]], Tensor] | None = None
    scaled: Callable[[list[Tensor]], Tensor] | None = None
    params: dict[str, Any] = field(default_factory=dict)
    garbage: int = 10**6

    @property
    def masks(self) -> list[tuple[int, ...]]:
        """The shapes that a mask may have."""
        return [self.shape[:dims] for dims in range(1, len(self.shape) + 1)]


def entries(inputs: dict[str, Tensor], keep: Tensor) -> list[Tensor]:
    return [each[keep] for each in inputs.values()]


def pixels(inputs: dict[str, Tensor], keep: Tensor) -> list[Tensor]:
    """Class scores N C * as K C, labels N * as K, class probabilities as K C."""
    return [
        each.movedim(1, -1)[keep].reshape(-1, each.shape[1])
        if each.is_floating_point()
        else each[keep].flatten()
        for each in inputs.values()
    ]


def sequences(inputs: dict[str, Tensor], keep: Tensor) -> list[Tensor]:
    log_probs, *others = inputs.values()
    return [log_probs[:, keep], *(each[keep] for each in others)]


CLASS_WEIGHTS = [0.5, 2.0, 0.0, 1.5]
FACTORS = torch.tensor(CLASS_WEIGHTS, dtype=DOUBLE)
SHAPE = (4, 3, 2)
LOG_PROBS = random(4, 4, 3, 2).log_softmax(1)


def by_class(ignore_index: int = -100) -> Callable[[list[Tensor]], Tensor]:
    def counted(taken: list[Tensor]) -> Tensor:
        there = taken[1] != ignore_index
        return FACTORS[taken[1].where(there, 0)] * there

    return counted


def per_label(taken: list[Tensor]) -> Tensor:
    return 1 / taken[3].clamp(min=1).to(DOUBLE)


def entrywise(name: str, module: Any, first: Tensor, target: Tensor, **more: Any) -> Case:
    inputs = {"input": first, "target": target}
    return Case(name, inputs, module, tuple(first.shape), entries, **more)


def classwise(name: str, module: Any, first: Tensor, **more: Any) -> Case:
    target = labels(4, first.shape[0], *first.shape[2:])
    if "ignore_index" in more.get("params", {}):
        target[0, 1] = more["params"]["ignore_index"]
    inputs = {"input": first, "target": target}
    return Case(name, inputs, module, tuple(target.shape), pixels, **more)


CASES = {
    "l1": entrywise("l1", nn.L1Loss, random(*SHAPE), random(*SHAPE, seed=1)),
    "mse": entrywise("mse", nn.MSELoss, random(*SHAPE), random(*SHAPE, seed=1)),
    # Not mse of counts: torch 2.6 has no gradient of it.
    "smooth_l1 of counts": entrywise(
        "smooth_l1", nn.SmoothL1Loss, random(*SHAPE), labels(9, *SHAPE)
    ),
    "smooth_l1": entrywise("smooth_l1", nn.SmoothL1Loss, random(*SHAPE), random(*SHAPE, seed=1)),
    "smooth_l1 beta 0": entrywise(
        "smooth_l1",
        lambda **more: nn.SmoothL1Loss(beta=0.0, **more),
        random(*SHAPE),
        random(*SHAPE, seed=1),
        params={"beta": 0.0},
    ),
    "bce": entrywise("bce", nn.BCELoss, random(*SHAPE).sigmoid(), random(*SHAPE, seed=1).sigmoid()),
    "bce_with_logits": entrywise(
        "bce_with_logits",
        lambda **more: nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0, dtype=DOUBLE), **more),
        random(*SHAPE),
        random(*SHAPE, seed=1).sigmoid(),
        params={"pos_weight": [3.0]},
    ),
    "kl_div": entrywise(
        "kl_div",
        nn.KLDivLoss,
        random(*SHAPE).log_softmax(-1),
        random(*SHAPE, seed=1).softmax(-1),
    ),
    "kl_div log_target": entrywise(
        "kl_div",
        lambda **more: nn.KLDivLoss(log_target=True, **more),
        random(*SHAPE).log_softmax(-1),
        random(*SHAPE, seed=1).log_softmax(-1),
        params={"log_target": True},
    ),
    "poisson_nll": entrywise(
        "poisson_nll",
        lambda **more: nn.PoissonNLLLoss(full=True, **more),
        random(*SHAPE),
        random(*SHAPE, seed=1).exp() + 0.1,
        params={"full": True},
    ),
    "poisson_nll of rates": entrywise(
        "poisson_nll",
        lambda **more: nn.PoissonNLLLoss(log_input=False, eps=0.0, **more),
        random(*SHAPE).exp(),
        labels(9, *SHAPE),
        params={"log_input": False, "eps": 0.0},
    ),
    "soft_margin": entrywise("soft_margin", nn.SoftMarginLoss, random(*SHAPE), signs(*SHAPE)),
    "hinge_embedding": entrywise(
        "hinge_embedding", nn.HingeEmbeddingLoss, random(*SHAPE).abs(), signs(*SHAPE)
    ),
    "margin_ranking": Case(
        "margin_ranking",
        {"input1": random(*SHAPE), "input2": random(*SHAPE, seed=1), "target": signs(*SHAPE)},
        lambda **more: nn.MarginRankingLoss(margin=0.5, **more),
        SHAPE,
        entries,
        params={"margin": 0.5},
    ),
    "multilabel_soft_margin": Case(
        "multilabel_soft_margin",
        {"input": random(4, 3, 4), "target": random(4, 3, 4, seed=1).sigmoid()},
        lambda **more: nn.MultiLabelSoftMarginLoss(weight=FACTORS, **more),
        (4, 3),
        entries,
        params={"weight": CLASS_WEIGHTS},
    ),
    "multilabel_soft_margin of integers": Case(
        "multilabel_soft_margin",
        {"input": random(4, 4), "target": labels(2, 4, 4)},
        nn.MultiLabelSoftMarginLoss,
        (4,),
        entries,
    ),
    "multilabel_margin": Case(
        "multilabel_margin",
        {
            "input": random(4, 4),
            "target": torch.tensor([[0, 2, -1, 1], [3, -1, 0, 0], [1, 2, 3, 0], [-1, 0, 0, 0]]),
        },
        nn.MultiLabelMarginLoss,
        (4,),
        entries,
    ),
    "multi_margin": Case(
        "multi_margin",
        {"input": random(4, 4), "target": labels(4, 4)},
        lambda **more: nn.MultiMarginLoss(weight=FACTORS, p=2, **more),
        (4,),
        entries,
        params={"weight": CLASS_WEIGHTS, "p": 2},
    ),
    "cosine_embedding": Case(
        "cosine_embedding",
        {"input1": random(4, 5), "input2": random(4, 5, seed=1), "target": signs(4)},
        nn.CosineEmbeddingLoss,
        (4,),
        entries,
    ),
    "triplet_margin": Case(
        "triplet_margin",
        {
            "anchor": random(4, 3, 5),
            "positive": random(4, 3, 5, seed=1),
            "negative": random(4, 3, 5, seed=2),
        },
        lambda **more: nn.TripletMarginLoss(swap=True, eps=0.0, **more),
        (4, 3),
        entries,
        params={"swap": True, "eps": 0.0},
    ),
    "triplet_margin p 0.5": Case(
        "triplet_margin",
        {
            "anchor": random(4, 5),
            "positive": random(4, 5, seed=1),
            "negative": random(4, 5, seed=2),
        },
        lambda **more: nn.TripletMarginLoss(p=0.5, eps=0.0, **more),
        (4,),
        entries,
        params={"p": 0.5, "eps": 0.0},
    ),
    "nll": classwise("nll", nn.NLLLoss, LOG_PROBS),
    "nll of classes": classwise("nll", nn.NLLLoss, LOG_PROBS[..., 0, 0]),
    "nll weighted": classwise(
        "nll",
        lambda **more: nn.NLLLoss(weight=FACTORS, ignore_index=1, **more),
        LOG_PROBS,
        counted=by_class(1),
        params={"weight": CLASS_WEIGHTS, "ignore_index": 1},
    ),
    "nll2d": classwise(
        "nll2d",
        lambda **more: nn.NLLLoss(weight=FACTORS, **more),
        LOG_PROBS,
        counted=by_class(),
        params={"weight": CLASS_WEIGHTS},
    ),
    "cross_entropy": classwise("cross_entropy", nn.CrossEntropyLoss, random(4, 4, 3, 2)),
    "cross_entropy weighted": classwise(
        "cross_entropy",
        lambda **more: nn.CrossEntropyLoss(
            weight=FACTORS, label_smoothing=0.1, ignore_index=-5, **more
        ),
        random(4, 4, 3, 2),
        counted=by_class(-5),
        params={"weight": CLASS_WEIGHTS, "label_smoothing": 0.1, "ignore_index": -5},
    ),
    "cross_entropy of probabilities": Case(
        "cross_entropy",
        {"input": random(4, 4, 3, 2), "target": random(4, 4, 3, 2, seed=1).softmax(1)},
        lambda **more: nn.CrossEntropyLoss(weight=FACTORS, label_smoothing=0.2, **more),
        (4, 3, 2),
        pixels,
        params={"weight": CLASS_WEIGHTS, "label_smoothing": 0.2},
    ),
    "ctc": Case(
        "ctc",
        {
            "log_probs": random(7, 4, 5).log_softmax(-1),
            "targets": torch.tensor([[1, 2, 3], [4, 2, 77], [77, 77, 77], [2, 2, 1]]),
            "input_lengths": torch.tensor([7, 6, 5, 7]),
            "target_lengths": torch.tensor([3, 2, 0, 3]),
        },
        nn.CTCLoss,
        (4,),
        sequences,
        scaled=per_label,
    ),
}


def build(case: Case, reduction: str = "mean", **term: Any) -> lossreg.CompositeLoss:
    params = {**case.params, "reduction": reduction}
    if reduction != "mean" and term.get("divide_by") == "weights":
        del term["divide_by"]  # other reductions have a divisor of their own, or none
    document = {"checks": "always", "terms": {"t": {"type": case.name, "params": params, **term}}}
    return lossreg.build(document).to(DOUBLE)


def as_leaves(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: each.clone().requires_grad_() if each.is_floating_point() else each
        for name, each in tensors.items()
    }


def a_mask(shape: tuple[int, ...]) -> Tensor:
    """About half of the entries; with more than one dimension, one row in full and one empty."""
    mask = labels(2, *shape).bool()
    mask[0], mask[-1] = True, False
    return mask


def soiled(case: Case, keep: Tensor) -> dict[str, Tensor]:
    """The case's inputs, with anything at all where they are masked."""
    found = {}
    for name, each in case.inputs.items():
        dirt = torch.full_like(each, case.garbage)
        if each.is_floating_point():
            dirt = torch.tensor([math.nan, math.inf, -math.inf, 1e300], dtype=DOUBLE)
            dirt = dirt.repeat(each.numel() // 4 + 1)[: each.numel()].reshape(each.shape)
        mask = keep
        if case.name == "ctc" and each.dim() == 3:
            mask = keep[None]
        elif case.taken is pixels and each.is_floating_point():
            mask = keep.unsqueeze(1) if keep.dim() > 1 else keep
        mask = mask.reshape(mask.shape + (1,) * (each.dim() - mask.dim()))
        found[name] = torch.where(mask, each, dirt)
    return found


def assert_same(
    case: Case, loss: Any, values: dict[str, Tensor], oracle: Tensor, clean: Any
) -> None:
    """The term's value and gradients are the oracle's; zero where the oracle saw nothing."""
    leaves = as_leaves({name: values[name] for name in case.inputs})
    found = loss.terms({**values, **leaves})["t"]
    torch.testing.assert_close(found, oracle, rtol=1e-12, atol=1e-13)
    found.backward()
    oracle.backward()
    for name, leaf in leaves.items():
        if leaf.is_floating_point():
            expected = clean[name].grad
            assert leaf.grad is not None
            assert expected is not None
            assert leaf.grad.isfinite().all()
            torch.testing.assert_close(leaf.grad, expected, rtol=1e-10, atol=1e-13)
            assert not leaf.grad[expected == 0].abs().gt(1e-15).any()


def small(**term: Any) -> lossreg.CompositeLoss:
    return lossreg.build({"terms": {"t": {"type": "mse", **term}}})


# Absolute errors 1, 2 and 3.
GIVEN = {"input": torch.tensor([1.0, 2.0, 3.0]), "target": torch.zeros(3)}
