"""Squared error with clipped gradients, as DQN's: what a newcomer's plugin file holds."""

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


class ClippedMSEConfig(LossConfig):
    """Squared error below delta, absolute error times delta above it."""

    reduction: Reduction = "mean"
    delta: float = Field(1.0, gt=0, description="Where the loss turns from squared to linear.")


def build(config: ClippedMSEConfig) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.HuberLoss(reduction=config.reduction, delta=config.delta)


FORMULA = r"""\ell = \begin{cases}
\frac{1}{2} (x - y)^2 & \text{if } |x - y| < \delta \\
\delta (|x - y| - \frac{\delta}{2}) & \text{otherwise}
\end{cases}"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Squared error with clipped gradients."""
    return [
        LossDefinition(
            name="clipped_mse",
            config=ClippedMSEConfig,
            build=build,
            inputs=(
                LossInput(name="input", meaning="predictions", gradient=True),
                LossInput(name="target", meaning="values to predict", counted=True, gradient=True),
            ),
            summary="Squared error near zero, linear beyond delta",
            use_when="Regression with outliers whose scale is known.",
            formula=FORMULA,
            symbols={"x": "input", "y": "target", r"\delta": "delta"},
            worked=WorkedExample(
                inputs={"input": [0.5, 3.0], "target": [0.0, 0.0]},
                entries=[0.125, 2.5],
                divisor=2,
                value=1.3125,
            ),
            references=("https://pytorch.org/docs/stable/generated/torch.nn.HuberLoss.html",),
            example=("value:\n  type: clipped_mse\n  inputs: {input: q, target: q_target}\n"),
        )
    ]
