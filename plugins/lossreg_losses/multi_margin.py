"""Multi-class margin loss: the true class's score exceeds every other one's by a margin."""

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
    hookimpl,
    several_classes,
    to_tensor,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


class MultiMarginConfig(LossConfig):
    """Hinge between the true class's score and each other one: a multi-class SVM."""

    reduction: Reduction = "mean"
    # Not Literal[1, 2]: pydantic compares its values with ==, so it would take True for 1.
    p: int = Field(1, ge=1, le=2, description="The power of each hinge: 1 or 2.")
    margin: float = Field(
        1.0, description="By how much the true class's score should exceed every other one."
    )
    weight: ClassWeights | None = Field(
        None,
        description="One number a class: what the loss of its targets is multiplied by; the mean "
        "divides by the rows all the same, unlike that of cross_entropy. Negative numbers, which "
        "reward mistakes, and all zeros, which leave nothing to learn, are refused.",
    )


def build(config: MultiMarginConfig) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.MultiMarginLoss(
        p=config.p,
        margin=config.margin,
        weight=to_tensor(config.weight),
        reduction=config.reduction,
    )


def _one_class(_: nn.MultiMarginLoss, inputs: Mapping[str, Tensor]) -> Problem | None:
    return several_classes(
        "input",
        inputs["input"],
        "Is soft_margin meant, which takes one score for a yes or no?",
    )


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Multi-class margin."""
    return [
        LossDefinition(
            name="multi_margin",
            config=MultiMarginConfig,
            build=build,
            inputs=(
                LossInput(name="input", meaning="scores of classes", shape="N C", gradient=True),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="class indices",
                    dtype="int",
                    shape="N",
                    domain="class index",
                ),
            ),
            unreduced="N",
            unbatched=True,
            check_shapes=_one_class,
            summary="Hinge between the true class and each other one",
            use_when="Each example has one class, and only the order of scores matters.",
            avoid_when="Probabilities are wanted, or targets to leave out (cross_entropy), or "
            "examples have several classes (multilabel_margin).",
            formula=r"\ell = \frac{w_y}{C} \sum_{c \neq y} \max(0, \text{margin} - x_y + x_c)^p",
            symbols={
                "x": "input",
                "y": "target",
                "w": "weight, 1 for each class where it is left out",
                "p": "p",
            },
            worked=WorkedExample(
                inputs={
                    "input": [[1.0, 2.0, 0.5], [1.0, 0.0, 0.0]],
                    "target": [0, 1],
                },
                params={"weight": [1.0, 3.0, 1.0]},
                entries=[0.8333, 3.0],
                divisor=2,
                value=1.917,
            ),
            references=(
                (
                    "Weston and Watkins, Support Vector Machines for Multi-Class Pattern "
                    "Recognition, ESANN 1999, "
                    "https://www.elen.ucl.ac.be/Proceedings/esann/esannpdf/es1999-461.pdf"
                ),
                "https://pytorch.org/docs/stable/generated/torch.nn.MultiMarginLoss.html",
            ),
            example=(
                "classify:\n"
                "  type: multi_margin\n"
                "  inputs: {input: scores, target: labels}\n"
                "  params: {p: 2, margin: 0.5}\n"
            ),
        )
    ]
