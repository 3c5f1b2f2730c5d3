"""What lossreg knows of the loss `example`.

torch is imported where the loss is built, so that `lossreg list` and `lossreg check`
stay fast.
"""

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

EXAMPLE = """\
fit:
  type: example
  inputs: {input: prediction, target: value}
"""


class ExampleConfig(LossConfig):
    """The parameters that a config may set, with their defaults and bounds."""

    reduction: Reduction = "mean"
    eps: float = Field(1e-3, gt=0, description="Where squared turns to absolute.")


def build(config: ExampleConfig) -> nn.Module:
    """The module with these parameters."""
    from .module import ExampleLoss

    return ExampleLoss(**config.model_dump())


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """The losses of this module; an entry point uses the one with its name."""
    return [
        LossDefinition(
            name="example",
            config=ExampleConfig,
            build=build,
            inputs=(
                LossInput(name="input", meaning="predictions", gradient=True),
                LossInput(
                    name="target",
                    meaning="values to predict",
                    gradient=True,
                    counted=True,
                ),
            ),
            summary="Absolute error, rounded off below eps",
            use_when="Regression with outliers, such as the pixels of an image.",
            formula=r"\ell = \sqrt{(x - y)^2 + \text{eps}^2}",
            symbols={"x": "input", "y": "target"},
            worked=WorkedExample(
                inputs={"input": [3.0, 0.0], "target": [0.0, 0.0]},
                params={"eps": 4.0},
                entries=[5.0, 4.0],
                divisor=2,
                value=4.5,
            ),
            references=(
                "Charbonnier et al., ICIP 1994, https://doi.org/10.1109/ICIP.1994.413553",
            ),
            example=EXAMPLE,
        )
    ]
