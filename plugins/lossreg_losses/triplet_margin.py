"""Triplet margin loss: an anchor is closer to its positive than to its negative."""

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


class TripletMarginConfig(LossConfig):
    """Hinge on the difference of two distances from an anchor: metric learning."""

    reduction: Reduction = "mean"
    margin: float = Field(
        1.0, gt=0, description="By how much farther the negative should be than the positive."
    )
    p: float = Field(
        2.0,
        gt=0,
        allow_inf_nan=True,  # nan fails `gt`
        description="The order of the norm that measures distance; infinity takes the largest "
        "coordinate. 0 and below, which are not the order of a norm, are refused.",
    )
    eps: float = Field(
        1e-6,
        ge=0,
        description="Added to each coordinate's difference, for a gradient at distance 0. "
        "A negative number is refused: it does no more than a positive one.",
    )
    swap: bool = Field(
        default=False,
        description="Whether the negative's distance from the positive counts where it is the "
        "smaller one.",
    )


def build(config: TripletMarginConfig) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.TripletMarginLoss(
        margin=config.margin,
        p=config.p,
        eps=config.eps,
        swap=config.swap,
        reduction=config.reduction,
    )


_FORMULA = r"""\begin{aligned}
\ell &= \max(0, d(a, p) - \delta + \text{margin}) \\
\delta &= \begin{cases}
\min(d(a, n), d(p, n)) & \text{if swap} \\
d(a, n) & \text{otherwise}
\end{cases} \\
d(u, v) &= \lVert u - v + \varepsilon \rVert_r
\end{aligned}"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Triplet margin."""
    return [
        LossDefinition(
            name="triplet_margin",
            config=TripletMarginConfig,
            build=build,
            inputs=(
                LossInput(name="anchor", meaning="vectors", shape="* D", gradient=True),
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
            summary="Hinge on two distances from an anchor",
            use_when="Vectors should be near within a class and far between classes, as for faces.",
            avoid_when="Pairs are labelled one by one (hinge_embedding, cosine_embedding), or most "
            "triplets cost 0 already: choose harder ones. A loss that stays at the margin means "
            "that all vectors have become the same.",
            formula=_FORMULA,
            symbols={
                "a": "anchor",
                "p": "positive",
                "n": "negative",
                "r": "p, the order of the norm",
                r"\varepsilon": "eps, added to each coordinate",
            },
            worked=WorkedExample(
                inputs={
                    "anchor": [[0.0, 0.0], [0.0, 0.0]],
                    "positive": [[3.0, 4.0], [1.0, 0.0]],
                    "negative": [[0.0, 5.0], [0.0, 1.5]],
                },
                entries=[1.0, 0.5],
                divisor=2,
                value=0.75,
            ),
            references=(
                (
                    "Balntas et al., Learning local feature descriptors with triplets and shallow "
                    "convolutional neural networks, BMVC 2016, "
                    "http://www.bmva.org/bmvc/2016/papers/paper119/index.html"
                ),
                "https://pytorch.org/docs/stable/generated/torch.nn.TripletMarginLoss.html",
            ),
            example=(
                "metric:\n"
                "  type: triplet_margin\n"
                "  inputs: [anchor, positive, negative]\n"
                "  params: {margin: 0.3, swap: true}\n"
            ),
        )
    ]
