"""Binary cross entropy between probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.plugin import (
    ElementWeights,
    Field,
    LossConfig,
    LossDefinition,
    LossInput,
    Problem,
    Reduction,
    WorkedExample,
    aligned_weight,
    hookimpl,
    to_tensor,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


class BCEConfig(LossConfig):
    """Binary cross entropy of predicted probabilities: yes-or-no answers."""

    reduction: Reduction = "mean"
    weight: ElementWeights | None = Field(
        None,
        description="What the unreduced loss is multiplied by, aligned with its last dimensions; "
        "the mean divides by the entries all the same. Negative numbers, which reward mistakes, "
        "and all zeros, which leave nothing, are refused.",
    )


def build(config: BCEConfig) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.BCELoss(weight=to_tensor(config.weight), reduction=config.reduction)


def _weight(module: nn.BCELoss, inputs: Mapping[str, Tensor]) -> Problem | None:
    return aligned_weight("weight", module.weight, "input", inputs["input"])


_FORMULA = r"""\begin{aligned}
\ell &= -w \left( y \lambda(x) + (1 - y) \lambda(1 - x) \right) \\
\lambda(p) &= \max(-100, \log p)
\end{aligned}"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Binary cross entropy."""
    return [
        LossDefinition(
            name="bce",
            config=BCEConfig,
            build=build,
            inputs=(
                LossInput(
                    name="input",
                    meaning="predicted probabilities",
                    shape="*",
                    domain="probability",
                    gradient=True,
                ),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="probabilities to predict, often 0 or 1",
                    shape="*",
                    domain="probability",
                    gradient=True,
                ),
            ),
            check_shapes=_weight,
            summary="Binary cross entropy of probabilities",
            use_when="The model puts out probabilities already, as an autoencoder's pixels. Each "
            "logarithm is clamped at -100: an input of 0 for a target of 1 costs 100, not "
            "infinity, and has a gradient of -1e12.",
            avoid_when="The model puts out logits: bce_with_logits is more precise, and runs under "
            "autocast on a GPU, where torch refuses this one.",
            formula=_FORMULA,
            symbols={
                "x": "input",
                "y": "target",
                "w": "weight, 1 where it is left out",
            },
            worked=WorkedExample(
                inputs={
                    "input": [0.5, 0.25],
                    "target": [1.0, 0.0],
                },
                params={"weight": [3.0, 1.0]},
                entries=[2.079, 0.2877],
                divisor=2,
                value=1.184,
            ),
            references=("https://pytorch.org/docs/stable/generated/torch.nn.BCELoss.html",),
            example=("rebuild:\n  type: bce\n  inputs: {input: pixels, target: image}\n"),
        )
    ]
