"""The kit's checks of masks, fills and denominators fail on definitions that are wrong."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from lossreg.plugin import (
    ClassWeights,
    Denominator,
    LossConfig,
    LossDefinition,
    LossInput,
    Reduction,
    target_weights,
    to_tensor,
)
from lossreg.registry import Registry
from lossreg.testing import LossContract

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = (
    "test_the_batch_fits_what_the_definition_says",
    "test_without_reduction_it_has_the_declared_shape",
    "test_the_mean_is_its_numerator_over_its_denominator",
    "test_safe_values_are_safe",
    "test_masked_entries_do_not_count",
)


class Config(LossConfig):
    reduction: Reduction = "mean"
    weight: ClassWeights | None = None


class Ratio(nn.Module):
    """Input over target, and what a test makes of it."""

    def __init__(self, change: Callable[[Tensor], Tensor], reduction: str) -> None:
        super().__init__()
        self.change = change
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        each = self.change(input / target)
        return each if self.reduction == "none" else getattr(each, self.reduction)()


def ratio(
    change: Callable[[Tensor], Tensor] = lambda each: each, *, fill: float | None = 1.0, **more: Any
) -> LossDefinition:
    """A loss that is infinite where its target is 0."""
    defined: dict[str, Any] = {
        "name": "ratio",
        "config": Config,
        "build": lambda config: Ratio(change, config.reduction),
        "inputs": (
            LossInput(name="input", meaning="a number", shape="N D", gradient=True),
            LossInput(name="target", meaning="a number", shape="N D", fill=fill),
        ),
        "summary": "made up",
        "unreduced": "N D",
    }
    return LossDefinition(**{**defined, **more})


def contract(definition: LossDefinition, batch: dict[str, Tensor], **params: Any) -> LossContract:
    class Contract(LossContract):
        def definition(self) -> LossDefinition:
            return definition

        def batch(self) -> dict[str, Tensor]:
            return {name: tensor.clone() for name, tensor in batch.items()}

    Contract.loss = definition.name
    Contract.params = params
    return Contract()


def failures(definition: LossDefinition, batch: dict[str, Tensor], **params: Any) -> list[str]:
    """The messages of the checks that fail."""
    told = (failure(getattr(contract(definition, batch, **params), name)) for name in NAMES)
    return [each for each in told if each is not None]


def failure(check: Callable[[], None]) -> str | None:
    try:
        check()
    except AssertionError as error:
        return str(error)
    return None


RATIO = {"input": torch.arange(6.0).reshape(3, 2), "target": torch.full((3, 2), 2.0)}


def test_a_right_definition_passes() -> None:
    assert failures(ratio(), RATIO) == []


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (ratio(unreduced="N"), "unreduced='N' means the shape (3,), but with reduction 'none'"),
        (ratio(unreduced="N C"), "unreduced='N C' means the shape None"),
        (ratio(lambda each: each.sum(1)), "the loss has (3,)"),
        (ratio(fill=None), "under a mask the value is nan"),
        (ratio(denominator=Denominator(count=lambda *_: torch.tensor(2.0))), "`denominator`"),
        (ratio(denominator=Denominator(scale=lambda *_: torch.tensor(2.0))), "`denominator`"),
        (ratio(lambda each: each - each.mean()), "under a mask the value is"),
    ],
    ids=["letters", "unknown", "rows", "fill", "count", "scale", "entries see each other"],
)
def test_a_wrong_definition_is_found(definition: LossDefinition, message: str) -> None:
    found = failures(definition, RATIO)
    assert found
    assert any(message in each for each in found), found
    assert all(each.startswith("ratio: ") for each in found)


def test_a_gradient_that_is_not_finite_where_it_is_filled_is_found() -> None:
    # The root of 0 is 0, but its slope is infinite, and 0 times that is nan.
    inputs = (
        LossInput(name="input", meaning="a number", shape="N D", gradient=True),
        LossInput(name="target", meaning="a number", shape="N D", fill=1.0),
    )
    batch = {**RATIO, "input": RATIO["input"] + 1}
    (found,) = failures(ratio(torch.sqrt, inputs=inputs), batch)
    assert found.startswith("ratio: what stands in for masked entries gives nan or infinity")
    filled = (dataclasses.replace(inputs[0], fill=1.0), inputs[1])
    assert failures(ratio(torch.sqrt, inputs=filled), batch) == []


def test_a_batch_that_the_definition_does_not_allow_is_found() -> None:
    found = failures(ratio(), {**RATIO, "target": torch.ones(3, 1)})
    assert found[0].startswith("ratio: 'target': expected a shape that fits (3, 2) of 'input'")


LABELS = {"input": torch.randn(3, 2), "target": torch.tensor([0, 1, 1])}


def classes(**changes: Any) -> LossDefinition:
    definition = Registry.installed()["cross_entropy"]
    return dataclasses.replace(definition, **changes)


def test_class_weights_belong_in_the_denominator() -> None:
    weight = [1.0, 3.0]
    assert failures(classes(), LABELS, weight=weight) == []
    (found, masked) = failures(classes(denominator=Denominator()), LABELS, weight=weight)
    assert "`denominator`" in found
    assert "under a mask" in masked
    # Without weights all entries count alike, and the batch shows nothing.
    assert failures(classes(denominator=Denominator()), LABELS) == []


def test_a_loss_without_an_unreduced_form_has_nothing_to_hold() -> None:
    definition = Registry.installed()["value"]
    assert failures(definition, {"input": torch.ones(3)}) == []


def test_one_row_cannot_be_masked() -> None:
    batch = {name: tensor[:1] for name, tensor in RATIO.items()}
    assert failures(ratio(), batch) == []


def module(**params: Any) -> nn.Module:
    config = Config(**params)
    return nn.NLLLoss(weight=to_tensor(config.weight), ignore_index=1)


@pytest.mark.parametrize(
    ("weight", "target", "expected"),
    [
        (None, [0, 1, 2], [1, 0, 1]),
        ([0.5, 4.0, 2.0], [0, 1, 2], [0.5, 0.0, 2.0]),
        ([0.5, 4.0, 2.0], [[2], [1]], [[2.0], [0.0]]),
        ([0.5, 4.0, 2.0], 2, 2.0),
    ],
)
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8])
def test_a_target_counts_what_its_class_does(
    dtype: torch.dtype, weight: Any, target: Any, expected: Any
) -> None:
    inputs = {"target": torch.tensor(target, dtype=dtype)}
    assert target_weights(module(weight=weight), inputs).tolist() == expected


def test_an_ignored_target_is_no_index() -> None:
    loss = nn.NLLLoss(weight=torch.tensor([0.5, 2.0]), ignore_index=-100)
    inputs = {"target": torch.tensor([-100, 1])}
    assert target_weights(loss, inputs).tolist() == [0.0, 2.0]


@pytest.mark.parametrize(
    ("shape", "counted"), [((3,), ()), ((4, 3), (4,)), ((4, 3, 2, 2), (4, 2, 2))]
)
def test_class_probabilities_count_1_each(shape: tuple[int, ...], counted: tuple[int, ...]) -> None:
    inputs = {"target": torch.rand(shape)}
    found = target_weights(module(weight=[0.5, 4.0, 2.0]), inputs)
    assert torch.equal(found, torch.ones(counted))
