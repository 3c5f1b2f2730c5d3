"""Margin ranking loss: of two scores, the right one should be larger, and by a margin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.plugin import (
    Field,
    LossConfig,
    LossDefinition,
    LossInput,
    Reduction,
    WorkedExample,
    hookimpl,
)

if TYPE_CHECKING:
    from torch import nn


class MarginRankingConfig(LossConfig):
    """Hinge on the difference of two scores: learning to rank."""

    reduction: Reduction = "mean"
    margin: float = Field(
        0.0,
        description="By how much the score that ranks higher should exceed the other. At 0 or "
        "below, a model that gives the same score to everything has the loss 0.",
    )


def build(config: MarginRankingConfig) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.MarginRankingLoss(margin=config.margin, reduction=config.reduction)


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Margin ranking."""
    return [
        LossDefinition(
            name="margin_ranking",
            config=MarginRankingConfig,
            build=build,
            inputs=(
                LossInput(name="input1", meaning="scores of the first items", gradient=True),
                LossInput(name="input2", meaning="scores of the second items", gradient=True),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="1 where the first item ranks higher, -1 where the second does",
                    dtype="float or int",
                    domain="plus or minus one",
                    gradient=True,
                ),
            ),
            summary="Hinge on the difference of two scores",
            use_when="Pairs of items are known by their order, such as search results.",
            avoid_when="Items are vectors to compare (triplet_margin, cosine_embedding).",
            formula=r"\ell = \max(0, -y (x_1 - x_2) + \text{margin})",
            symbols={
                "x_1": "input1",
                "x_2": "input2",
                "y": "target",
            },
            worked=WorkedExample(
                inputs={
                    "input1": [1.0, 2.0],
                    "input2": [3.0, 1.0],
                    "target": [1.0, 1.0],
                },
                params={"margin": 0.5},
                entries=[2.5, 0.0],
                divisor=2,
                value=1.25,
            ),
            references=(
                (
                    "Joachims, Optimizing Search Engines using Clickthrough Data, KDD 2002, "
                    "https://doi.org/10.1145/775047.775067"
                ),
                "https://pytorch.org/docs/stable/generated/torch.nn.MarginRankingLoss.html",
            ),
            example=(
                "rank:\n"
                "  type: margin_ranking\n"
                "  inputs: {input1: score_a, input2: score_b, target: order}\n"
                "  params: {margin: 0.5}\n"
            ),
        )
    ]
