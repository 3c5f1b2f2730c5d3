"""A number that the model computed itself, as a term."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lossreg.plugin import (
    Denominator,
    Field,
    LossConfig,
    LossDefinition,
    LossInput,
    WorkedExample,
    hookimpl,
)

if TYPE_CHECKING:
    from torch import nn


class ValueConfig(LossConfig):
    """A ready-made value: a KL, a gradient penalty, an auxiliary loss."""

    reduction: Literal["mean", "sum", "none", "batchmean"] = Field(
        "mean",
        description="How the input becomes one value: mean over all entries; sum; batchmean, the "
        "sum divided by the size of the first dimension; or none to leave it.",
    )


def build(config: ValueConfig) -> nn.Module:
    """The module that reduces its input."""
    from lossreg_losses._modules import Value

    return Value(reduction=config.reduction)


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """A ready-made value."""
    return [
        LossDefinition(
            name="value",
            config=ValueConfig,
            build=build,
            inputs=(
                LossInput(
                    name="input",
                    meaning="what the model computed, to be minimised",
                    shape="*",
                    gradient=True,
                ),
            ),
            denominator=Denominator(averaged=True),
            summary="A value that the model computed itself",
            use_when="The model computes a loss of its own, such as a KL, a gradient penalty or "
            "an auxiliary loss, and it should be weighted and logged like the others.",
            avoid_when="There is a target to compare with: name the loss that does.",
            formula=r"\ell = x",
            symbols={
                "x": "input",
            },
            worked=WorkedExample(
                inputs={
                    "input": [1.0, 2.0, 6.0],
                },
                entries=[1, 2, 6],
                divisor=3,
                value=3.0,
            ),
            example=(
                "balance:\n  type: value\n  weight: 0.01\n  inputs: {input: router.aux_loss}\n"
            ),
        )
    ]
