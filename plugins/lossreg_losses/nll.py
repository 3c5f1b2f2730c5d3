"""Negative log-likelihood of class indices under log-probabilities."""

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


class NLLConfig(LossConfig):
    """Negative log-likelihood: classification with log-probabilities."""

    reduction: Reduction = "mean"
    weight: ClassWeights | None = Field(
        None,
        description="One number a class: how much its targets count. Negative numbers, which "
        "reward mistakes, and all zeros, whose mean is nan, are refused.",
    )
    ignore_index: IgnoreIndex = -100


def build(config: NLLConfig) -> nn.Module:
    """torch's module with these parameters."""
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
    """Negative log-likelihood."""
    return [
        LossDefinition(
            name="nll",
            config=NLLConfig,
            build=build,
            inputs=(
                LossInput(
                    name="input",
                    meaning="log-probabilities",
                    shape="N C *",
                    domain="log-probability",
                    gradient=True,
                ),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="class indices",
                    dtype="int",
                    shape="N *",
                    domain="class index",
                ),
            ),
            unreduced="N *",
            unbatched=True,
            denominator=Denominator(
                count=target_weights,
                kept=not_ignored,
                meaning="the sum of the weights of the targets that are not ignored (their "
                "number, without weights)",
            ),
            check_shapes=_one_class,
            check_values=_logits,
            summary="Negative log-likelihood of the true class",
            use_when="Each example has one class among several; the model puts out "
            "log-probabilities.",
            avoid_when="The model puts out logits (cross_entropy).",
            formula=_FORMULA,
            symbols={
                "x": "input",
                "y": "target",
                "w": "weight, 1 for each class where it is left out",
                "i": "ignore_index",
            },
            worked=WorkedExample(
                inputs={
                    "input": [[-0.5, -0.9325], [-2.0, -0.1454]],
                    "target": [0, 1],
                },
                params={"weight": [1.0, 3.0]},
                entries=[0.5, 0.4362],
                divisor=4,
                value=0.2341,
            ),
            references=("https://pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html",),
            example=("classify:\n  type: nll\n  inputs: {input: log_probs, target: labels}\n"),
        )
    ]
