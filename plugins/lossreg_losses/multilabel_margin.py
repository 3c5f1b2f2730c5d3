"""Multi-label margin loss: every label's score exceeds every other class's by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.plugin import (
    LossConfig,
    LossDefinition,
    LossInput,
    Problem,
    Reduction,
    WorkedExample,
    hookimpl,
    several_classes,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


class MultilabelMarginConfig(LossConfig):
    """Hinge between the scores of an example's labels and those of all other classes."""

    reduction: Reduction = "mean"


def build(config: MultilabelMarginConfig) -> nn.Module:
    """torch's module with these parameters, corrected for torch.compile."""
    from lossreg_losses._modules import MultiLabelMarginLoss

    return MultiLabelMarginLoss(reduction=config.reduction)


def _one_class(_: nn.MultiLabelMarginLoss, inputs: Mapping[str, Tensor]) -> Problem | None:
    return several_classes(
        "input",
        inputs["input"],
        "Is soft_margin meant, which takes one score for a yes or no?",
    )


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Multi-label margin."""
    return [
        LossDefinition(
            name="multilabel_margin",
            config=MultilabelMarginConfig,
            build=build,
            inputs=(
                LossInput(name="input", meaning="scores of classes", shape="N C", gradient=True),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="each example's classes, ended by the first -1: [3, 0, -1, 1] means "
                    "classes 3 and 0",
                    dtype="int",
                    shape="N C",
                    domain="class index list",
                ),
            ),
            unreduced="N",
            unbatched=True,
            check_shapes=_one_class,
            summary="Hinge between an example's labels and other classes",
            use_when="Each example has several classes, and these should score above all others.",
            avoid_when="Probabilities are wanted or targets are zeros and ones "
            "(multilabel_soft_margin, bce_with_logits), or there is one class each "
            "(multi_margin).",
            formula=(
                r"\ell = \frac{1}{C} \sum_{c \in y} \sum_{c' \notin y}"
                r" \max(0, 1 - x_c + x_{c'})"
            ),
            symbols={
                "x": "input",
                "y": "target, up to the first -1",
            },
            worked=WorkedExample(
                inputs={
                    "input": [[1.0, 0.5, -1.0], [1.0, 0.5, -1.0]],
                    "target": [[0, 2, -1], [0, -1, -1]],
                },
                entries=[1.0, 0.1667],
                divisor=2,
                value=0.5833,
            ),
            references=(
                "https://pytorch.org/docs/stable/generated/torch.nn.MultiLabelMarginLoss.html",
            ),
            example=(
                "tags:\n  type: multilabel_margin\n  inputs: {input: scores, target: tag_indices}\n"
            ),
        )
    ]
