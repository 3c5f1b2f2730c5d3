"""The kit's check of what a denominator is read from fails on definitions that are wrong."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from lossreg.plugin import Denominator, LossConfig, LossDefinition, LossInput, Reduction
from lossreg.registry import Registry
from lossreg.testing import LossContract

if TYPE_CHECKING:
    from collections.abc import Mapping


class Config(LossConfig):
    reduction: Reduction = "mean"


class Without(LossConfig):
    """A loss with nothing but its own mean."""


class Weighed(nn.Module):
    """Squared errors weighed by the size of the target, over the sum of the sizes."""

    def __init__(self, reduction: str) -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        each = target.abs() * (input - target) ** 2
        if self.reduction == "none":
            return each
        return each.sum() / target.abs().sum() if self.reduction == "mean" else each.sum()


def by_target(_: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    return inputs["target"].abs()


def by_input(_: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    # The same number here, but known only after the model ran.
    return inputs["target"].abs() + 0 * inputs["input"]


def share(_: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """Adds up to 1 in a batch of any size, so that two batches count 2."""
    return inputs["target"].abs() / inputs["target"].abs().sum()


def inverse(_: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    return 1 / inputs["target"].abs().sum()


def weighed(**more: Any) -> LossDefinition:
    defined: dict[str, Any] = {
        "name": "weighed",
        "config": Config,
        "build": lambda config: Weighed(getattr(config, "reduction", "mean")),
        "inputs": (
            LossInput(name="input", meaning="a number", shape="N D", gradient=True),
            LossInput(name="target", meaning="a number", shape="N D", counted=True),
        ),
        "summary": "made up",
        "unreduced": "N D",
        "denominator": Denominator(count=by_target),
    }
    return LossDefinition(**{**defined, **more})


BATCH = {
    "input": torch.tensor([[1.0, 2.0], [0.5, 0.0], [4.0, 1.0]]),
    "target": torch.tensor([[2.0, -1.0], [3.0, 0.25], [1.0, 7.0]]),
}


def failure(
    definition: LossDefinition, batch: dict[str, Tensor] = BATCH, **params: Any
) -> str | None:
    class Contract(LossContract):
        def definition(self) -> LossDefinition:
            return definition

        def batch(self) -> dict[str, Tensor]:
            return {name: tensor.clone() for name, tensor in batch.items()}

    Contract.loss = definition.name
    Contract.params = params
    contract = Contract()
    # The other check of a denominator lets all of these pass: it sees the whole batch.
    contract.test_the_mean_is_its_numerator_over_its_denominator()
    try:
        contract.test_the_denominator_is_read_from_what_counts()
    except AssertionError as error:
        return str(error)
    return None


def counting(*names: str, **shapes: str) -> tuple[LossInput, ...]:
    """The inputs, of which these are counted, with other letters for some."""
    return tuple(
        LossInput(
            name=name,
            meaning="a number",
            shape=shapes.get(name, "N D"),
            gradient=name == "input",
            counted=name in names,
        )
        for name in ("input", "target")
    )


def test_a_right_definition_passes() -> None:
    assert failure(weighed()) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"denominator": Denominator(count=by_input)},
            "weighed: the denominator's `count` reads 'input', which is not `counted`",
        ),
        (
            {"denominator": Denominator(count=share, scale=inverse)},
            "weighed: with reduction 'mean', numerators and denominators of single rows add up to",
        ),
        (
            {"inputs": counting("target", target="N K")},
            "weighed: 'target' is `counted`, but the letters of its shape tell of",
        ),
        (
            {"inputs": counting("target", "input", input="D N")},
            "weighed: 'input' is `counted`, but the letters of its shape tell of",
        ),
    ],
    ids=["a result of the model", "no sum over micro-batches", "other letters", "other order"],
)
def test_a_wrong_definition_is_found(changes: dict[str, Any], message: str) -> None:
    found = failure(weighed(**changes))
    assert found is not None
    assert found.startswith(message)


def test_a_loss_that_counts_nothing_passes() -> None:
    # A composite says that it needs a `denominator` of its own.
    assert failure(weighed(inputs=counting())) is None


def test_a_loss_without_entries_passes() -> None:
    assert failure(weighed(config=Without)) is None


def test_class_weights_are_read_from_targets() -> None:
    definition = Registry.installed()["cross_entropy"]
    batch = {"input": torch.randn(3, 2), "target": torch.tensor([0, 1, 1])}
    assert failure(definition, batch, weight=[1.0, 3.0]) is None
    inputs = tuple(dataclasses.replace(each, counted=False) for each in definition.inputs)
    swapped = tuple(
        dataclasses.replace(each, counted=each.name == "input", shape="N")
        if each.name == "input"
        else dataclasses.replace(each, counted=False)
        for each in definition.inputs
    )
    assert failure(dataclasses.replace(definition, inputs=inputs), batch) is None
    found = failure(dataclasses.replace(definition, inputs=swapped), batch)
    assert found is not None
    assert "'input' is `counted`" in found


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
def test_batchmean_is_looked_at_as_well() -> None:
    definition = Registry.installed()["kl_div"]
    batch = {"input": torch.randn(3, 2).log_softmax(1), "target": torch.randn(3, 2).softmax(1)}
    assert failure(definition, batch, reduction="batchmean") is None
