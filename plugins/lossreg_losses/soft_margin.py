"""Soft margin loss: the logistic loss of a score and a label of plus or minus one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.plugin import LossConfig, LossDefinition, LossInput, Reduction, WorkedExample, hookimpl

if TYPE_CHECKING:
    from torch import nn


class SoftMarginConfig(LossConfig):
    """Logistic loss with labels of plus and minus one: binary classification."""

    reduction: Reduction = "mean"


def build(config: SoftMarginConfig) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.SoftMarginLoss(reduction=config.reduction)


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Soft margin."""
    return [
        LossDefinition(
            name="soft_margin",
            config=SoftMarginConfig,
            build=build,
            inputs=(
                LossInput(name="input", meaning="logits", gradient=True),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="1 for the positive class, -1 for the negative one",
                    dtype="float or int",
                    domain="plus or minus one",
                ),
            ),
            summary="Logistic loss with labels of plus or minus one",
            use_when="Binary classification with labels of plus and minus one.",
            avoid_when="Labels are 0 and 1, classes need weights, or scores grow large: this one "
            "overflows where a wrong one passes 88 in float32 (bce_with_logits).",
            formula=r"\ell = \log(1 + \exp(-y x))",
            symbols={
                "x": "input",
                "y": "target",
            },
            worked=WorkedExample(
                inputs={
                    "input": [2.0, -1.0],
                    "target": [1.0, 1.0],
                },
                entries=[0.1269, 1.313],
                divisor=2,
                value=0.7201,
            ),
            references=("https://pytorch.org/docs/stable/generated/torch.nn.SoftMarginLoss.html",),
            example=("sign:\n  type: soft_margin\n  inputs: {input: logits, target: signs}\n"),
        )
    ]
