"""Multi-label soft margin loss: the mean over labels of binary cross entropy with logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.plugin import (
    ClassWeights,
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


class MultilabelSoftMarginConfig(LossConfig):
    """One binary decision a label, averaged over labels: multi-label classification."""

    reduction: Reduction = "mean"
    weight: ClassWeights | None = Field(
        None,
        description="One number a label: how much it counts. Negative numbers, which reward "
        "mistakes, and all zeros, which leave nothing to learn, are refused.",
    )


def build(config: MultilabelSoftMarginConfig) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.MultiLabelSoftMarginLoss(weight=to_tensor(config.weight), reduction=config.reduction)


def _weight(module: nn.MultiLabelSoftMarginLoss, inputs: Mapping[str, Tensor]) -> Problem | None:
    return aligned_weight("weight", module.weight, "input", inputs["input"])


_FORMULA = r"""\begin{aligned}
\ell &= \frac{1}{C} \sum_c w_c b_c \\
b_c &= -y_c \log \sigma(x_c) - (1 - y_c) \log(1 - \sigma(x_c)) \\
\sigma(u) &= \frac{1}{1 + \exp(-u)}
\end{aligned}"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Multi-label soft margin."""
    return [
        LossDefinition(
            name="multilabel_soft_margin",
            config=MultilabelSoftMarginConfig,
            build=build,
            inputs=(
                LossInput(name="input", meaning="logits", shape="* C", gradient=True),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="1 for each label an example has and 0 for others, or probabilities",
                    dtype="float or int",
                    shape="* C",
                    domain="probability",
                    gradient=True,
                ),
            ),
            check_shapes=_weight,
            summary="Binary cross entropy with logits, averaged over labels",
            use_when="Each example has any number of labels, and one loss an example is wanted.",
            avoid_when="Positives need a weight of their own or inputs have other shapes than N C "
            "(bce_with_logits), or labels exclude each other (cross_entropy).",
            formula=_FORMULA,
            symbols={
                "x": "input",
                "y": "target",
                "w": "weight, 1 for each label where it is left out",
            },
            worked=WorkedExample(
                inputs={
                    "input": [[0.0, 0.0], [2.0, -2.0]],
                    "target": [[1.0, 0.0], [1.0, 1.0]],
                },
                params={"weight": [1.0, 3.0]},
                entries=[1.386, 3.254],
                divisor=2,
                value=2.32,
            ),
            references=(
                "https://pytorch.org/docs/stable/generated/torch.nn.MultiLabelSoftMarginLoss.html",
            ),
            example=(
                "tags:\n"
                "  type: multilabel_soft_margin\n"
                "  inputs: {input: logits, target: has_tag}\n"
                "  params: {weight: [1.0, 1.0, 2.5]}\n"
            ),
        )
    ]
