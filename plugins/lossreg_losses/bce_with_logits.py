"""Binary cross entropy between logits and probabilities."""

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
    pos_weight: ElementWeights | None = Field(
        None,
        description="How much positive targets count against negative ones: one number a class, "
        "where the classes are the last dimension, or a single one for all. Negative numbers, "
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
            formula=r"\ell = -w \left( p\, y \log \sigma(x) + (1 - y) \log (1 - \sigma(x)) \right)",
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
