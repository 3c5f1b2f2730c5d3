"""What a mean divides by and what a sum adds up, beside torch on the entries that are left."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossreg
from lossreg.errors import InputError
from lossreg.plugin import Denominator, LossInput
from lossreg.registry import Registry
from lossreg.runtime.reduction import divided, entry_shape
from masked import (
    CASES,
    DOUBLE,
    GIVEN,
    NAN,
    Case,
    a_mask,
    as_leaves,
    assert_same,
    build,
    entries,
    entrywise,
    random,
    small,
    soiled,
)
from wrong_losses.fair import InMemory, fair

# lossreg and torch warn of kl_div's mean.
pytestmark = [
    pytest.mark.filterwarnings("ignore::lossreg.errors.ConfigWarning"),
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning:torch"),
]


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
        ({"sample_weight": "w", "divide_by": "weights"}, (rows * weight).sum() / 10),
    ):
        loss = lossreg.build({"terms": {"t": {"type": "fair", **term}}}, registry=registry)
        values = {**batch, "m": mask, "w": weight}
        torch.testing.assert_close(loss(values).total, expected)
        parts = [{name: each[rows] for name, each in values.items()} for rows in ([0, 1], [2, 3])]
        denominators = loss.denominators(parts)
        total = sum(loss(part, denominators=denominators).total for part in parts)
        torch.testing.assert_close(total, expected)


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
    with pytest.raises(InputError, match=r"weights that add up to more than 0 .*, found 0; write"):
        small(sample_weight="w", divide_by="weights")(values)
    out = small(sample_weight="w", divide_by="kept")(values)
    assert out.total == 0
    out.total.backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [0.0, 0.0]


def test_where_only_ignored_classes_are_left_the_value_is_zero() -> None:
    # torch's own mean is 0 / 0 there; lossreg takes this one.
    loss = lossreg.build({"terms": {"t": {"type": "cross_entropy", "mask": "m"}}})
    values = {"input": torch.randn(2, 3), "target": torch.tensor([1, -100])}
    assert loss({**values, "m": torch.tensor([False, True])}).total == 0


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


def test_sample_weights_of_zero_or_below_together_are_an_error_or_a_nan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loss = lossreg.build(
        {
            "checks": "never",
            "on_nonfinite": "ignore",
            "terms": {"t": {"type": "l1", "sample_weight": "w", "divide_by": "weights"}},
        }
    )
    for weights, expected in (
        ([1.0, 1.0, -1.0], 0.0),  # (1 + 2 - 3) / 1
        ([2.0, 0.0, 1.0], 5 / 3),
    ):
        found = loss({**GIVEN, "w": torch.tensor(weights)}).total.item()
        assert found == pytest.approx(expected)
    refused = [[1.0, 1.0, -3.0], [-1.0, -1.0, -1.0], [0.0, 0.0, 0.0]]
    batches = [{**GIVEN, "w": torch.tensor(weights)} for weights in refused]
    for batch in batches:
        with pytest.raises(InputError, match="weights that add up to more than 0"):
            loss(batch)
        with pytest.raises(InputError, match="weights that add up to more than 0"):
            loss.denominators([batch])
    # As on an accelerator, which would have to be waited for.
    monkeypatch.setattr(torch.Tensor, "is_cpu", property(lambda _: False))
    for batch in batches:
        assert loss(batch).total.isnan()
        assert loss.denominators([batch]).values.isnan().all()


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
    term = {"mask": "m", "sample_weight": "w", "divide_by": {"number": "n"}, "params": case.params}
    loss = lossreg.build({"checks": "never", "terms": {"t": {"type": name, **term}}})
    values = {
        **case.inputs,
        "m": a_mask(case.shape),
        "w": torch.ones(case.shape[:1]),
        "n": torch.tensor(4.0),
    }
    value = loss.terms({key: each.to("meta") for key, each in values.items()})["t"]
    assert (value.device.type, value.shape) == ("meta", ())
