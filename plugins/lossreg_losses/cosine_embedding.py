"""Cosine embedding loss: similar vectors point the same way, dissimilar ones do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.plugin import (
    Field,
    LossConfig,
    LossDefinition,
    LossInput,
    Problem,
    Reduction,
    WorkedExample,
    hookimpl,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


class CosineEmbeddingConfig(LossConfig):
    """Cosine distance for similar pairs, a hinge on the cosine for dissimilar ones."""

    reduction: Reduction = "mean"
    margin: float = Field(
        0.0,
        ge=-1,
        le=1,
        description="The cosine below which a dissimilar pair no longer counts. Beyond -1 and 1, "
        "where no cosine lies, it is refused: the hinge would never start or never end.",
    )


def build(config: CosineEmbeddingConfig) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.CosineEmbeddingLoss(margin=config.margin, reduction=config.reduction)


def _one_number(_: nn.CosineEmbeddingLoss, inputs: Mapping[str, Tensor]) -> Problem | None:
    vectors = inputs["input1"]
    if vectors.shape[-1] != 1:
        return None
    return Problem(
        "input1",
        f"expected vectors of several numbers, found one each, {tuple(vectors.shape)}: their "
        "cosine is 1 or -1 whatever they are, and its gradient 0. Is hinge_embedding meant, of "
        "their distances?",
    )


_FORMULA = r"""\begin{aligned}
\ell &= \begin{cases}
1 - k & \text{if } y = 1 \\
\max(0, k - \text{margin}) & \text{if } y = -1
\end{cases} \\
k &= \frac{x_1 \cdot x_2}{\sqrt{(x_1 \cdot x_1 + 10^{-12}) (x_2 \cdot x_2 + 10^{-12})}}
\end{aligned}"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Cosine embedding."""
    return [
        LossDefinition(
            name="cosine_embedding",
            config=CosineEmbeddingConfig,
            build=build,
            inputs=(
                LossInput(
                    name="input1",
                    meaning="first vectors",
                    shape="N D",
                    gradient=True,
                    fill=1.0,  # in half precision a vector of length 0 has no cosine
                ),
                LossInput(
                    name="input2",
                    meaning="second vectors",
                    shape="N D",
                    gradient=True,
                    fill=1.0,
                ),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="1 for a similar pair, -1 for a dissimilar one",
                    dtype="float or int",
                    shape="N",
                    domain="plus or minus one",
                ),
            ),
            unreduced="N",
            unbatched=True,
            check_shapes=_one_number,
            summary="Cosine distance of similar pairs, hinge for dissimilar ones",
            use_when="Pairs of vectors are labelled similar or dissimilar; length does not matter. "
            "A loss is from 0 to 2; a vector of zeros has the cosine 0 with every other.",
            avoid_when="The model puts out distances (hinge_embedding), or pairs share an anchor "
            "(triplet_margin).",
            formula=_FORMULA,
            symbols={
                "x_1": "input1",
                "x_2": "input2",
                "y": "target",
            },
            worked=WorkedExample(
                inputs={
                    "input1": [[3.0, 4.0], [3.0, 4.0]],
                    "input2": [[4.0, 3.0], [4.0, 3.0]],
                    "target": [1.0, -1.0],
                },
                params={"margin": 0.5},
                entries=[0.04, 0.46],
                divisor=2,
                value=0.25,
            ),
            references=(
                "https://pytorch.org/docs/stable/generated/torch.nn.CosineEmbeddingLoss.html",
            ),
            example=(
                "match:\n"
                "  type: cosine_embedding\n"
                "  inputs: {input1: image_vector, input2: text_vector, target: same}\n"
                "  params: {margin: 0.2}\n"
            ),
        )
    ]
