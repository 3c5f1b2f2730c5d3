"""Triplet margin loss with another distance than a norm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

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


class TripletMarginWithDistanceConfig(LossConfig):
    """Hinge on the difference of two distances from an anchor, with a distance by name."""

    distance: Literal["euclidean", "squared_euclidean", "manhattan", "chebyshev", "cosine"] = Field(
        "euclidean",
        description="How far apart two vectors are: euclidean, manhattan and chebyshev are the 2-, "
        "1- and infinity-norm of their difference, to whose coordinates 1e-6 is added, as torch's "
        "pairwise_distance does; squared_euclidean is the sum of squared differences, to which "
        "nothing is added; cosine is 1 - their cosine.",
    )
    margin: float = Field(
        1.0, gt=0, description="By how much farther the negative should be than the positive."
    )
    swap: bool = Field(
        default=False,
        description="Whether the negative's distance from the positive counts where it is the "
        "smaller one.",
    )
    reduction: Reduction = "mean"


def build(config: TripletMarginWithDistanceConfig) -> nn.Module:
    """torch's module with the function of this distance."""
    from torch import nn

    from lossreg_losses._modules import DISTANCES

    return nn.TripletMarginWithDistanceLoss(
        distance_function=DISTANCES[config.distance],
        margin=config.margin,
        swap=config.swap,
        reduction=config.reduction,
    )


_FORMULA = r"""\begin{aligned}
\ell &= \max(0, d(a, p) - \delta + \text{margin}) \\
\delta &= \begin{cases}
\min(d(a, n), d(p, n)) & \text{if swap} \\
d(a, n) & \text{otherwise}
\end{cases} \\
d(u, v) &= \begin{cases}
\lVert u - v + 10^{-6} \rVert_2 & \text{if distance is euclidean} \\
\lVert u - v \rVert_2^2 & \text{if distance is squared euclidean} \\
\lVert u - v + 10^{-6} \rVert_1 & \text{if distance is manhattan} \\
\lVert u - v + 10^{-6} \rVert_\infty & \text{if distance is chebyshev} \\
1 - \frac{u \cdot v}{\lVert u \rVert_2 \lVert v \rVert_2} & \text{if distance is cosine}
\end{cases}
\end{aligned}"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Triplet margin with a distance."""
    return [
        LossDefinition(
            name="triplet_margin_with_distance",
            config=TripletMarginWithDistanceConfig,
            build=build,
            inputs=(
                LossInput(
                    name="anchor",
                    meaning="vectors",
                    shape="* D",
                    gradient=True,
                    fill=0.5,  # in half precision a vector of length 0 has no cosine
                ),
                LossInput(
                    name="positive",
                    meaning="vectors that belong with the anchors",
                    shape="* D",
                    gradient=True,
                    fill=1.0,
                ),
                LossInput(
                    name="negative",
                    meaning="vectors that do not",
                    shape="* D",
                    gradient=True,
                    # The fills differ, because the gradient of a distance of 0 may be nan.
                    fill=-1.0,
                ),
            ),
            summary="Hinge on two distances from an anchor, by a distance that is named",
            use_when="Vectors should be near within a class and far between classes, by their "
            "cosine or their squared distance.",
            avoid_when="The distance is a norm of another order, or with another eps "
            "(triplet_margin).",
            formula=_FORMULA,
            symbols={
                "a": "anchor",
                "p": "positive",
                "n": "negative",
            },
            worked=WorkedExample(
                inputs={
                    "anchor": [[0.0, 0.0], [0.0, 0.0]],
                    "positive": [[1.0, 2.0], [1.0, 0.0]],
                    "negative": [[0.0, 2.0], [0.0, 1.5]],
                },
                params={"distance": "squared_euclidean"},
                entries=[2.0, 0.0],
                divisor=2,
                value=1.0,
            ),
            references=(
                (
                    "Balntas et al., Learning local feature descriptors with triplets and shallow "
                    "convolutional neural networks, BMVC 2016, "
                    "http://www.bmva.org/bmvc/2016/papers/paper119/index.html"
                ),
                (
                    "https://pytorch.org/docs/stable/generated/"
                    "torch.nn.TripletMarginWithDistanceLoss.html"
                ),
            ),
            example=(
                "metric:\n"
                "  type: triplet_margin_with_distance\n"
                "  inputs: [anchor, positive, negative]\n"
                "  params: {distance: cosine, margin: 0.2}\n"
            ),
        )
    ]
