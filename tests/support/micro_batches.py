"""Losses whose micro-batches are compared with the one big batch, in float64."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor

import lossreg
from built_ins import BUILT_INS, built_in
from lossreg.registry import Registry
from oracles import Draw
from properties import ulps

if TYPE_CHECKING:
    from collections.abc import Callable

    from lossreg.runtime.denominators import Denominators

DOUBLE = torch.float64


ROWS = 24


# No two micro-batches of one split count alike.
SPLITS = {
    1: [24],
    2: [17, 7],
    4: [9, 1, 6, 8],
    8: [1, 5, 2, 4, 3, 1, 6, 2],
}


# Between the micro-batches' gradients and the big batch's, in units of the last place.
MOST_ULPS = 8


CLASS_WEIGHTS = [0.5, 2.0, 0.0, 1.5]


FACTORS = torch.tensor(CLASS_WEIGHTS, dtype=DOUBLE)


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=DOUBLE)


def labels(classes: int, *shape: int) -> Tensor:
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(3))


def signs(*shape: int) -> Tensor:
    return 2 * labels(2, *shape) - 1


@dataclass
class Case:
    """A loss, a batch, and torch's function of it.

    Attributes:
        name: The loss.
        inputs: Its arguments.
        torch: Torch's value of the arguments with a reduction.
        read: The arguments that denominators are read from: all that is no model's result.
        params: The loss's parameters.
        scale: What torch's mean multiplies each entry by.
        leaves: Those that are differentiated; without it, all that can be.
    """

    name: str
    inputs: dict[str, Tensor]
    torch: Callable[..., Tensor]
    read: tuple[str, ...] = ("target",)
    params: dict[str, Any] = field(default_factory=dict)
    scale: Tensor | float = 1.0
    leaves: tuple[str, ...] = ()

    @property
    def reductions(self) -> tuple[str, ...]:
        return tuple(each for each in Registry.installed()[self.name].reductions if each != "none")

    @property
    def has_entries(self) -> bool:
        return "none" in Registry.installed()[self.name].reductions

    def value(self, inputs: dict[str, Tensor], reduction: str) -> Tensor:
        return self.torch(*inputs.values(), reduction=reduction)


def classwise(name: str, *shape: int, ignored: int | None = None, **params: Any) -> Case:
    """Scores N C *, and class indices of which some are ignored."""
    first, target = random(ROWS, 4, *shape), labels(4, ROWS, *shape)
    if ignored is not None:
        # A micro-batch of which nothing is left, and some others.
        target[9:10] = target[20] = target[2] = ignored
        params["ignore_index"] = ignored
    options = {**params, **({"weight": FACTORS} if "weight" in params else {})}
    function: Any = F.cross_entropy if name == "cross_entropy" else F.nll_loss
    return Case(
        name,
        {"input": first if name == "cross_entropy" else first.log_softmax(1), "target": target},
        lambda *inputs, reduction: function(*inputs, reduction=reduction, **options),
        params=params,
    )


WEIGHTED = {"weight": CLASS_WEIGHTS}


def _drawn(name: str) -> Case:
    """The example of a built-in's own test."""
    example = built_in(name).example(Draw(Random(name), DOUBLE, batch=ROWS))
    names = tuple(example.tensors)
    return Case(
        name,
        example.tensors,
        lambda *inputs, reduction: example.loss(dict(zip(names, inputs, strict=True)), reduction),
        read=example.counted,
        params=example.params,
        scale=1.0 if example.scales is None else example.scales(example.tensors),
        leaves=example.leaves,
    )


BUILT_IN_CASES = {name: _drawn(name) for name in BUILT_INS}
CASES = {
    **{name: case for name, case in BUILT_IN_CASES.items() if case.read},
    # Not mse of counts: torch 2.6 has no gradient of it.
    "smooth_l1 of counts": Case(
        "smooth_l1",
        {"input": random(ROWS, 3, 2), "target": labels(9, ROWS, 3, 2)},
        F.smooth_l1_loss,
    ),
    "bce_with_logits weighted": Case(
        "bce_with_logits",
        {"input": random(ROWS, 4), "target": random(ROWS, 4, seed=1).sigmoid()},
        lambda *inputs, reduction: F.binary_cross_entropy_with_logits(
            *inputs, weight=FACTORS, pos_weight=FACTORS, reduction=reduction
        ),
        params={"weight": CLASS_WEIGHTS, "pos_weight": CLASS_WEIGHTS},
    ),
    "nll weighted": classwise("nll", 3, ignored=1, **WEIGHTED),
    "nll2d weighted": classwise("nll2d", 3, 2, ignored=255, **WEIGHTED),
    "cross_entropy ignored": classwise("cross_entropy", 3, 2, ignored=-100),
    "cross_entropy smoothed": classwise("cross_entropy", 3, label_smoothing=0.1),
    "cross_entropy weighted": classwise("cross_entropy", 3, ignored=-5, **WEIGHTED),
    "cross_entropy weighted and smoothed": classwise(
        "cross_entropy", ignored=-5, label_smoothing=0.1, **WEIGHTED
    ),
    "cross_entropy of probabilities": Case(
        "cross_entropy",
        {"input": random(ROWS, 4, 3), "target": random(ROWS, 4, 3, seed=1).softmax(1)},
        lambda *inputs, reduction: F.cross_entropy(
            *inputs, weight=FACTORS, label_smoothing=0.2, reduction=reduction
        ),
        params={**WEIGHTED, "label_smoothing": 0.2},
    ),
}


def build(case: Case, reduction: str = "mean", **term: Any) -> lossreg.CompositeLoss:
    params = {**case.params, "reduction": reduction}
    if reduction != "mean" and term.get("divide_by") == "weights":
        del term["divide_by"]  # other reductions have a divisor of their own, or none
    document = {"checks": "always", "terms": {"t": {"type": case.name, "params": params, **term}}}
    return lossreg.build(document).to(DOUBLE)


def leaves_of(case: Case) -> dict[str, Tensor]:
    """The batch, with new leaves for what is differentiated."""
    inputs = Registry.installed()[case.name].inputs
    wanted = case.leaves or {each.name for each in inputs if each.gradient}
    return {
        name: each.clone().requires_grad_()
        if name in wanted and each.is_floating_point()
        else each.clone()
        for name, each in case.inputs.items()
    }


def micro_batches(values: dict[str, Any], sizes: list[int]) -> list[dict[str, Any]]:
    """Slices of a batch along its rows."""
    # The rows of a ctc's `log_probs` are its second dimension.
    parts = {
        name: each.split(sizes, dim=1 if name == "log_probs" else 0)
        for name, each in values.items()
    }
    return [{name: each[i] for name, each in parts.items()} for i in range(len(sizes))]


def read_alone(case: Case, batches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The micro-batches as they are before the model runs."""
    unknown = set(case.inputs) - set(case.read)
    return [
        {name: each for name, each in batch.items() if name not in unknown} for batch in batches
    ]


def accumulate(
    loss: lossreg.CompositeLoss, batches: list[dict[str, Any]], denominators: Denominators
) -> tuple[Tensor, dict[str, Tensor]]:
    """The backward pass of each micro-batch; totals and terms added up."""
    total, terms = torch.zeros((), dtype=DOUBLE), dict.fromkeys(loss.terms.names, torch.zeros(()))
    for batch in batches:
        out = loss(batch, denominators=denominators)
        out.total.backward()
        total = total + out.total.detach()
        terms = {name: terms[name] + each for name, each in out.terms.items()}
    return total, terms


def assert_same_gradients(
    found: dict[str, Tensor], expected: dict[str, Tensor], *, of_largest: bool = False
) -> None:
    for name, leaf in expected.items():
        if leaf.grad is not None:
            given = found[name].grad
            assert given is not None, name
            assert ulps(given, leaf.grad, of_largest=of_largest) <= MOST_ULPS, name


def assert_as_one_batch(
    case: Case,
    loss: lossreg.CompositeLoss,
    big: Callable[[dict[str, Tensor]], Tensor],
    sizes: list[int],
    **extra: Tensor,
) -> None:
    """Micro-batches of these sizes give the value and the gradients of the big batch."""
    whole, split = leaves_of(case), leaves_of(case)
    expected = big(whole)
    expected.backward()
    batches = micro_batches({**split, **extra}, sizes)
    denominators = loss.denominators(read_alone(case, batches))
    total, terms = accumulate(loss, batches, denominators)
    torch.testing.assert_close(total, expected.detach(), rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(terms["t"], expected.detach(), rtol=1e-14, atol=1e-15)
    # Weights that are no whole numbers add up to something else in another order.
    assert_same_gradients(split, whole, of_largest="w" in extra)
