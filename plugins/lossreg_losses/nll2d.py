"""Negative log-likelihood of each pixel's class: `nll` under the name of torch's `NLLLoss2d`.

torch has deprecated `NLLLoss2d` in favour of `NLLLoss`, which does the same and is built here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.plugin import (
    ClassWeights,
    Denominator,
    Field,
    IgnoreIndex,
    LossConfig,
    LossDefinition,
    LossInput,
    Problem,
    Reduction,
    WorkedExample,
    hookimpl,
    not_ignored,
    several_classes,
    target_weights,
    to_tensor,
    unnormalised,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


class NLL2dConfig(LossConfig):
    """Negative log-likelihood of each pixel: segmentation with log-probabilities."""

    reduction: Reduction = "mean"
    weight: ClassWeights | None = Field(
        None,
        description="One number a class: how much its pixels count. Negative numbers, which "
        "reward mistakes, and all zeros, whose mean is nan, are refused.",
    )
    ignore_index: IgnoreIndex = -100


def build(config: NLL2dConfig) -> nn.Module:
    """The `nn.NLLLoss` with these parameters: `nn.NLLLoss2d` would warn."""
    from torch import nn

    return nn.NLLLoss(
        weight=to_tensor(config.weight),
        ignore_index=config.ignore_index,
        reduction=config.reduction,
    )


def _one_class(_: nn.NLLLoss, inputs: Mapping[str, Tensor]) -> Problem | None:
    return several_classes(
        "input",
        inputs["input"],
        "Is bce_with_logits meant, which takes one logit for a yes or no?",
    )


def _logits(_: nn.NLLLoss, inputs: Mapping[str, Tensor]) -> Problem | None:
    return unnormalised(
        "input", inputs["input"], "is a log_softmax missing? cross_entropy takes logits"
    )


_FORMULA = r"""\ell = \begin{cases}
0 & \text{if } y = i \\
-w_y x_y & \text{otherwise}
\end{cases}"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Negative log-likelihood of each pixel."""
    return [
        LossDefinition(
            name="nll2d",
            config=NLL2dConfig,
            build=build,
            inputs=(
                LossInput(
                    name="input",
                    meaning="log-probabilities",
                    shape="N C H W",
                    domain="log-probability",
                    gradient=True,
                ),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="class indices",
                    dtype="int",
                    shape="N H W",
                    domain="class index",
                ),
            ),
            unreduced="N H W",
            denominator=Denominator(
                count=target_weights,
                kept=not_ignored,
                meaning="the sum of the weights of the targets that are not ignored (their "
                "number, without weights)",
            ),
            check_shapes=_one_class,
            check_values=_logits,
            summary="Negative log-likelihood of each pixel's class",
            use_when="Porting code that names NLLLoss2d; nll does the same.",
            avoid_when="New code (nll), or the model puts out logits (cross_entropy).",
            formula=_FORMULA,
            symbols={
                "x": "input",
                "y": "target",
                "w": "weight, 1 for each class where it is left out",
                "i": "ignore_index",
            },
            worked=WorkedExample(
                inputs={
                    "input": [[[[-0.5, -2.0]], [[-0.9325, -0.1454]]]],
                    "target": [[[0, 1]]],
                },
                params={"weight": [1.0, 3.0]},
                entries=[[[0.5, 0.4362]]],
                divisor=4,
                value=0.2341,
            ),
            references=("https://pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html",),
            example=(
                "segment:\n"
                "  type: nll2d\n"
                "  inputs: {input: log_probs, target: classes}\n"
                "  params: {ignore_index: 255}\n"
            ),
        )
    ]
