"""Denominators against torch's mean, and micro-batches against the one big batch."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import textwrap
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
from lossreg.errors import InputError
from lossreg.registry import Registry
from properties import assert_bit_identical, ulps

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_distributions import Site
    from lossreg.runtime.denominators import Denominators

# lossreg and torch warn of kl_div's mean.
pytestmark = [
    pytest.mark.filterwarnings("ignore::lossreg.errors.ConfigWarning"),
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning"),
]

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
    """

    name: str
    inputs: dict[str, Tensor]
    torch: Callable[..., Tensor]
    read: tuple[str, ...] = ("target",)
    params: dict[str, Any] = field(default_factory=dict)
    scale: Tensor | float = 1.0

    @property
    def reductions(self) -> tuple[str, ...]:
        return tuple(each for each in Registry.installed()[self.name].reductions if each != "none")

    def value(self, inputs: dict[str, Tensor], reduction: str) -> Tensor:
        return self.torch(*inputs.values(), reduction=reduction)


def entrywise(name: str, function: Any, target: Tensor | None = None, **params: Any) -> Case:
    shape = (ROWS, 3, 2)
    first = random(*shape)
    if name == "bce":
        first = first.sigmoid()
    if name == "kl_div":
        first = first.log_softmax(-1)
    if name == "hinge_embedding":
        first = first.abs()
    target = random(*shape, seed=1) if target is None else target
    return Case(
        name,
        {"input": first, "target": target},
        lambda *inputs, reduction: function(*inputs, reduction=reduction, **params),
        params=params,
    )


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
LENGTHS = labels(4, ROWS)
PROBABILITIES = random(ROWS, 3, 2, seed=1).sigmoid()
VECTORS = [random(ROWS, 3, 5, seed=seed) for seed in range(3)]

CASES = {
    "l1": entrywise("l1", F.l1_loss),
    "mse": entrywise("mse", F.mse_loss),
    "smooth_l1": entrywise("smooth_l1", F.smooth_l1_loss, beta=0.3),
    # Not mse of counts: torch 2.6 has no gradient of it.
    "smooth_l1 of counts": entrywise("smooth_l1", F.smooth_l1_loss, labels(9, ROWS, 3, 2)),
    "bce": entrywise("bce", F.binary_cross_entropy, PROBABILITIES),
    "bce_with_logits": entrywise(
        "bce_with_logits", F.binary_cross_entropy_with_logits, PROBABILITIES
    ),
    "bce_with_logits weighted": Case(
        "bce_with_logits",
        {"input": random(ROWS, 4), "target": random(ROWS, 4, seed=1).sigmoid()},
        lambda *inputs, reduction: F.binary_cross_entropy_with_logits(
            *inputs, weight=FACTORS, pos_weight=FACTORS, reduction=reduction
        ),
        params={"weight": CLASS_WEIGHTS, "pos_weight": CLASS_WEIGHTS},
    ),
    "kl_div": entrywise("kl_div", F.kl_div, PROBABILITIES),
    "kl_div log_target": entrywise("kl_div", F.kl_div, PROBABILITIES.log(), log_target=True),
    "poisson_nll": entrywise("poisson_nll", F.poisson_nll_loss, labels(5, ROWS, 3, 2), full=True),
    "soft_margin": entrywise("soft_margin", F.soft_margin_loss, signs(ROWS, 3, 2)),
    "hinge_embedding": entrywise("hinge_embedding", F.hinge_embedding_loss, signs(ROWS, 3, 2)),
    "margin_ranking": Case(
        "margin_ranking",
        {"input1": random(ROWS, 3), "input2": random(ROWS, 3, seed=1), "target": signs(ROWS, 3)},
        F.margin_ranking_loss,
    ),
    "cosine_embedding": Case(
        "cosine_embedding",
        {"input1": random(ROWS, 5), "input2": random(ROWS, 5, seed=1), "target": signs(ROWS)},
        F.cosine_embedding_loss,
    ),
    "multi_margin": Case(
        "multi_margin",
        {"input": random(ROWS, 4), "target": labels(4, ROWS)},
        lambda *inputs, reduction: F.multi_margin_loss(
            *inputs, weight=FACTORS, reduction=reduction
        ),
        params=WEIGHTED,
    ),
    "multilabel_margin": Case(
        "multilabel_margin",
        {
            "input": random(ROWS, 4),
            "target": torch.stack([torch.randperm(5) - 1 for _ in range(ROWS)])[:, :4],
        },
        F.multilabel_margin_loss,
    ),
    "multilabel_soft_margin": Case(
        "multilabel_soft_margin",
        {"input": random(ROWS, 3, 4), "target": random(ROWS, 3, 4, seed=1).sigmoid()},
        lambda *inputs, reduction: F.multilabel_soft_margin_loss(
            *inputs, weight=FACTORS, reduction=reduction
        ),
        params=WEIGHTED,
    ),
    "nll": classwise("nll"),
    "nll weighted": classwise("nll", 3, ignored=1, **WEIGHTED),
    "nll2d": classwise("nll2d", 3, 2, ignored=255, **WEIGHTED),
    "cross_entropy": classwise("cross_entropy"),
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
    "ctc": Case(
        "ctc",
        {
            "log_probs": random(7, ROWS, 5).log_softmax(-1),
            "targets": 1 + labels(4, ROWS, 3),
            "input_lengths": 7 - labels(2, ROWS),
            "target_lengths": LENGTHS,
        },
        lambda *inputs, reduction: F.ctc_loss(*inputs, reduction=reduction),
        read=("target_lengths",),
        scale=1 / LENGTHS.clamp(min=1).to(DOUBLE),
    ),
}
# Losses whose denominators cannot be read from targets.
UNCOUNTED = {"triplet_margin"}
WITHOUT_ENTRIES = {"value"}

CASE = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
SPLIT = pytest.mark.parametrize("count", SPLITS)


def test_every_built_in_is_here() -> None:
    registry = Registry.installed()
    own = {name for name in registry if registry[name].build.__module__.startswith("lossreg_lo")}
    assert {case.name for case in CASES.values()} | UNCOUNTED | WITHOUT_ENTRIES == own
    for name in own:
        counted = tuple(each.name for each in registry[name].inputs if each.counted)
        read = {case.read for case in CASES.values() if case.name == name} or {()}
        assert read == {counted}, name


def build(case: Case, reduction: str = "mean", **term: Any) -> lossreg.CompositeLoss:
    params = {**case.params, "reduction": reduction}
    document = {"checks": "always", "terms": {"t": {"type": case.name, "params": params, **term}}}
    return lossreg.build(document).to(DOUBLE)


def leaves_of(case: Case) -> dict[str, Tensor]:
    """The batch, with new leaves for what is differentiated."""
    inputs = Registry.installed()[case.name].inputs
    wanted = {each.name for each in inputs if each.gradient}
    return {
        name: each.clone().requires_grad_()
        if name in wanted and each.is_floating_point()
        else each.clone()
        for name, each in case.inputs.items()
    }


def micro_batches(values: dict[str, Any], sizes: list[int]) -> list[dict[str, Any]]:
    """Slices of a batch along its rows, which are the second dimension of a ctc's `log_probs`."""
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


@CASE
def test_numerator_over_denominator_is_torchs_mean(case: Case) -> None:
    for reduction in case.reductions:
        entries = case.value(case.inputs, "none")
        if reduction == "mean":
            entries = entries * case.scale
        denominators = build(case, reduction).denominators(read_alone(case, [case.inputs]))
        assert denominators.world_size == 1
        assert denominators.values.dtype == DOUBLE
        torch.testing.assert_close(
            entries.sum() / denominators.values[0],
            case.value(case.inputs, reduction),
            rtol=1e-14,
            atol=0,
        )


@SPLIT
@CASE
def test_micro_batches_are_torch_on_the_big_batch(case: Case, count: int) -> None:
    for reduction in case.reductions:

        def big(values: dict[str, Tensor], reduction: str = reduction) -> Tensor:
            return case.value(values, reduction)

        assert_as_one_batch(case, build(case, reduction), big, SPLITS[count])


def test_a_mean_of_each_micro_batch_is_not_the_mean() -> None:
    case = CASES["cross_entropy weighted"]
    loss, whole, split = build(case), leaves_of(case), leaves_of(case)
    loss(whole).total.backward()
    for batch in micro_batches(split, [17, 7]):
        (loss(batch).total / 2).backward()
    found, expected = split["input"].grad, whole["input"].grad
    assert found is not None
    assert expected is not None
    assert (found - expected).abs().max() > 0.1 * expected.abs().max()


def entry_shape(case: Case) -> torch.Size:
    return case.value(case.inputs, "none").shape


def a_mask(*shape: int) -> Tensor:
    """About half of the entries; of some micro-batches, none."""
    mask = labels(2, *shape).bool()
    mask[9:10] = False
    mask[0:1] = False
    return mask


MORE_SPLITS = pytest.mark.parametrize(
    "count", [pytest.param(each, marks=[pytest.mark.nightly] * (each != 4)) for each in SPLITS]
)
CHOSEN = ({"mask": "m"}, {"sample_weight": "w"}, {"mask": "m", "sample_weight": "w"})


@MORE_SPLITS
@CASE
def test_masks_and_sample_weights_of_micro_batches(case: Case, count: int) -> None:
    shape = entry_shape(case)
    every = {"m": a_mask(*shape), "w": random(*shape[:1], seed=7).exp()}
    for chosen in CHOSEN:
        extra = {name: every[name] for name in chosen.values()}
        for reduction in case.reductions:
            loss = build(case, reduction, **chosen)

            def big(values: dict[str, Tensor], loss: Any = loss, extra: Any = extra) -> Tensor:
                total: Tensor = loss({**values, **extra}).total
                return total

            assert_as_one_batch(case, loss, big, SPLITS[count], **extra)


TARGETED = {name: case for name, case in CASES.items() if case.read == ("target",)}


@pytest.mark.parametrize("case", TARGETED.values(), ids=TARGETED)
def test_what_is_masked_may_be_anything(case: Case) -> None:
    keep, target = a_mask(ROWS), case.inputs["target"]
    spoilt = target.clone()
    spoilt[~keep] = math.nan if target.is_floating_point() else 10**6
    loss = build(case, mask="m")
    found, expected = (loss.denominators([{"target": t, "m": keep}]) for t in (spoilt, target))
    assert torch.equal(found.values, expected.values)


IGNORING = {
    name: case
    for name, case in CASES.items()
    if Registry.installed()[case.name].target and "probabilities" not in name
}


@MORE_SPLITS
@pytest.mark.parametrize("case", IGNORING.values(), ids=IGNORING)
def test_ignored_targets_of_micro_batches(case: Case, count: int) -> None:
    keep = a_mask(*case.inputs["target"].shape)
    ignored = math.nan if case.inputs["target"].is_floating_point() else -77
    case = copy.copy(case)
    target = torch.where(keep, case.inputs["target"], ignored)
    case.inputs = {**case.inputs, "target": target.to(case.inputs["target"].dtype)}
    loss = build(case, ignore="nan" if math.isnan(ignored) else ignored)
    assert_as_one_batch(case, loss, lambda values: loss(values).total, SPLITS[count])


@pytest.mark.parametrize("name", ["cross_entropy", "l1", "ctc", "cosine_embedding"])
def test_a_group_and_several_terms(name: str) -> None:
    case = CASES[name]
    term = {"type": name, "inputs": {each: each for each in case.inputs}, "params": case.params}
    document = {
        "terms": {
            "heads": {"from": "heads[1]", "weight": 0.5, "terms": {"a": term, "b/c": term}},
            "plain": {**term, "weight": 2.0, "params": {**case.params, "reduction": "sum"}},
            "off": {**term, "weight": 0.0},
        }
    }
    document["terms"]["heads"]["terms"] = {"a": term, "b": {**term, "weight": 3.0}}
    loss = lossreg.build(document).double()
    whole, split = leaves_of(case), leaves_of(case)
    expected = loss({**whole, "heads": [None, whole]})
    expected.total.backward()
    batches = [{**each, "heads": [None, each]} for each in micro_batches(split, SPLITS[4])]
    denominators = loss.denominators(batches)
    assert denominators.names == ("heads/a", "heads/b", "plain", "off")
    assert denominators.values[2] == 1.0  # a sum is divided by nothing
    total, terms = accumulate(loss, batches, denominators)
    torch.testing.assert_close(total, expected.total.detach(), rtol=1e-14, atol=0)
    for each, value in expected.terms.items():
        torch.testing.assert_close(terms[each], value, rtol=1e-14, atol=0)
    assert_same_gradients(split, whole)


@pytest.mark.parametrize("as_tensor", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_given_denominators_add_up(reduction: str, *, as_tensor: bool) -> None:
    case = CASES["l1"]
    loss = build(case, reduction, denominator="n")
    split, whole = leaves_of(case), leaves_of(case)
    numbers = [3, 0, 2.5, 1]
    (case.value(whole, "sum") / 6.5).backward()
    batches = [
        {**batch, "n": torch.tensor([number]) if as_tensor else number}
        for batch, number in zip(micro_batches(split, SPLITS[4]), numbers, strict=True)
    ]
    before = [{"n": batch["n"]} for batch in batches]
    denominators = loss.denominators(before)
    assert denominators.values.tolist() == [6.5]
    accumulate(loss, batches, denominators)
    assert_same_gradients(split, whole)


def test_a_group_may_give_the_denominator() -> None:
    boxes = {"type": "l1", "inputs": ["boxes", "target"]}
    document = {"terms": {"g": {"from": "aux", "denominator": "n", "terms": {"boxes": boxes}}}}
    loss = lossreg.build(document)
    assert loss.denominators([{"n": 2}, {"n": torch.tensor(3)}]).values.tolist() == [5.0]


def test_a_transformed_target_is_counted_as_the_loss_sees_it() -> None:
    inputs = {
        "input": "p",
        "target": {"from": "y", "apply": [{"shift": {"by": -1, "dim": 0, "fill": -100}}]},
    }
    loss = lossreg.build({"terms": {"t": {"type": "cross_entropy", "inputs": inputs}}})
    assert loss.denominators([{"y": torch.arange(5)}]).values.tolist() == [4.0]


def test_an_optional_term_counts_where_it_is() -> None:
    term = {"type": "l1", "optional": True}
    loss = lossreg.build({"terms": {"a": {**term, "mask": "m", "sample_weight": "w"}, "b": term}})
    whole = {"target": torch.zeros(3), "m": torch.tensor([1, 1, 0]), "w": torch.ones(3)}
    batches: list[dict[str, Any]] = [
        whole,
        {"target": torch.zeros(4)},  # a mask, or weights, that are missing leave the term out
        {**whole, "m": None},
        {**whole, "w": None},
        {"target": None},
        {},
    ]
    denominators = loss.denominators(batches)
    assert denominators.values.tolist() == [2.0, 3 + 4 + 3 + 3]
    ones = torch.ones(3, requires_grad=True)
    out = loss({**whole, "input": ones}, denominators=denominators)
    assert out.terms == {"a": 1.0, "b": torch.tensor(3 / 13)}
    late = loss({"input": torch.ones(4), "target": torch.zeros(4)}, denominators=denominators)
    assert list(late.terms) == list(late.weights) == ["a", "b"]
    assert (late.terms["a"], late.weights["a"]) == (0.0, 0.0)


def test_an_optional_term_that_is_nowhere_is_zero() -> None:
    loss = lossreg.build({"terms": {"a": {"type": "l1", "optional": True}, "b": {"type": "value"}}})
    denominators = loss.denominators([{}, {}])
    assert denominators.values.tolist() == [0.0, 2.0]
    out = loss({"input": torch.tensor(6.0), "target": None}, denominators=denominators)
    assert (out.total, out.terms["a"]) == (3.0, 0.0)


@pytest.mark.parametrize(
    "name", ["cross_entropy ignored", "cross_entropy weighted", "nll2d", "nll weighted"]
)
def test_with_no_target_left_anywhere_the_term_is_a_zero_in_the_graph(name: str) -> None:
    case = CASES[name]
    values = leaves_of(case)
    values["target"].fill_(case.params["ignore_index"])
    loss = build(case)
    denominators = loss.denominators([values])
    assert denominators.values.tolist() == [0.0]
    out = loss(values, denominators=denominators)
    assert out.total == 0
    out.total.backward()
    assert values["input"].grad is not None
    assert not values["input"].grad.any()


EMPTY = {name: case for name, case in CASES.items() if case.name != "ctc"}


@pytest.mark.parametrize("case", EMPTY.values(), ids=EMPTY)
def test_a_micro_batch_without_rows_adds_nothing(case: Case) -> None:
    def big(values: dict[str, Tensor]) -> Tensor:
        return case.value(values, "mean")

    # torch's ctc refuses one.
    assert_as_one_batch(case, build(case), big, [0, 20, 0, 4])


def test_no_micro_batches_at_all_divide_by_1() -> None:
    loss = build(CASES["l1"])
    denominators = loss.denominators(iter(()))
    assert denominators.values.tolist() == [0.0]
    values = {"input": torch.ones(3), "target": torch.zeros(3)}
    assert loss(values, denominators=denominators).total == 3.0


def test_values_are_averaged_over_micro_batches() -> None:
    document = {
        "terms": {
            "mean": {"type": "value", "inputs": ["x"]},
            "rows": {"type": "value", "inputs": ["x"], "params": {"reduction": "batchmean"}},
            "sum": {"type": "value", "inputs": ["x"], "params": {"reduction": "sum"}},
            "given": {"type": "value", "inputs": ["x"], "denominator": "n"},
        }
    }
    loss = lossreg.build(document)
    twos, fives = torch.full((2, 3), 2.0), torch.full((1, 3), 5.0)
    batches = [
        {"x": twos.requires_grad_(), "n": 6},
        {"x": fives.requires_grad_(), "n": 3},
    ]
    denominators = loss.denominators([{"n": 6}, {"n": 3}])
    assert denominators.values.tolist() == [2.0, 2.0, 1.0, 9.0]
    _, terms = accumulate(loss, batches, denominators)
    # Means 2 and 5; a row's sum 6 and 15; in all 12 + 15 over 9 entries.
    assert {name: each.item() for name, each in terms.items()} == {
        "mean": 3.5,
        "rows": 10.5,
        "sum": 27.0,
        "given": 3.0,
    }


def test_what_cannot_be_counted_says_what_to_do() -> None:
    vectors = dict(zip(("anchor", "positive", "negative"), VECTORS, strict=True))
    loss = lossreg.build({"terms": {"metric": {"type": "triplet_margin", "mask": "m"}}})
    with pytest.raises(InputError) as raised:
        loss.denominators([{**vectors, "m": torch.ones(ROWS, 3)}])
    assert str(raised.value) == (
        "term 'metric': what 'triplet_margin' divides by cannot be read from its targets; give "
        "the term a 'denominator', the path of a number"
    )
    assert raised.value.term == "metric"


@SPLIT
def test_with_a_denominator_it_can_be_counted(count: int) -> None:
    names = ("anchor", "positive", "negative")
    case = Case(
        "triplet_margin", dict(zip(names, VECTORS, strict=True)), F.triplet_margin_loss, read=()
    )
    whole, split = leaves_of(case), leaves_of(case)
    case.value(whole, "mean").backward()
    loss = build(case, denominator="pairs")
    batches = [
        {**batch, "pairs": batch["anchor"].shape[0] * 3}
        for batch in micro_batches(split, SPLITS[count])
    ]
    accumulate(loss, batches, loss.denominators([{"pairs": each["pairs"]} for each in batches]))
    assert_same_gradients(split, whole)


def test_a_target_that_the_model_computes_is_told_of() -> None:
    target = {"from": "score", "apply": ["ones_like"]}
    term = {"type": "bce_with_logits", "inputs": {"input": "score", "target": target}}
    loss = lossreg.build({"terms": {"real": term}})
    with pytest.raises(InputError, match=r"there is no 'score'.*give the term a 'denom") as raised:
        loss.denominators([{"image": torch.ones(2)}])
    error = raised.value
    assert (error.term, error.argument, error.path) == ("real", "input", "score")
    given = lossreg.build({"terms": {"real": {**term, "denominator": "n"}}})
    assert given.denominators([{"n": 4}]).values.tolist() == [4.0]


@pytest.mark.parametrize(
    ("term", "values", "message"),
    [
        ({"mask": "m"}, {"m": torch.ones(3)}, r"'mask' \(path 'm'\): expected the leading dim"),
        ({"sample_weight": "m"}, {"m": torch.ones(2, 1)}, r"'sample_weight' \(path 'm'\)"),
        ({"denominator": "m"}, {"m": "4"}, r"'denominator' \(path 'm'\): expected a number"),
        ({}, {"target": torch.tensor([7, 1])}, r"'t': counting what 'nll' divides by failed: Ind"),
        ({}, {"target": "label"}, r"expected a tensor at 'target', found a str"),
    ],
)
def test_what_does_not_fit_is_an_error_of_the_term(
    term: dict[str, Any], values: dict[str, Any], message: str
) -> None:
    loss = lossreg.build({"terms": {"t": {"type": "nll", "params": WEIGHTED, **term}}})
    with pytest.raises(InputError, match=message) as raised:
        loss.denominators([{"target": torch.tensor([0, 1]), **values}])
    assert raised.value.term == "t"


def test_one_micro_batch_is_not_a_list_of_them() -> None:
    with pytest.raises(TypeError, match="give the micro-batches as a list"):
        build(CASES["l1"]).denominators({"target": torch.ones(2)})


def test_denominators_of_another_composite_are_refused() -> None:
    other = lossreg.build({"terms": {"other": {"type": "l1"}}})
    denominators = other.denominators([{"target": torch.ones(2)}])
    with pytest.raises(InputError, match=r"denominators of the terms t, found those of other"):
        build(CASES["l1"])(CASES["l1"].inputs, denominators=denominators)


def test_micro_batches_may_be_objects_and_come_from_a_generator() -> None:
    batches = (SimpleNamespace(target=torch.zeros(rows)) for rows in (2, 5))
    assert build(CASES["l1"]).denominators(batches).values.tolist() == [7.0]


@pytest.mark.parametrize(("world_size", "factor"), [(None, 1), (1, 1), (4, 4)])
def test_the_total_is_multiplied_by_the_world_size(world_size: int | None, factor: int) -> None:
    case = CASES["l1"]
    loss = build(case)
    denominators = loss.denominators([case.inputs], world_size=world_size)
    assert denominators.world_size == factor
    out = loss(case.inputs, denominators=denominators)
    mean = case.value(case.inputs, "mean")
    assert_bit_identical(out.total, mean * factor)
    assert_bit_identical(out.terms["t"], mean)  # as it is, to be added up


UNBATCHED = {
    "cross_entropy": ({"input": random(4), "target": torch.tensor(2)}, WEIGHTED, 0.0),
    "cross_entropy of class 1": ({"input": random(4), "target": torch.tensor(1)}, WEIGHTED, 2.0),
    "cross_entropy of probabilities": (
        {"input": random(4), "target": random(4).softmax(0)},
        WEIGHTED,
        1.0,
    ),
    "nll": ({"input": random(4).log_softmax(0), "target": torch.tensor(3)}, {}, 1.0),
    "kl_div": ({"input": -random(4).exp(), "target": random(4).softmax(0)}, {}, 4.0),
    "multi_margin": ({"input": random(4), "target": torch.tensor(3)}, {}, 1.0),
    "multilabel_margin": ({"input": random(4), "target": torch.tensor([1, 0, -1, 0])}, {}, 1.0),
    "cosine_embedding": (
        {"input1": random(4), "input2": random(4, seed=1), "target": torch.tensor(1)},
        {},
        1.0,
    ),
    "ctc": (
        {
            "log_probs": random(7, 5).log_softmax(-1),
            "targets": torch.tensor([1, 2, 2]),
            "input_lengths": torch.tensor(7),
            "target_lengths": torch.tensor(3),
        },
        {},
        1.0,
    ),
}


@pytest.mark.parametrize("name", UNBATCHED)
def test_an_example_without_a_batch_is_counted(name: str) -> None:
    inputs, params, expected = UNBATCHED[name]
    case = Case(name.partition(" ")[0], inputs, F.l1_loss, params=params)
    loss = build(case)
    denominators = loss.denominators([inputs])
    assert denominators.values.tolist() == [expected]
    found = loss(inputs, denominators=denominators).total
    if expected:
        torch.testing.assert_close(found, loss(inputs).total)


@CASE
def test_float32_is_as_near_as_its_precision(case: Case) -> None:
    small = copy.copy(case)
    small.inputs = {
        name: each.float() if each.is_floating_point() else each
        for name, each in case.inputs.items()
    }
    whole, split = leaves_of(small), leaves_of(small)
    loss = build(case).to(torch.float32)
    loss(whole).total.backward()
    batches = micro_batches(split, SPLITS[8])
    denominators = loss.denominators(read_alone(case, batches))
    assert denominators.values.dtype == DOUBLE  # counts are exact
    accumulate(loss, batches, denominators)
    for name, leaf in whole.items():
        torch.testing.assert_close(split[name].grad, leaf.grad, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["value", "l1"])
def test_half_precision_has_room_for_the_denominator(kind: str, dtype: torch.dtype) -> None:
    # 100,003 is infinite in float16, and 99,840 in bfloat16.
    values = {"input": torch.ones(3, dtype=dtype), "target": torch.zeros(3, dtype=dtype)}
    loss = lossreg.build({"terms": {"t": {"type": kind, "denominator": "n"}}})
    expected = torch.tensor(3.0) / 100_003
    assert_bit_identical(loss({**values, "n": 100_003}).total, expected)
    denominators = loss.denominators([{"n": 100_000}, {"n": 3}])
    assert_bit_identical(loss(values, denominators=denominators).total, expected)


def test_no_graph_is_kept() -> None:
    loss = build(CASES["cross_entropy of probabilities"], sample_weight="w")
    target = random(3, 4).softmax(1).requires_grad_()
    weight = torch.ones(3, requires_grad=True)
    assert not loss.denominators([{"target": target, "w": weight}]).values.requires_grad


SCALED = """
    import torch
    from torch import nn
    from lossreg.plugin import LossConfig, LossDefinition, LossInput, Reduction, hookimpl


    class Config(LossConfig):
        reduction: Reduction = "mean"


    class Scaled(nn.Module):
        '''Learns its scale, has a buffer and a child that reduces.'''

        def __init__(self, reduction):
            super().__init__()
            self.scale = nn.Parameter(torch.rand(()))
            self.register_buffer("calls", torch.zeros(()))
            KEEPS
            self.error = nn.L1Loss(reduction=reduction)
            self.layer = nn.Linear(2, 2)
            self.drop = nn.Dropout(1.0)

        def forward(self, input, target):
            self.calls += 1
            return self.error(self.scale * self.layer(self.drop(input)), target)


    def build(config):
        return Scaled(config.reduction)


    @hookimpl
    def lossreg_losses():
        inputs = (
            LossInput(name="input", meaning="predictions", shape="N D", gradient=True),
            LossInput(name="target", meaning="values", shape="N D", counted=COUNTED),
        )
        return [
            LossDefinition(
                name="scaled", config=Config, build=build, inputs=inputs, summary="made up",
                unreduced="N D",
            )
        ]
"""


def third_party(
    site: Site, *, keeps: str = "self.reduction = reduction", counted: bool = True, **term: Any
) -> lossreg.CompositeLoss:
    source = textwrap.dedent(SCALED).replace("KEEPS", keeps).replace("COUNTED", str(counted))
    site.add("acme", {"scaled": "acme_scaled"}, {"acme_scaled": source})
    return lossreg.build({"terms": {"t": {"type": "scaled", **term}}}).double().eval()


THIRD = {"input": random(ROWS, 2), "target": random(ROWS, 2, seed=1)}


def third_gradients(
    loss: lossreg.CompositeLoss, sizes: list[int] | None
) -> tuple[list[Tensor], Denominators | None]:
    loss.zero_grad()
    denominators = None
    if sizes is None:
        loss(THIRD).total.backward()
    else:
        batches = micro_batches(THIRD, sizes)
        denominators = loss.denominators([{"target": each["target"]} for each in batches])
        accumulate(loss, batches, denominators)
    return [each.grad.clone() for each in loss.parameters() if each.grad is not None], denominators


def assert_micro_batches_fit(loss: lossreg.CompositeLoss) -> None:
    expected, _ = third_gradients(loss, None)
    found, denominators = third_gradients(loss, SPLITS[4])
    assert denominators is not None
    assert denominators.values.tolist() == [ROWS * 2]
    assert len(found) == len(expected) == 3
    for each, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(each, wanted, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("keeps", ["self.reduction = reduction", "pass"])
def test_a_loss_with_parameters_of_its_own(site: Site, keeps: str) -> None:
    loss = third_party(site, keeps=keeps)
    state = torch.random.get_rng_state()
    assert_micro_batches_fit(loss)
    # The unreduced form is built on the way, and draws nothing from the run's random numbers.
    assert torch.equal(torch.random.get_rng_state(), state)
    assert list(loss.state_dict()) == [
        f"terms.t.{name}" for name in ("scale", "calls", "layer.weight", "layer.bias")
    ]
    (module,) = loss.terms.children()
    assert module.calls == 1 + 4

    with torch.no_grad():
        module.scale.fill_(3.0)
        module.layer.weight.fill_(0.5)
    assert_micro_batches_fit(loss)
    loss.load_state_dict({name: torch.ones_like(e) for name, e in loss.state_dict().items()})
    assert_micro_batches_fit(loss)
    assert_micro_batches_fit(loss.to(torch.float32).to(DOUBLE))
    module.layer.weight = nn.Parameter(torch.rand(2, 2, dtype=DOUBLE))
    assert_micro_batches_fit(loss)


def test_copies_made_afterwards_share_with_themselves_alone(site: Site) -> None:
    loss = third_party(site)
    assert_micro_batches_fit(loss)
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        with torch.no_grad():
            for each in twin.parameters():
                each.add_(1.0)
        before = [each.clone() for each in loss.parameters()]
        assert_micro_batches_fit(twin.to(torch.float32).to(DOUBLE))
        assert all(map(torch.equal, before, loss.parameters()))
    assert_micro_batches_fit(loss)


def test_hooks_and_modes_are_those_of_the_loss(site: Site) -> None:
    loss = third_party(site)
    (module,) = loss.terms.children()
    seen: list[str] = []
    batches = micro_batches(THIRD, [20, 4])
    module.register_full_backward_hook(lambda *_: seen.append("back"))
    batches[0]["input"].requires_grad_()
    denominators = loss.denominators(batches)
    module.register_forward_pre_hook(lambda *_: seen.append("before"))
    module.register_forward_hook(lambda *_: seen.append("after"))
    module.layer.register_forward_hook(lambda *_: seen.append("layer"))
    accumulate(loss, batches[:1], denominators)
    assert seen == ["before", "layer", "after", "back"]

    quiet = loss(batches[0], denominators=denominators).total
    loss.train()  # everything is dropped, so that the input is no matter
    dropped = [loss({**batches[0], "input": x}, denominators=denominators).total for x in THIRD_X]
    assert dropped[0] == dropped[1] != quiet
    assert torch.equal(loss.eval()(batches[0], denominators=denominators).total, quiet)


THIRD_X = [random(20, 2, seed=seed) for seed in (5, 6)]


@pytest.mark.parametrize("extra", [{"mask": "m"}, {"sample_weight": "m"}])
def test_without_a_counted_input_a_mask_of_all_dimensions_tells(
    site: Site, extra: dict[str, str]
) -> None:
    loss = third_party(site, counted=False, **extra)
    mask = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert loss.denominators([{"m": mask}]).values.tolist() == [3.0]
    with pytest.raises(InputError, match="give the term a 'denominator'"):
        loss.denominators([{"m": torch.ones(3)}])


def test_without_a_counted_input_ignored_targets_tell(site: Site) -> None:
    loss = third_party(site, counted=False, ignore="nan")
    target = torch.tensor([[1.0, math.nan], [0.0, 2.0]])
    assert loss.denominators([{"target": target}]).values.tolist() == [3.0]
    plain = lossreg.build({"terms": {"t": {"type": "scaled"}}})
    with pytest.raises(InputError, match="give the term a 'denominator'"):
        plain.denominators([{"target": target}])


def test_a_loss_that_reads_more_than_what_counts_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = build(CASES["l1"])
    (term,) = loss.terms._terms
    count = lossreg.plugin.Denominator(count=lambda _, inputs: inputs["input"])
    monkeypatch.setattr(term, "definition", dataclasses.replace(term.definition, denominator=count))
    with pytest.raises(InputError, match="term 't': counting what 'l1' divides by failed: KeyErr"):
        loss.denominators([{"target": torch.ones(2)}])
