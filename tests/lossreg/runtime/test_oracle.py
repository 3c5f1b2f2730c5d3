"""Random composites against the same thing written in torch, term by term."""

from __future__ import annotations

import math
import random
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

import lossreg
from built_ins import BUILT_INS, built_in
from lossreg.errors import ConfigWarning
from oracles import Draw
from properties import assert_bit_identical

if TYPE_CHECKING:
    from collections.abc import Callable

    from oracles import Example, Tensors

REGISTRY = lossreg.Registry.installed()
WITH_ENTRIES = [name for name in BUILT_INS if "none" in REGISTRY[name].reductions]
COUNT, NIGHTLY_COUNT = 200, 2_000
SEEDS = [
    pytest.param(seed, marks=[pytest.mark.nightly] if seed >= COUNT else [])
    for seed in range(NIGHTLY_COUNT)
]
# How far two sums of the same numbers in another order may be apart, in eps of the sum of sizes.
FEW = 16


@dataclass
class Weight:
    """A weight as it is written, and its value after so many steps and epochs."""

    written: Any
    value: Callable[[int, int], float]


def draw_weight(rng: random.Random) -> Weight:
    kind = rng.choice(["number", "number", "zero", "negative", "schedule", "schedule"])
    if kind != "schedule":
        number = {"number": rng.uniform(0.1, 3), "zero": 0.0, "negative": -0.5}[kind]
        return Weight(number, lambda _steps, _epochs: number)
    start, end, steps = rng.uniform(0.1, 1), rng.uniform(1, 2), rng.randint(1, 8)
    ramp = {"start": start, "end": end, "steps": steps}

    def part(t: int) -> float:
        return min(t / steps, 1.0)

    written, value = rng.choice(
        [
            ({"schedule": "linear", **ramp}, lambda t: (1 - part(t)) * start + part(t) * end),
            (
                {"schedule": "cosine", **ramp},
                lambda t: (start + end) / 2 + (start - end) / 2 * math.cos(part(t) * math.pi),
            ),
            ({"schedule": "exponential", **ramp}, lambda t: start * (end / start) ** part(t)),
            (
                {
                    "schedule": "piecewise",
                    "between": "lines",
                    "points": [[0, start], [steps, end], [steps, -1.0]],
                },
                lambda t: (start + (end - start) * part(t)) if t < steps else -1.0,
            ),
            (
                {"schedule": "cyclic", "ramp": 0.5, **ramp},
                lambda t: start + (end - start) * min(2 * part(t % steps), 1.0),
            ),
        ]
    )
    unit = rng.choice(["step", "epoch"])
    by_step = unit == "step"
    return Weight({**written, "unit": unit}, lambda s, e: value(s if by_step else e))


@dataclass
class Term:
    """A term as the oracle knows it; `given` is what the composite gets, `clean` the oracle.

    Under a mask, and where the target is ignored, they differ: there the composite gets nan.
    """

    loss: str
    example: Example
    reduction: str
    weights: tuple[Weight, ...]
    given: Tensors
    clean: Tensors
    keep: Tensor | None = None
    sample_weight: Tensor | None = None
    denominator: float | None = None
    form: str | None = None
    absent: bool = False

    @property
    def torch_takes_the_mean(self) -> bool:
        return self.keep is self.sample_weight is self.denominator is None

    @property
    def has_weights(self) -> bool:
        """Whether the weights of what counts add up to more than 0."""
        assert self.sample_weight is not None
        weight = _trailing(self.sample_weight, torch.ones(self.example.shape))
        if self.example.counts is not None:
            weight = weight * self.example.counts(self.clean)
        return bool((weight if self.keep is None else weight[self.keep]).sum() > 0)

    @property
    def in_graph(self) -> bool:
        return not self.absent and all(weight.written != 0 for weight in self.weights)

    def weight(self, steps: int, epochs: int) -> float:
        return math.prod(each.value(steps, epochs) for each in self.weights)

    def value(self, *, sizes: bool = False) -> Tensor:
        """By choosing entries, where lossreg fills them; or the same without their signs."""
        if self.torch_takes_the_mean:
            return self.example.loss(self.clean, self.reduction)
        if self.loss == "value":
            each, reduction = self.clean["input"], "sum"
        else:
            each, reduction = self.example.loss(self.clean, "none"), self.reduction
        if sizes:
            each = each.abs()
        weight = torch.ones_like(each)
        if self.sample_weight is not None:
            weight = _trailing(self.sample_weight, each)
        keep = torch.ones_like(each).bool() if self.keep is None else self.keep
        if reduction == "sum":
            return (each * weight)[keep].sum() / self._divisor(torch.ones(()))
        if reduction == "batchmean":
            rows = (keep & (weight != 0)).reshape(len(each), -1).any(1).sum()
            return (each * weight)[keep].sum() / self._divisor(rows)
        if self.example.scales is not None and self.form != "rows":
            each = each * self.example.scales(self.clean)
        counts = weight if self.example.counts is None else weight * self.example.counts(self.clean)
        sizes_of = {"rows": len(each), "entries": each.numel()}
        own = torch.tensor(sizes_of[self.form]) if self.form in sizes_of else counts[keep].sum()
        return (each * weight)[keep].sum() / self._divisor(own)

    def _divisor(self, own: Tensor) -> Tensor:
        divisor = own if self.denominator is None else torch.tensor(self.denominator)
        return divisor if divisor != 0 else torch.ones(())


def _trailing(tensor: Tensor, like: Tensor) -> Tensor:
    return tensor.reshape(tensor.shape + (1,) * (like.dim() - tensor.dim())).expand_as(like)


@dataclass
class Place:
    """Where terms stand: the composite itself, or a group."""

    terms: dict[str, Any]
    values: dict[str, Any]
    prefix: str = ""
    weights: tuple[Weight, ...] = ()
    denominator: float | None = None


class Composite:
    """A random composite: its config, a step's values, and its terms as the oracle knows them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.dtype = self.rng.choice([torch.float32, torch.float64])
        self.draw = Draw(self.rng, self.dtype)
        self.values: dict[str, Any] = {}
        self.terms: dict[str, Term] = {}
        written: dict[str, Any] = {}
        places = [Place(written, self.values)]
        for index in range(self.rng.choice([0, 0, 1, 2])):
            places.append(self.group(f"group{index}", self.rng.choice(places)))
        for index in range(self.rng.randint(1, 5)):
            place = places[-1] if index == 0 else self.rng.choice(places)
            self.add(f"t{index}", place, may_be_absent=index > 0)
        # A group may have got no term.
        self.config = {"terms": {name: each for name, each in written.items() if _filled(each)}}

    def group(self, name: str, outer: Place) -> Place:
        weight = draw_weight(self.rng)
        inner: dict[str, Any] = {}
        terms: dict[str, Any] = {}
        outer.values[name] = {"deep": [None, inner]}
        written = {"from": f"{name}.deep[-1]", "weight": weight.written, "terms": terms}
        denominator = outer.denominator
        if self.rng.random() < 0.3:
            denominator = self.rng.choice([0.0, 3.0, 7.5])
            outer.values[f"count_{name}"] = self.rng.choice([torch.tensor, float])(denominator)
            written["divide_by"] = {"number": f"count_{name}"}
        outer.terms[name] = written
        weights = (*outer.weights, weight)
        return Place(terms, inner, f"{outer.prefix}{name}/", weights, denominator)

    def add(self, name: str, place: Place, *, may_be_absent: bool) -> None:
        rng = self.rng
        loss = rng.choice(BUILT_INS if place.denominator is None else WITH_ENTRIES)
        example = built_in(loss).example(self.draw)
        batchmean = ["batchmean"] if "batchmean" in REGISTRY[loss].reductions else []
        weight = draw_weight(rng)
        term = Term(
            loss=loss,
            example=example,
            reduction=rng.choice(["mean", "mean", "mean", "sum", *batchmean]),
            weights=(*place.weights, weight),
            given={key: each.clone() for key, each in example.tensors.items()},
            clean={key: each.clone() for key, each in example.tensors.items()},
            denominator=place.denominator,
        )
        written: dict[str, Any] = {
            "type": loss,
            "weight": weight.written,
            "detach": [],  # the oracle has gradients of targets as well
            "params": {**example.params, "reduction": term.reduction},
            "inputs": {key: f"{name}.{key}" for key in example.tensors},
        }
        given: dict[str, Any] = {}
        if loss in WITH_ENTRIES and loss != "value" and rng.random() < 0.6:
            self.choose_entries(name, term, written, given)
        if loss in WITH_ENTRIES and rng.random() < 0.2:
            term.denominator = rng.choice([0.0, 2.0, 5.5])
            given["count"] = rng.choice([torch.tensor, float])(term.denominator)
            written["divide_by"] = {"number": f"{name}.count"}
        if term.denominator is not None:
            term.reduction = written["params"]["reduction"] = "mean"
        elif term.sample_weight is not None and term.reduction == "mean":
            term.form = written["divide_by"] = rng.choice(["entries", "rows"])
            if term.has_weights:
                term.form = written["divide_by"] = rng.choice(["weights", "entries", "rows"])
        for key in example.leaves:
            term.given[key].requires_grad_()
            term.clean[key].requires_grad_()
        if may_be_absent and rng.random() < 0.15:
            term.absent = written["optional"] = True
        else:
            place.values[name] = {**given, **term.given}
        place.terms[name] = written
        self.terms[place.prefix + name] = term

    def choose_entries(
        self, name: str, term: Term, written: dict[str, Any], given: dict[str, Any]
    ) -> None:
        """Draw a mask, weights of samples and an ignored value; spoil what does not count."""
        rng, shape = self.rng, term.example.shape
        every = torch.ones(shape)
        if rng.random() < 0.5:
            share = rng.choice([0.0, 0.3, 0.7, 1.0])
            mask = torch.rand(self.leading(shape), generator=self.draw.generator) < share
            given["mask"] = mask if rng.random() < 0.5 else mask.to(rng.choice(MASKS))
            written["mask"] = f"{name}.mask"
            term.keep = _trailing(mask, every)
            for key, (axes, spoilt) in term.example.axes.items():
                view = term.given[key].movedim(axes, tuple(range(len(axes))))
                view[~term.keep] = spoilt
        if rng.random() < 0.5:
            weight = self.draw.uniform(*self.leading(shape))
            weight = weight * (weight > 0.3)
            term.sample_weight = weight.clone()
            written["sample_weight"] = f"{name}.weights"
            if "mask" in given and given["mask"].shape == weight.shape:
                weight[given["mask"] == 0] = math.nan
            given["weights"] = weight
        target = term.given.get("target")
        if target is not None and target.shape == shape and rng.random() < 0.4:
            there = torch.rand(shape, generator=self.draw.generator) < 0.3
            marks = ["nan", -77] if target.is_floating_point() else [-77]
            written["ignore"] = rng.choice(marks)
            target[there] = math.nan if written["ignore"] == "nan" else -77
            term.keep = ~there if term.keep is None else term.keep & ~there

    def leading(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[: self.rng.randint(1, len(shape))]

    def build(self) -> lossreg.CompositeLoss:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConfigWarning)
            return lossreg.build(self.config).to(self.dtype)


MASKS = (torch.float32, torch.int64, torch.uint8)


def _filled(written: dict[str, Any]) -> bool:
    """Whether there is a term in it; takes empty groups out of a group."""
    if "terms" not in written:
        return True
    inner = {name: each for name, each in written["terms"].items() if _filled(each)}
    written["terms"] = inner
    return bool(inner)


def gradients(value: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(value, leaves, retain_graph=True, allow_unused=True)
    return [
        torch.zeros_like(leaf) if each is None else each
        for each, leaf in zip(found, leaves, strict=True)
    ]


def assert_close(found: Tensor, expected: Tensor, size: float) -> None:
    """Equal to within a few roundings of numbers of this size."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= FEW * torch.finfo(found.dtype).eps * size


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_composite_is_the_sum_written_by_hand(seed: int) -> None:
    composite = Composite(seed)
    loss = composite.build()
    steps, epochs = composite.rng.randint(0, 12), composite.rng.randint(0, 5)
    for _ in range(steps):
        loss.step()
    for _ in range(epochs):
        loss.step_epoch()

    raw, out = loss.terms(composite.values), loss(composite.values)
    assert list(out.terms) == list(out.weights) == list(loss.terms.names)
    assert set(out.terms) == set(composite.terms)

    eps = torch.finfo(composite.dtype).eps
    expected, size = 0.0, 0.0
    pulls: list[tuple[Tensor, Tensor, float]] = []
    for name, term in composite.terms.items():
        if term.absent:
            assert out.terms[name] == out.weights[name] == raw[name] == 0
            continue
        by_hand = term.value()
        weight = term.weight(steps, epochs) if term.in_graph else 0.0
        # An exponential's logarithm and back is some roundings apart from a power.
        assert out.weights[name].item() == pytest.approx(weight, rel=FEW * eps, abs=1e-300)
        assert_same_term(term, raw[name], by_hand)
        assert torch.equal(out.terms[name], raw[name].detach())
        product = out.weights[name].item() * out.terms[name].item()
        expected += product
        size += abs(product)
        if term.in_graph:
            keys = term.example.leaves
            parts = gradients(by_hand, [term.clean[key] for key in keys])
            # An input's gradient may be the difference of two others', as that of an anchor.
            sizes = [each.abs().max().item() for each in parts]
            largest = abs(weight) * max(sizes, default=0.0)
            pulls += [
                (term.given[key], weight * each, largest)
                for key, each in zip(keys, parts, strict=True)
            ]

    assert abs(out.total.item() - expected) <= len(composite.terms) * eps * size
    weighted = loss.terms(composite.values, weighted=True)
    assert list(weighted) == list(raw) == list(loss.terms.names)
    added_up = sum(weighted.values())
    assert abs(out.total.item() - added_up.item()) <= len(composite.terms) * eps * size
    if pulls:
        found = gradients(out.total, [leaf for leaf, _, _ in pulls])
        for each, (_, pull, largest) in zip(found, pulls, strict=True):
            # Twice: the weight by hand is some roundings off as well.
            assert_close(each, pull, 2 * largest)
    else:
        assert not out.total.requires_grad


def assert_same_term(term: Term, found: Tensor, by_hand: Tensor) -> None:
    """The same value, and the same gradient in each leaf."""
    given = [term.given[key] for key in term.example.leaves]
    clean = [term.clean[key] for key in term.example.leaves]
    wanted = gradients(by_hand, clean)
    if term.torch_takes_the_mean:
        assert_bit_identical(found.detach(), by_hand.detach())
    else:
        assert_close(found.detach(), by_hand.detach(), term.value(sizes=True).item())
    for each, expected in zip(gradients(found, given), wanted, strict=True):
        if term.torch_takes_the_mean:
            assert_bit_identical(each, expected)
        else:
            assert_close(each, expected, expected.abs().max().item())
