"""L1 loss: the absolute error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.plugin import LossConfig, LossDefinition, LossInput, Reduction, WorkedExample, hookimpl

if TYPE_CHECKING:
    from torch import nn


class L1Config(LossConfig):
    """Absolute error: regression towards the median."""

    reduction: Reduction = "mean"


def build(config: L1Config) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.L1Loss(reduction=config.reduction)


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """L1."""
    return [
        LossDefinition(
            name="l1",
            config=L1Config,
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
            summary="Absolute error",
            use_when="Regression in which an outlier counts as much as its size, no more. The "
            "gradient of an entry has the same size however small its error is.",
            avoid_when="The gradient should shrink as the error does (smooth_l1), or large "
            "errors should count more (mse).",
            formula=r"\ell = |x - y|",
            symbols={
                "x": "input",
                "y": "target",
            },
            worked=WorkedExample(
                inputs={
                    "input": [1.0, 2.0, 6.0],
                    "target": [2.0, 2.0, 1.0],
                },
                entries=[1.0, 0.0, 5.0],
                divisor=3,
                value=2.0,
            ),
            references=("https://pytorch.org/docs/stable/generated/torch.nn.L1Loss.html",),
            example=("depth:\n  type: l1\n  inputs: {input: depth, target: true_depth}\n"),
        )
    ]
