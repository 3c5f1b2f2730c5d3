"""Smooth L1 loss: squared near zero, absolute beyond `beta`."""

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


class SmoothL1Config(LossConfig):
    """Squared error below beta, absolute error above it: robust regression."""

    reduction: Reduction = "mean"
    beta: float = Field(
        1.0, ge=0, description="Where the loss turns from squared to absolute; 0 is L1."
    )


def build(config: SmoothL1Config) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.SmoothL1Loss(reduction=config.reduction, beta=config.beta)


_FORMULA = r"""\begin{aligned}
\ell &= \begin{cases}
\frac{(x - y)^2}{2 \beta} & \text{if } |x - y| < \beta \\
|x - y| - \frac{\beta}{2} & \text{otherwise}
\end{cases}
\end{aligned}"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Smooth L1."""
    return [
        LossDefinition(
            name="smooth_l1",
            config=SmoothL1Config,
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
            summary="Squared error near zero, absolute error beyond beta",
            use_when="Regression with outliers, such as box coordinates.",
            avoid_when="Every error matters as its square does (mse), or no error is small enough "
            "to matter less than its size (l1). It is the Huber loss divided by beta.",
            formula=_FORMULA,
            symbols={
                "x": "input",
                "y": "target",
                r"\beta": "beta",
            },
            worked=WorkedExample(
                inputs={
                    "input": [1.0, 2.0, 6.0],
                    "target": [1.5, 2.0, 1.0],
                },
                entries=[0.125, 0.0, 4.5],
                divisor=3,
                value=1.542,
            ),
            references=(
                "Girshick, Fast R-CNN, ICCV 2015, https://arxiv.org/abs/1504.08083",
                "https://pytorch.org/docs/stable/generated/torch.nn.SmoothL1Loss.html",
            ),
            example=(
                "boxes:\n"
                "  type: smooth_l1\n"
                "  inputs: {input: boxes, target: target_boxes}\n"
                "  params: {beta: 0.11}\n"
            ),
        )
    ]
