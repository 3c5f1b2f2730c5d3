"""Pinball loss: the prediction becomes a quantile of the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.plugin import (
    Field,
    LossConfig,
    LossDefinition,
    LossInput,
    Reduction,
    WorkedExample,
    hookimpl,
)

if TYPE_CHECKING:
    from torch import nn


class PinballConfig(LossConfig):
    """Absolute error that costs more on one side: quantile regression."""

    reduction: Reduction = "mean"
    q: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="The quantile to predict: the share of targets that should lie below. With "
        "0.5, the median, the loss is half the absolute error.",
    )


def build(config: PinballConfig) -> nn.Module:
    """The module with these parameters."""
    from lossreg_losses._modules import Pinball

    return Pinball(q=config.q, reduction=config.reduction)


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Pinball."""
    return [
        LossDefinition(
            name="pinball",
            config=PinballConfig,
            build=build,
            inputs=(
                LossInput(name="input", meaning="predicted quantiles", gradient=True),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="values to predict",
                    dtype="float or int",
                    gradient=True,
                ),
            ),
            summary="Absolute error that costs q below the target, 1 - q above it",
            use_when="A quantile is wanted, such as a limit that 9 of 10 targets stay below; "
            "several quantiles are several terms.",
            avoid_when="The mean is wanted (mse), or the median (l1, which is twice this loss with "
            "q of 0.5).",
            formula=r"\ell = \max(q (y - x), (q - 1) (y - x))",
            symbols={
                "x": "input",
                "y": "target",
                "q": "q",
            },
            worked=WorkedExample(
                inputs={
                    "input": [1.0, 5.0],
                    "target": [3.0, 4.0],
                },
                params={"q": 0.9},
                entries=[1.8, 0.1],
                divisor=2,
                value=0.95,
            ),
            references=(
                (
                    "Koenker and Bassett, Regression Quantiles, Econometrica 1978, "
                    "https://doi.org/10.2307/1913643"
                ),
            ),
            example=(
                "upper:\n"
                "  type: pinball\n"
                "  inputs: {input: upper_limit, target: demand}\n"
                "  params: {q: 0.9}\n"
            ),
        )
    ]
