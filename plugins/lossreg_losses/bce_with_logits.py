"""Binary cross entropy between logits and probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.plugin import (
    ElementWeights,
    Field,
    LossConfig,
    LossDefinition,
    LossInput,
    PositiveWeights,
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


class BCEWithLogitsConfig(LossConfig):
    """Sigmoid and binary cross entropy in one step: yes-or-no answers, several labels at once."""

    reduction: Reduction = "mean"
    weight: ElementWeights | None = Field(
        None,
        description="What the unreduced loss is multiplied by, aligned with its last dimensions; "
        "the mean divides by the entries all the same. Negative numbers, which reward mistakes, "
        "and all zeros, which leave nothing, are refused.",
    )
    pos_weight: PositiveWeights | None = Field(
        None,
        description="How much positive targets count against negative ones: one number for all, "
        "or one a class, where the classes are the last dimension: N C H W must be permuted to "
        "N H W C first. The loss grows with it: at 99 an even guess costs 68.6 for a positive "
        "target. Negative numbers, "
        "which reward mistakes, and all zeros, which leave nothing to find, are refused.",
    )


def build(config: BCEWithLogitsConfig) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.BCEWithLogitsLoss(
        weight=to_tensor(config.weight),
        reduction=config.reduction,
        pos_weight=to_tensor(config.pos_weight),
    )


def _weights(module: nn.BCEWithLogitsLoss, inputs: Mapping[str, Tensor]) -> Problem | None:
    for name in ("weight", "pos_weight"):
        problem = aligned_weight(name, getattr(module, name), "input", inputs["input"])
        if problem is not None:
            return problem
    return None


_FORMULA = r"""\begin{aligned}
\ell &= -w \left( v y \log \sigma(x) + (1 - y) \log(1 - \sigma(x)) \right) \\
\sigma(u) &= \frac{1}{1 + \exp(-u)}
\end{aligned}"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Binary cross entropy with logits."""
    return [
        LossDefinition(
            name="bce_with_logits",
            config=BCEWithLogitsConfig,
            build=build,
            inputs=(
                LossInput(name="input", meaning="logits", shape="*", gradient=True),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="probabilities to predict, often 0 or 1",
                    shape="*",
                    domain="probability",
                    gradient=True,
                ),
            ),
            check_shapes=_weights,
            summary="Sigmoid and binary cross entropy in one step",
            use_when="Labels are independent of each other, or there is one question of yes or no; "
            "the model puts out logits.",
            avoid_when="Exactly one class is true (cross_entropy), or the model puts out "
            "probabilities (bce).",
            formula=_FORMULA,
            symbols={
                "x": "input",
                "y": "target",
                "w": "weight, 1 where it is left out",
                "v": "pos_weight, 1 where it is left out",
            },
            worked=WorkedExample(
                inputs={
                    "input": [0.0, 0.0],
                    "target": [1.0, 0.0],
                },
                params={"pos_weight": [3.0]},
                entries=[2.079, 0.6931],
                divisor=2,
                value=1.386,
            ),
            references=(
                "https://pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html",
            ),
            example=(
                "tags:\n"
                "  type: bce_with_logits\n"
                "  inputs: {input: logits, target: tags}\n"
                "  params: {pos_weight: [3.0]}\n"
            ),
        )
    ]
