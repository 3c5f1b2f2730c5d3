"""Huber loss: squared near zero, linear beyond `delta`."""

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


class HuberConfig(LossConfig):
    """Squared error below delta, delta times the absolute error above it: robust regression."""

    reduction: Reduction = "mean"
    delta: float = Field(1.0, gt=0, description="Where the loss turns from squared to linear.")


def build(config: HuberConfig) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.HuberLoss(reduction=config.reduction, delta=config.delta)


_FORMULA = r"""\ell = \begin{cases}
\frac{1}{2} (x - y)^2 & \text{if } |x - y| < \delta \\
\delta (|x - y| - \frac{\delta}{2}) & \text{otherwise}
\end{cases}"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Huber."""
    return [
        LossDefinition(
            name="huber",
            config=HuberConfig,
            build=build,
            inputs=(
                LossInput(name="input", meaning="predictions", gradient=True),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="values to predict",
                    gradient=True,
                ),
            ),
            summary="Half the squared error near zero, linear beyond delta",
            use_when="Regression with outliers, where small errors should cost half their square "
            "whatever delta is.",
            avoid_when="The slope beyond the turn should be 1 whatever the turn is (smooth_l1, "
            "which is this loss divided by delta), or there are no outliers (mse).",
            formula=_FORMULA,
            symbols={
                "x": "input",
                "y": "target",
                r"\delta": "delta",
            },
            worked=WorkedExample(
                inputs={
                    "input": [1.0, 2.0, 6.0],
                    "target": [1.5, 2.0, 1.0],
                },
                params={"delta": 2.0},
                entries=[0.125, 0.0, 8.0],
                divisor=3,
                value=2.708,
            ),
            references=(
                (
                    "Huber, Robust Estimation of a Location Parameter, Annals of Mathematical "
                    "Statistics 1964, https://doi.org/10.1214/aoms/1177703732"
                ),
                "https://pytorch.org/docs/stable/generated/torch.nn.HuberLoss.html",
            ),
            example=(
                "value:\n"
                "  type: huber\n"
                "  inputs: {input: q_value, target: td_target}\n"
                "  params: {delta: 10.0}\n"
            ),
        )
    ]
