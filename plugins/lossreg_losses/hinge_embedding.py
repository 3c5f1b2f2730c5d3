"""Hinge embedding loss: similar pairs come close, dissimilar ones stay a margin apart."""

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


class HingeEmbeddingConfig(LossConfig):
    """The distance itself for similar pairs, a hinge on it for dissimilar ones."""

    reduction: Reduction = "mean"
    margin: float = Field(
        1.0, description="The distance beyond which a dissimilar pair no longer counts."
    )


def build(config: HingeEmbeddingConfig) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.HingeEmbeddingLoss(margin=config.margin, reduction=config.reduction)


_FORMULA = r"""\ell = \begin{cases}
x & \text{if } y = 1 \\
\max(0, \text{margin} - x) & \text{if } y = -1
\end{cases}"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Hinge embedding."""
    return [
        LossDefinition(
            name="hinge_embedding",
            config=HingeEmbeddingConfig,
            build=build,
            inputs=(
                LossInput(
                    name="input",
                    meaning="distances of pairs, at least 0",
                    domain="non-negative",
                    gradient=True,
                ),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="1 for a similar pair, -1 for a dissimilar one",
                    dtype="float or int",
                    domain="plus or minus one",
                ),
            ),
            summary="Distance of similar pairs, hinge for dissimilar ones",
            use_when="The model puts out distances of pairs labelled similar or dissimilar.",
            avoid_when="The model puts out the vectors themselves (cosine_embedding), or pairs "
            "share an anchor (triplet_margin).",
            formula=_FORMULA,
            symbols={
                "x": "input",
                "y": "target",
            },
            worked=WorkedExample(
                inputs={
                    "input": [0.5, 0.25],
                    "target": [1.0, -1.0],
                },
                entries=[0.5, 0.75],
                divisor=2,
                value=0.625,
            ),
            references=(
                (
                    "Hadsell et al., Dimensionality Reduction by Learning an Invariant Mapping "
                    "(which squares both parts), CVPR 2006, https://doi.org/10.1109/CVPR.2006.100"
                ),
                "https://pytorch.org/docs/stable/generated/torch.nn.HingeEmbeddingLoss.html",
            ),
            example=(
                "pairs:\n"
                "  type: hinge_embedding\n"
                "  inputs: {input: distance, target: same}\n"
                "  params: {margin: 2.0}\n"
            ),
        )
    ]
