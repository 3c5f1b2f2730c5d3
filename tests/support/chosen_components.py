"""A plugin whose loss has parameters that are chosen among components."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor, nn

from lossreg.plugin import (
    Choice,
    Chosen,
    Component,
    Field,
    LossConfig,
    LossDefinition,
    LossInput,
    Reduction,
    hookimpl,
)


class Lp(LossConfig):
    """Parameters of the distance of a norm."""

    p: float = Field(default=2.0, gt=0, description="The power.")
    normalize: bool = Field(default=True, description="Whether vectors are scaled to length 1.")


DISTANCE = Choice(
    Component(
        "cosine",
        summary="One minus the cosine.",
        factory="chosen_components:CosineDistance",
        aliases=("CosineSimilarity", "metric.distances.CosineSimilarity"),
    ),
    Component(
        "lp",
        Lp,
        summary="The distance of a p-norm.",
        factory="chosen_components:LpDistance",
        aliases=("LpDistance",),
    ),
)


class Above(LossConfig):
    """Parameters of a reducer of what is above a threshold."""

    low: float = Field(description="What is below it counts 0.")
    distance: Annotated[Chosen, DISTANCE] = Field(
        default=DISTANCE.chosen("cosine"), description="What is compared with the threshold."
    )


REDUCER = Choice(
    Component("all", factory="chosen_components:All"),
    Component("above", Above, factory="chosen_components:AboveThreshold"),
)


class PairConfig(LossConfig):
    """Parameters of the loss."""

    margin: float = Field(default=0.0, ge=0, description="Distances below it count 0.")
    distance: Annotated[Chosen, DISTANCE] = Field(
        default=DISTANCE.chosen("lp", p=1), description="How far apart two vectors are."
    )
    reducer: Annotated[Chosen, REDUCER] | None = Field(
        default=None, description="Which pairs count; by default, all."
    )
    more: tuple[Annotated[Chosen, DISTANCE], ...] = Field(
        default=(), description="Distances that are added."
    )
    reduction: Reduction = "mean"


class CosineDistance(nn.Module):
    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return 1 - nn.functional.cosine_similarity(one, other, dim=1)


class LpDistance(nn.Module):
    def __init__(self, p: float, *, normalize: bool) -> None:
        super().__init__()
        self.p = p
        self.normalize = normalize

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        if self.normalize:
            one, other = nn.functional.normalize(one), nn.functional.normalize(other)
        return torch.linalg.vector_norm(one - other, ord=self.p, dim=1)


class All(nn.Module):
    def forward(self, losses: Tensor, *_: Tensor) -> Tensor:
        return losses


class AboveThreshold(nn.Module):
    def __init__(self, low: float, distance: nn.Module) -> None:
        super().__init__()
        self.low = low
        self.distance = distance

    def forward(self, losses: Tensor, one: Tensor, other: Tensor) -> Tensor:
        return losses * (self.distance(one, other) > self.low)


class PairLoss(nn.Module):
    def __init__(self, config: PairConfig) -> None:
        super().__init__()
        self.margin = config.margin
        self.reduction = config.reduction
        self.distances = nn.ModuleList(chosen.build() for chosen in (config.distance, *config.more))
        self.reducer = All() if config.reducer is None else config.reducer.build()

    def forward(self, anchor: Tensor, other: Tensor) -> Tensor:
        losses: Any = sum(distance(anchor, other) for distance in self.distances)
        losses = self.reducer(losses.sub(self.margin).relu(), anchor, other)
        if self.reduction == "none":
            return losses
        value: Tensor = losses.mean() if self.reduction == "mean" else losses.sum()
        return value


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    return [
        LossDefinition(
            name="pair",
            config=PairConfig,
            build=PairLoss,
            inputs=(
                LossInput(name="anchor", shape="N C", meaning="vectors", gradient=True),
                LossInput(name="other", shape="N C", meaning="their partners"),
            ),
            summary="The distance of pairs",
            unreduced="N",
        )
    ]
