"""Masks, sample weights and denominators against torch on the entries that are left."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

import lossreg
from lossreg.errors import InputError
from lossreg.plugin import Denominator, LossInput
from lossreg.registry import Registry
from lossreg.runtime.reduction import (
    divided,
    entry_shape,
    kept_entries,
    share_state,
)
from wrong_losses.fair import InMemory, fair

if TYPE_CHECKING:
    from collections.abc import Callable

# lossreg and torch warn of kl_div's mean.
pytestmark = [
    pytest.mark.filterwarnings("ignore::lossreg.errors.ConfigWarning"),
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning:torch"),
]

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
    "smooth_l1": entrywise("smooth_l1", nn.SmoothL1Loss, random(*SHAPE), random(*SHAPE, seed=1)),
    # Not mse of counts: torch 2.6 has no gradient of it.
    "smooth_l1 of counts": entrywise(
        "smooth_l1", nn.SmoothL1Loss, random(*SHAPE), labels(9, *SHAPE)
    ),
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


def test_every_loss_with_an_unreduced_form_is_here() -> None:
    registry = Registry.installed()
    offered = {name for name in registry if "none" in registry[name].reductions}
    assert offered == {case.name for case in CASES.values()}


def build(case: Case, reduction: str = "mean", **term: Any) -> lossreg.CompositeLoss:
    params = {**case.params, "reduction": reduction}
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


def spread_to(case: Case, mask: Tensor) -> Tensor:
    return mask.reshape(mask.shape + (1,) * (len(case.shape) - mask.dim())).expand(case.shape)


MASKED = [
    pytest.param(case, shape, id=f"{name} {len(shape)}")
    for name, case in CASES.items()
    for shape in case.masks
]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("case", "shape"), MASKED)
def test_a_mask_is_torch_on_the_entries_it_keeps(
    case: Case, shape: tuple[int, ...], reduction: str
) -> None:
    mask = a_mask(shape)
    clean = as_leaves(case.inputs)
    oracle = case.module(reduction=reduction)(*case.taken(clean, mask))
    loss = build(case, reduction, mask="m")
    assert_same(case, loss, {**soiled(case, mask), "m": mask}, oracle, clean)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("case", "shape"), MASKED)
def test_sample_weights_weigh_numerator_and_denominator(
    case: Case, shape: tuple[int, ...], reduction: str
) -> None:
    mask = a_mask(shape)
    weight = random(*shape, seed=5).exp()
    clean = as_leaves(case.inputs)
    taken = case.taken(clean, mask)
    each = case.module(reduction="none")(*taken)
    w = spread_to(case, weight)[spread_to(case, mask)].reshape(each.shape)
    counted = case.counted(taken) if case.counted else torch.ones_like(each)
    if case.scaled and reduction == "mean":
        each = each * case.scaled(taken)
    oracle = (w * each).sum()
    if reduction == "mean":
        oracle = oracle / (w * counted).sum()
    loss = build(case, reduction, mask="m", sample_weight="w")
    dirty = torch.where(mask, weight, math.nan)  # a masked entry's weight may be anything as well
    assert_same(case, loss, {**soiled(case, mask), "m": mask, "w": dirty}, oracle, clean)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_sample_weights_alone_are_constants(case: Case) -> None:
    weight = random(*case.shape, seed=5).exp()
    clean = as_leaves(case.inputs)
    taken = case.taken(clean, torch.ones(case.shape, dtype=torch.bool))
    each = case.module(reduction="none")(*taken)
    counted = case.counted(taken) if case.counted else torch.ones_like(each)
    if case.scaled:
        each = each * case.scaled(taken)
    w = weight.reshape(each.shape)
    oracle = (w * each).sum() / (w * counted).sum()
    learnt = weight.clone().requires_grad_()
    assert_same(case, build(case, sample_weight="w"), {**case.inputs, "w": learnt}, oracle, clean)
    assert learnt.grad is None


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_with_nothing_left_the_value_is_a_zero_in_the_graph(case: Case, reduction: str) -> None:
    for shape in case.masks:
        mask = torch.zeros(shape, dtype=torch.bool)
        leaves = as_leaves(soiled(case, mask))
        value = build(case, reduction, mask="m").terms({**leaves, "m": mask})["t"]
        assert value == 0
        assert value.requires_grad
        value.backward()
        for leaf in leaves.values():
            assert leaf.grad is None or not leaf.grad.any()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_full_mask_changes_nothing(case: Case) -> None:
    clean = as_leaves(case.inputs)
    oracle = case.module(reduction="mean")(*clean.values())
    mask = torch.ones(case.shape[:1], dtype=torch.bool)
    assert_same(case, build(case, mask="m"), {**case.inputs, "m": mask}, oracle, clean)


IGNORING = {
    name: case
    for name, case in CASES.items()
    if Registry.installed()[case.name].target and "probabilities" not in name
}


def test_these_losses_can_ignore_a_target() -> None:
    registry = Registry.installed()
    assert {case.name for case in IGNORING.values()} == {
        name for name in registry if registry[name].target is not None
    } - {"value"}


@pytest.mark.parametrize("ignored", [math.nan, -100, 255.5])
@pytest.mark.parametrize("case", IGNORING.values(), ids=IGNORING)
def test_ignore_is_a_mask_of_the_targets(case: Case, ignored: float) -> None:
    if not case.inputs["target"].is_floating_point():
        ignored = -100
    keep = a_mask(case.shape)
    values = {**soiled(case, keep)}
    values["target"] = torch.where(keep, case.inputs["target"], ignored)
    clean = as_leaves(case.inputs)
    oracle = case.module(reduction="mean")(*case.taken(clean, keep))
    written = "nan" if math.isnan(ignored) else ignored
    assert_same(case, build(case, ignore=written), values, oracle, clean)
    # With a mask of the rows beside it, both count.
    rows = torch.tensor([True, True, False, True])
    both = keep & spread_to(case, rows)
    clean = as_leaves(case.inputs)
    oracle = case.module(reduction="mean")(*case.taken(clean, both))
    assert_same(case, build(case, ignore=written, mask="m"), {**values, "m": rows}, oracle, clean)


def test_a_large_ignored_index_is_compared_exactly() -> None:
    # 2**24 + 1 is no float32: compared as one, both targets would be ignored.
    index = 2**24
    loss = lossreg.build({"terms": {"t": {"type": "mse", "ignore": index}}})
    target = torch.tensor([index, index + 1])
    assert loss(input=torch.zeros(2), target=target).total == torch.tensor(index + 1.0) ** 2


@pytest.mark.parametrize("ignore", [0.5, 1.5, -0.5])
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.float32])
def test_no_integer_is_a_fraction_that_is_ignored(ignore: float, dtype: torch.dtype) -> None:
    target = torch.tensor([0, 1, 2]).to(dtype)
    keep = kept_entries(None, target, ignore)
    assert keep is not None
    assert keep.all()
    values = {"input": torch.tensor([5.0, 5.0, 5.0]), "target": target}
    assert small(ignore=ignore)(values).total == pytest.approx((25 + 16 + 9) / 3)


def test_a_whole_number_is_ignored_in_integers_and_floats() -> None:
    for dtype in (torch.int64, torch.uint8, torch.float32, torch.bfloat16):
        keep = kept_entries(None, torch.tensor([0, 1, 2]).to(dtype), 1.0)
        assert keep is not None
        assert keep.tolist() == [True, False, True]


class RowSums(nn.Module):
    """A loss a row, of all that the row has."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.reduction = config.reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        each = (input - target).abs().reshape(len(input), -1).sum(1)
        if self.reduction == "none":
            return each
        return each.mean() if self.reduction == "mean" else each.sum()


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 3, 2)])
def test_an_unreduced_loss_may_lack_the_rest_of_its_inputs_dimensions(
    shape: tuple[int, ...],
) -> None:
    inputs = tuple(
        LossInput(name=name, meaning="x", shape="N *", gradient=not counted, counted=counted)
        for name, counted in (("input", False), ("target", True))
    )
    definition = fair(RowSums, inputs=inputs, unreduced="N", denominator=Denominator(), example="")
    registry = Registry([InMemory("fair", (definition,))])  # type: ignore[misc]
    batch = {"input": random(*shape).float(), "target": random(*shape, seed=1).float()}
    rows = (batch["input"] - batch["target"]).abs().reshape(4, -1).sum(1)
    assert entry_shape(definition, batch) == (4,)
    mask, weight = torch.tensor([True, False, True, True]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    for term, expected in (
        ({}, rows.mean()),
        ({"mask": "m"}, rows[mask].mean()),
        ({"sample_weight": "w"}, (rows * weight).sum() / 10),
    ):
        loss = lossreg.build({"terms": {"t": {"type": "fair", **term}}}, registry=registry)
        values = {**batch, "m": mask, "w": weight}
        torch.testing.assert_close(loss(values).total, expected)
        parts = [{name: each[rows] for name, each in values.items()} for rows in ([0, 1], [2, 3])]
        denominators = loss.denominators(parts)
        total = sum(loss(part, denominators=denominators).total for part in parts)
        torch.testing.assert_close(total, expected)


def test_ignore_needs_a_target_that_is_one_number_each() -> None:
    case = CASES["cross_entropy of probabilities"]
    with pytest.raises(InputError, match=r"expected class indices.*found probabilities") as raised:
        build(case, ignore=0)(case.inputs)
    assert (raised.value.argument, raised.value.path) == ("target", "target")


def small(**term: Any) -> lossreg.CompositeLoss:
    return lossreg.build({"terms": {"t": {"type": "mse", **term}}})


def test_a_mask_of_rows_means_rows_where_columns_are_as_many() -> None:
    # Squares 1 4 / 9 16, of which the first row is kept: (1 + 4) / 2.
    values = {"input": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "target": torch.zeros(2, 2)}
    assert small(mask="m")({**values, "m": torch.tensor([1, 0])}).total == 2.5
    # Weights 3 and 1: (3 * 5 + 25) / (3 * 2 + 2).
    out = small(sample_weight="w")({**values, "w": torch.tensor([3.0, 1.0])})
    assert out.total == 5.0


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int64, torch.float32, torch.bfloat16]
)
def test_a_mask_is_of_any_dtype(dtype: torch.dtype) -> None:
    values = {"input": torch.tensor([1.0, 2.0, math.nan]), "target": torch.zeros(3)}
    mask = torch.tensor([1, 1, 0]).to(dtype)
    assert small(mask="m")({**values, "m": mask}).total == 2.5


@pytest.mark.parametrize("key", ["mask", "sample_weight"])
@pytest.mark.parametrize(
    "shape", [(3,), (4,), (2, 2), (2, 1), (1,), (1, 3), (2, 3, 1), (3, 2), (0,)]
)
def test_what_fits_no_leading_dimension_is_an_error_of_its_own(
    key: str, shape: tuple[int, ...]
) -> None:
    loss = lossreg.build({"terms": {"t": {"type": "l1", key: "valid"}}})
    values = {"input": torch.zeros(2, 3), "target": torch.zeros(2, 3), "valid": torch.ones(shape)}
    with pytest.raises(InputError) as raised:
        loss(values)
    error = raised.value
    assert (error.term, error.argument, error.path) == ("t", key, "valid")
    assert str(error).startswith(f"term 't', '{key}' (path 'valid'): expected the leading dim")
    assert str(error).endswith(f"found {shape}")
    assert "(2, 3)" in str(error)
    # Nothing is left behind.
    assert loss({**values, "valid": torch.ones(2)}).total == 0


@pytest.mark.parametrize("name", ["cross_entropy", "ctc", "multi_margin", "triplet_margin"])
def test_a_mask_of_more_dimensions_than_the_loss_has_is_an_error(name: str) -> None:
    case = CASES[name]
    mask = torch.ones(*case.shape, 2)
    with pytest.raises(InputError, match=r"'mask'.*expected the leading dimensions"):
        build(case, mask="m")({**case.inputs, "m": mask})


def test_a_mask_of_one_example_alone_is_an_error() -> None:
    loss = lossreg.build({"terms": {"t": {"type": "cross_entropy", "mask": "m"}}})
    values = {"input": torch.zeros(3), "target": torch.tensor(1), "m": torch.ones(())}
    with pytest.raises(InputError, match=r"a mask needs the shape N C \*, a batch, found \(3,\)"):
        loss(values)


def test_a_mask_needs_padded_label_sequences() -> None:
    case = CASES["ctc"]
    values = {**case.inputs, "targets": torch.tensor([1, 2, 3, 4, 2, 2, 2, 1])}
    loss = build(case, mask="m")
    with pytest.raises(InputError, match=r"'targets'.*a mask needs the shape N S, a batch"):
        loss({**values, "m": torch.ones(4)})


BATCHMEAN = [((4, 3, 2), 1), ((4, 3, 2), 2), ((4, 3, 2), 3), ((4,), 1)]


@pytest.mark.parametrize(("shape", "dims"), BATCHMEAN)
def test_batchmean_divides_by_the_rows_with_anything_left(
    shape: tuple[int, ...], dims: int
) -> None:
    case = entrywise("kl_div", nn.KLDivLoss, -random(*shape).exp(), random(*shape).sigmoid())
    mask = a_mask(shape[:dims])
    clean = as_leaves(case.inputs)
    rows = int(mask.reshape(4, -1).any(1).sum())
    assert 0 < rows < 4
    oracle = nn.KLDivLoss(reduction="sum")(*entries(clean, mask)) / rows
    loss = build(case, "batchmean", mask="m")
    assert_same(case, loss, {**soiled(case, mask), "m": mask}, oracle, clean)


def test_batchmean_counts_rows_and_not_their_weights() -> None:
    case = CASES["kl_div"]
    weight = torch.tensor([2.0, 0.0, 3.0, 1.0], dtype=DOUBLE)
    each = nn.KLDivLoss(reduction="none")(*case.inputs.values())
    found = build(case, "batchmean", sample_weight="w")({**case.inputs, "w": weight}).total
    torch.testing.assert_close(found, (each.sum((1, 2)) * weight).sum() / 3)
    plain = build(case, "batchmean", sample_weight="w")({**case.inputs, "w": torch.ones(4)}).total
    torch.testing.assert_close(plain, nn.KLDivLoss(reduction="batchmean")(*case.inputs.values()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_halves_are_counted_and_summed_exactly(dtype: torch.dtype) -> None:
    # 1,000 ones: in bfloat16, counting stops at 256.
    values = {"input": torch.ones(1_003, dtype=dtype), "target": torch.zeros(1_003, dtype=dtype)}
    mask = torch.arange(1_003) < 1_000
    for reduction, expected in (("sum", 1_000), ("mean", 1)):
        loss = small(mask="m", params={"reduction": reduction})
        out = loss({**values, "m": mask})
        assert out.total == expected
        assert out.total.dtype == torch.float32
    weighed = small(sample_weight="w", params={"reduction": "sum"})
    assert weighed({**values, "w": torch.full((1_003,), 100.0)}).total == 100_300
    leaf = values["input"].clone().requires_grad_()
    small(mask="m")({**values, "input": leaf, "m": mask}).total.backward()
    assert leaf.grad is not None
    assert leaf.grad.dtype == dtype
    torch.testing.assert_close(leaf.grad.float()[0], torch.tensor(2 / 1_000), rtol=1e-2, atol=0)
    assert not leaf.grad[1_000:].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_filled_in_is_safe_in_every_precision(case: Case, dtype: torch.dtype) -> None:
    without_half = ("ctc", "multi_margin", "multilabel_margin")
    if case.name in without_half and dtype != torch.float32:
        pytest.skip("torch has no such kernel")
    mask = torch.tensor([True, False, False, False])
    leaves = {
        name: each.to(dtype).requires_grad_() if each.is_floating_point() else each
        for name, each in soiled(case, mask).items()
    }
    loss = build(case, mask="m").to(dtype)
    value = loss.terms({**leaves, "m": mask})["t"]
    assert value.isfinite()
    try:
        value.backward()
    except RuntimeError as error:  # torch 2.6's smooth_l1 in float16, on the CPU
        if "not implemented for 'Half'" not in str(error):
            raise
        pytest.skip("torch has no such kernel")
    for leaf in leaves.values():
        assert leaf.grad is None or leaf.grad.isfinite().all()


def test_sample_weights_of_zero_leave_nothing() -> None:
    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    values = {"input": leaf, "target": torch.zeros(2), "w": torch.zeros(2)}
    out = small(sample_weight="w")(values)
    assert out.total == 0
    out.total.backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [0.0, 0.0]


def test_where_only_ignored_classes_are_left_the_value_is_zero() -> None:
    # torch's own mean is 0 / 0 there; lossreg takes this one.
    loss = lossreg.build({"terms": {"t": {"type": "cross_entropy", "mask": "m"}}})
    values = {"input": torch.randn(2, 3), "target": torch.tensor([1, -100])}
    assert loss({**values, "m": torch.tensor([False, True])}).total == 0


# Absolute errors 1, 2 and 3.
GIVEN = {"input": torch.tensor([1.0, 2.0, 3.0]), "target": torch.zeros(3)}


def given(params: dict[str, Any] | None = None, **term: Any) -> lossreg.CompositeLoss:
    term = {"type": "l1", "denominator": "sizes.n", "params": params or {}, **term}
    return lossreg.build({"terms": {"t": term}})


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (4, 1.5),
        (0.5, 12.0),
        (torch.tensor(4), 1.5),
        (torch.tensor(4.0), 1.5),
        (torch.tensor([4]), 1.5),
        (torch.tensor([[4.0]], dtype=torch.float64), 1.5),
        (0, 6.0),
        (torch.tensor(0), 6.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_given_denominator_divides_the_sum(
    reduction: str, number: float | Tensor, expected: float
) -> None:
    out = given({"reduction": reduction})({**GIVEN, "sizes": {"n": number}})
    assert out.total == expected
    assert out.total.dtype == torch.float32


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (torch.ones(2), r"expected one number, found \(2,\)"),
        (torch.ones(0), r"expected one number, found \(0,\)"),
        ("4", "expected a number, found a str"),
        (True, "expected a number, found a bool"),
        (None, "expected a number, found a NoneType"),
        ([4], "expected a number, found a list"),
        (torch.tensor([True]), "expected a number, found torch.bool"),
        (torch.tensor(4j), "expected a number, found torch.complex64"),
        *(
            (kind(number), f"expected a finite number of at least 0, found {shown}$")
            for kind in (float, torch.tensor)
            for number, shown in ((NAN, "nan"), (math.inf, "inf"), (-math.inf, "-inf"), (-2, "-2"))
        ),
        (1e-46, "found 1e-46, which is 0 in torch.float32"),
        (torch.tensor(1e300, dtype=DOUBLE), r"found 1e\+300, which is inf in torch.float32"),
    ],
    ids=str,
)
def test_a_denominator_that_is_no_number_is_an_error(number: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        given()({**GIVEN, "sizes": {"n": number}})
    error = raised.value
    assert (error.term, error.argument, error.path) == ("t", "denominator", "sizes.n")


@pytest.mark.parametrize("number", [NAN, math.inf, -math.inf, -2.0, -1e-30])
def test_a_denominator_that_is_no_divisor_is_an_error_at_every_step(number: float) -> None:
    loss = lossreg.build({"checks": "off", "terms": {"t": {"type": "l1", "denominator": "n"}}})
    for _ in range(2):
        assert loss({**GIVEN, "n": torch.tensor(4.0)}).total == 1.5
        with pytest.raises(InputError, match="expected a finite number of at least 0"):
            loss({**GIVEN, "n": torch.tensor(number)})
    with pytest.raises(InputError, match=r"term 't', 'denominator'.* expected a finite number"):
        loss.denominators([{**GIVEN, "n": 3}, {**GIVEN, "n": number}])


@pytest.mark.parametrize("number", [NAN, math.inf, -math.inf, -2.0, -1e-30])
def test_where_a_denominator_is_not_read_it_makes_a_nan(
    number: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on an accelerator, which would have to be waited for.
    loss = lossreg.build(
        {
            "checks": "off",
            "on_nonfinite": "ignore",
            "terms": {"t": {"type": "l1", "denominator": "n"}},
        }
    )
    monkeypatch.setattr(torch.Tensor, "is_cpu", property(lambda _: False))
    assert loss({**GIVEN, "n": torch.tensor(number)}).total.isnan()
    assert [loss({**GIVEN, "n": torch.tensor(n)}).total for n in (4, 0, 0.5)] == [1.5, 6, 12]


def test_what_is_divided_by() -> None:
    numerators = torch.tensor([6.0] * 6, requires_grad=True)
    found = divided(numerators, torch.tensor([4.0, 0.0, -0.0, -4.0, NAN, 1e-38]))
    assert found[:3].tolist() == [1.5, 6.0, 6.0]
    assert found[3:5].isnan().all()
    assert found[5].isfinite() or found[5] == math.inf
    assert divided(numerators, None) is numerators
    double = divided(numerators.double(), torch.tensor(4.0, dtype=DOUBLE))
    assert (double.dtype, double[0].item()) == (DOUBLE, 1.5)
    assert divided(numerators, torch.tensor(4.0)).dtype == torch.float32


def test_sample_weights_below_zero_together_make_a_nan() -> None:
    loss = lossreg.build(
        {
            "checks": "off",
            "on_nonfinite": "ignore",
            "terms": {"t": {"type": "l1", "sample_weight": "w"}},
        }
    )
    for weights, expected in (
        ([1.0, 1.0, -1.0], 0.0),  # (1 + 2 - 3) / 1
        ([0.0, 0.0, 0.0], 0.0),
        ([2.0, 0.0, 1.0], 5 / 3),
    ):
        found = loss({**GIVEN, "w": torch.tensor(weights)}).total.item()
        assert found == pytest.approx(expected)
    for weights in ([1.0, 1.0, -3.0], [-1.0, -1.0, -1.0]):
        assert loss({**GIVEN, "w": torch.tensor(weights)}).total.isnan()


@pytest.mark.parametrize("bad", [NAN, math.inf])
@pytest.mark.parametrize(
    "term",
    [
        {},
        {"params": {"reduction": "sum"}},
        {"denominator": "n"},
        {"sample_weight": "w"},
        {"ignore": 7},
    ],
    ids=str,
)
def test_a_nan_in_a_mask_makes_a_nan(bad: float, term: dict[str, Any]) -> None:
    document = {"t": {"type": "l1", "mask": "m", **term}}
    loss = lossreg.build({"checks": "off", "on_nonfinite": "ignore", "terms": document})
    values = {**GIVEN, "n": 2, "w": torch.ones(3)}
    for dtype in (torch.float32, DOUBLE, torch.bfloat16):
        mask = torch.tensor([1.0, bad, 0.0], dtype=dtype)
        assert loss({**values, "m": mask}).total.isnan()
        assert loss(
            {**values, "m": mask}, denominators=loss.denominators([{**values, "m": mask}])
        ).total.isnan()
        kept = loss({**values, "m": torch.tensor([1.0, 0.0, 1.0], dtype=dtype)}).total
        assert torch.equal(kept, loss({**values, "m": torch.tensor([True, False, True])}).total)
        assert kept.dtype == torch.float32


def test_a_mask_of_many_halves_is_no_nan() -> None:
    count = 70_000  # more than float16 has
    values = {"input": torch.ones(count), "target": torch.zeros(count)}
    assert small(mask="m")({**values, "m": torch.ones(count, dtype=torch.float16)}).total == 1


def test_a_denominator_that_is_not_there_is_an_error() -> None:
    with pytest.raises(InputError, match=r"input 'denominator' \(path 'sizes.n'\): there is no"):
        given()({**GIVEN, "sizes": {}})


def test_no_gradient_reaches_a_denominator() -> None:
    number = torch.tensor(4.0, requires_grad=True)
    leaf = GIVEN["input"].clone().requires_grad_()
    given()({**GIVEN, "input": leaf, "sizes": {"n": number}}).total.backward()
    assert number.grad is None
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [0.25] * 3


def test_a_denominator_with_a_mask_divides_what_is_left() -> None:
    values = {
        **GIVEN,
        "sizes": {"n": 2},
        "m": torch.tensor([0, 1, 1]),
        "w": torch.tensor([9, 1, 3]),
    }
    assert given(mask="m")(values).total == 2.5
    assert given(mask="m", sample_weight="w")(values).total == (2 + 9) / 2


def test_a_denominator_of_class_weights_divides_the_weighted_sum() -> None:
    case = CASES["cross_entropy weighted"]
    total = case.module(reduction="sum")(*case.inputs.values())
    torch.testing.assert_close(
        build(case, denominator="n")({**case.inputs, "n": 7}).total, total / 7
    )


@pytest.mark.parametrize("mask", [{}, {"mask": "m"}])
def test_a_denominator_of_ctc_divides_the_losses_a_label(mask: dict[str, str]) -> None:
    case = CASES["ctc"]
    taken = list(case.inputs.values())
    each = nn.CTCLoss(reduction="none")(*taken)
    values = {**case.inputs, "n": 8, "m": torch.ones(4)}
    mean = build(case, denominator="n", **mask)(values).total
    torch.testing.assert_close(mean, (each * per_label(taken)).sum() / 8)
    whole = build(case, "sum", denominator="n", **mask)(values).total
    torch.testing.assert_close(whole, each.sum() / 8)


def test_a_value_is_divided_as_well() -> None:
    loss = lossreg.build({"terms": {"t": {"type": "value", "denominator": "n"}}})
    assert loss(input=torch.tensor([1.0, 2.0, 3.0]), n=4).total == 1.5


@pytest.mark.parametrize("name", ["nll", "cross_entropy"])
def test_byte_targets_have_class_weights_as_well(name: str) -> None:
    target = torch.tensor([0, 2], dtype=torch.uint8)
    values = {"input": random(2, 3).log_softmax(1), "target": target, "m": torch.ones(2)}
    params = {"weight": [1.0, 2.0, 4.0], "ignore_index": 255}
    document = {"terms": {"t": {"type": name, "params": params, "mask": "m"}}}
    expected = nn.NLLLoss(weight=torch.tensor([1.0, 2.0, 4.0], dtype=DOUBLE))
    value = lossreg.build(document).double()(values).total
    torch.testing.assert_close(value, expected(values["input"], target))


@pytest.mark.parametrize("name", ["l1", "kl_div", "soft_margin", "triplet_margin", "nll"])
def test_no_value_is_read_for_a_mask(name: str) -> None:
    # A meta tensor has no values: reading one, or indexing with a mask, raises.
    case = CASES[name]
    term = {"mask": "m", "sample_weight": "w", "denominator": "n", "params": case.params}
    loss = lossreg.build({"checks": "off", "terms": {"t": {"type": name, **term}}})
    values = {
        **case.inputs,
        "m": a_mask(case.shape),
        "w": torch.ones(case.shape[:1]),
        "n": torch.tensor(4.0),
    }
    value = loss.terms({key: each.to("meta") for key, each in values.items()})["t"]
    assert (value.device.type, value.shape) == ("meta", ())


class Inner(nn.Linear):
    """A child that has a reduction besides its parameters."""

    def __init__(self, reduction: str) -> None:
        super().__init__(2, 2)
        self.reduction = reduction


class Finer(Inner):
    """A child of a narrower type, as a builder may choose for one reduction."""


def around(**children: nn.Module | None) -> nn.Module:
    """A module with these children."""
    outer = nn.Module()
    for name, child in children.items():
        outer.add_module(name, child)
    return outer


def test_a_child_of_the_same_type_keeps_its_reduction_and_shares_the_rest() -> None:
    for kind in (Inner, Finer):
        module, twin = around(inner=Inner("mean")), around(inner=kind("none"))
        own = twin.inner
        share_state(twin, module)
        assert twin.inner is own
        assert own.reduction == "none"
        assert own.weight is module.inner.weight
        module.inner.weight = nn.Parameter(torch.ones(2, 2))  # a later change is shared too
        assert own.weight is module.inner.weight


@pytest.mark.parametrize(
    "own",
    [nn.Identity(), nn.Linear(2, 2), nn.Bilinear(2, 2, 2), nn.Sequential(nn.ReLU()), None],
    ids=lambda own: type(own).__name__,
)
def test_a_child_of_another_type_is_replaced_by_the_module_s(own: nn.Module | None) -> None:
    # Shared, it would compute something else with the module's parameters, or with none of them.
    module, twin = around(inner=Inner("mean")), around(inner=own)
    share_state(twin, module)
    assert twin.inner is module.inner
    assert torch.equal(twin.inner(torch.ones(1, 2)), module.inner(torch.ones(1, 2)))


def test_a_child_that_only_the_module_has_is_the_twin_s_as_well() -> None:
    module, twin = around(inner=Inner("mean")), around()
    share_state(twin, module)
    assert twin.inner is module.inner


@pytest.mark.parametrize("kind", ["parameter", "buffer"])
def test_what_only_the_twin_has_is_not_lost_without_a_word(kind: str) -> None:
    module, twin = around(inner=nn.Module()), around(inner=nn.Module())
    if kind == "parameter":
        twin.inner.register_parameter("extra", nn.Parameter(torch.ones(2)))
    else:
        twin.inner.register_buffer("extra", torch.ones(2))
    with pytest.raises(TypeError, match="it has 'extra', which the loss with its reduction does"):
        share_state(twin, module)


def test_weights_that_a_hook_computes_are_shared() -> None:
    module, twin = (around(inner=nn.Linear(2, 2, bias=False)).eval() for _ in range(2))
    nn.utils.spectral_norm(module.inner)  # its weight is an attribute, and no parameter any more
    share_state(twin, module)
    own, values = twin.inner, torch.ones(1, 2)
    assert own is not module.inner
    assert torch.equal(own(values), module.inner(values))
