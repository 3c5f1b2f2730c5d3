"""One right loss, of which the wrong ones are made, and the suite that they fail.

Squared errors weighed by the size of the target, over the sum of the sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lossreg.plugin import (
    Denominator,
    Field,
    LossConfig,
    LossDefinition,
    LossInput,
    Reduction,
    hookimpl,
)
from lossreg.registry import Registry
from lossreg.testing import LossContract

Batch = dict[str, Tensor]

CHECKS = frozenset(
    name.removeprefix("test_") for name in dir(LossContract) if name.startswith("test_")
)
BATCH = {
    "input": torch.tensor([[1.0, 2.0], [0.5, 0.25], [4.0, 1.0], [-1.0, 3.0]]),
    "target": torch.tensor([[2.0, -1.0], [3.0, 0.75], [1.0, 7.0], [0.5, 1.0]]),
}


class FairConfig(LossConfig):
    """Parameters with nothing to find fault with."""

    reduction: Reduction = "mean"
    beta: float = Field(1.0, ge=0, lt=8, description="What each entry is multiplied by.")


class Fair(nn.Module):
    """The right loss."""

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.reduction = getattr(config, "reduction", "mean")
        self.beta = getattr(config, "beta", 1.0)

    def entries(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return self.beta * target.abs() * (input - target) ** 2

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        each = self.entries(input, target)
        if self.reduction == "none":
            return each
        return each.sum() / target.abs().sum() if self.reduction == "mean" else each.sum()


def sizes(_: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    return inputs["target"].abs()


INPUT = LossInput(name="input", meaning="a number", shape="N D", gradient=True)
TARGET = LossInput(name="target", meaning="a number", shape="N D", counted=True)


def fair(build: Any = Fair, **changes: Any) -> LossDefinition:
    defined: dict[str, Any] = {
        "name": "fair",
        "config": FairConfig,
        "build": build,
        "inputs": (INPUT, TARGET),
        "summary": "made up",
        "example": "rebuild:\n  type: fair\n  params: {beta: 0.5}\n",
        "unreduced": "N D",
        "denominator": Denominator(count=sizes),
    }
    return LossDefinition(**{**defined, **changes})


class WithoutReduction(LossConfig):
    """A loss that has nothing but its own mean."""


def whole(build: type[nn.Module], **changes: Any) -> LossDefinition:
    """A loss without reductions."""
    return fair(build, **{"config": WithoutReduction, "example": "", **changes})


class InMemory:
    """An entry point whose plugin is at hand."""

    dist = None
    value = "wrong_losses"  # which imports torch

    def __init__(self, name: str, definitions: tuple[LossDefinition, ...]) -> None:
        self.name = name
        self.definitions = definitions

    def load(self) -> InMemory:
        return self

    @hookimpl
    def lossreg_losses(self) -> list[LossDefinition]:
        return list(self.definitions)


def contract(
    *definitions: LossDefinition, batch: Mapping[str, Any] = BATCH, **attributes: Any
) -> LossContract:
    """The suite of the first definition, where these are installed."""

    class Contract(LossContract):
        def registry(self) -> Registry:
            return Registry([InMemory(each.name, definitions) for each in definitions])  # type: ignore[misc]

        def batch(self) -> Batch:
            return dict(batch)

    Contract.loss = definitions[0].name
    for name, value in attributes.items():
        setattr(Contract, name, value)
    return Contract()


@dataclass(frozen=True)
class Wrong:
    """A wrong loss.

    Attributes:
        suite: What is to fail.
        fails: The checks that do, without `test_`; all others pass.
        says: A part of what the first of them says.
    """

    suite: LossContract
    fails: tuple[str, ...]
    says: str
