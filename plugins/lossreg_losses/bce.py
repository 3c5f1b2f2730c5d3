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
            use_when="The model puts out probabilities already, as an autoencoder's pixels.",
            avoid_when="The model puts out logits: bce_with_logits is more precise, and runs under "
            "autocast on a GPU, where torch refuses this one.",
            formula=r"\ell = -w \left( y \log x + (1 - y) \log (1 - x) \right)",
            references=("https://pytorch.org/docs/stable/generated/torch.nn.BCELoss.html",),
            example=("rebuild:\n  type: bce\n  inputs: {input: pixels, target: image}\n"),
        )
    ]
