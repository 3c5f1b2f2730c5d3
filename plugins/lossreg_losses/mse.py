"""Mean squared error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.plugin import LossConfig, LossDefinition, LossInput, Reduction, WorkedExample, hookimpl

if TYPE_CHECKING:
    from torch import nn


class MSEConfig(LossConfig):
    """Squared error: regression towards the mean."""

    reduction: Reduction = "mean"


def build(config: MSEConfig) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.MSELoss(reduction=config.reduction)


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Mean squared error."""
    return [
        LossDefinition(
            name="mse",
            config=MSEConfig,
            build=build,
            inputs=(
                LossInput(name="input", meaning="predictions", shape="*", gradient=True),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="values to predict",
                    dtype="float or int",
                    gradient=True,
                ),
            ),
            summary="Squared error",
            use_when="Regression in which large errors are much worse than small ones. There is no "
            "factor of 1/2, and the unit is the square of the target's.",
            avoid_when="Outliers would rule the fit (smooth_l1, l1).",
            formula=r"\ell = (x - y)^2",
            symbols={
                "x": "input",
                "y": "target",
            },
            worked=WorkedExample(
                inputs={
                    "input": [1.0, 2.0, 6.0],
                    "target": [2.0, 2.0, 1.0],
                },
                entries=[1.0, 0.0, 25.0],
                divisor=3,
                value=8.667,
            ),
            references=("https://pytorch.org/docs/stable/generated/torch.nn.MSELoss.html",),
            example=("rebuild:\n  type: mse\n  inputs: {input: pixels, target: image}\n"),
        )
    ]
