"""InfoNCE over pairs: each embedding finds its partner among those of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lossreg.plugin import (
    Denominator,
    Field,
    LossConfig,
    LossDefinition,
    LossInput,
    Problem,
    WorkedExample,
    hookimpl,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from lossreg_losses._contrast import InfoNCE


class InfoNCEConfig(LossConfig):
    """Each embedding should be nearer to its partner than to all others: CLIP, SimCLR."""

    reduction: Literal["mean", "sum"] = Field(
        "mean",
        description="How the pairs' losses become one value: mean, which divides by the pairs of "
        "this batch, or sum. There is no none: each pair's loss depends on all others.",
    )
    temperature: float = Field(
        0.07,
        gt=0,
        description="What similarities are divided by: the smaller, the more the nearest others "
        "count. SimCLR takes 0.1 to 0.5.",
    )
    normalize: bool = Field(
        default=True,
        description="Whether similarities are cosines rather than dot products.",
    )
    symmetric: bool = Field(
        default=True,
        description="Whether the second embeddings choose among the first as well; then a pair's "
        "loss is the mean of both directions. Otherwise only the first choose among the second.",
    )
    own_view: bool = Field(
        default=False,
        description="Whether an embedding is also compared with the others of its own side, as in "
        "SimCLR; CLIP compares only across.",
    )
    gather: bool = Field(
        default=False,
        description="Whether the choice is among the pairs of all ranks, with gradients to all of "
        "them, rather than among those of this rank. Each rank needs as many pairs. It is for "
        "torch.distributed, without which it changes nothing, and torch.compile breaks the graph "
        "at it.",
    )


def build(config: InfoNCEConfig) -> InfoNCE:
    """The module with these parameters."""
    from lossreg_losses._contrast import InfoNCE

    return InfoNCE(
        temperature=config.temperature,
        normalize=config.normalize,
        symmetric=config.symmetric,
        own_view=config.own_view,
        gather=config.gather,
        reduction=config.reduction,
    )


def _one_pair(module: InfoNCE, inputs: Mapping[str, Tensor]) -> Problem | None:
    if module.gather or inputs["input1"].shape[0] != 1:
        return None
    return Problem(
        "input1",
        "expected several pairs, found one: there is no other to choose from, so the loss is 0 "
        "whatever the model gives",
    )


_FORMULA = r"""\begin{aligned}
\ell &= \begin{cases}
\sum_n \frac{1}{2} (f(x, y, n) + f(y, x, n)) & \text{if symmetric} \\
\sum_n f(x, y, n) & \text{otherwise}
\end{cases} \\
f(u, v, n) &= \log(\sum_{n'} \exp(g(u_n, c(v, n'), v_n)) + h(u, v, n)) \\
h(u, v, n) &= \begin{cases}
\sum_{n' \neq n} \exp(g(u_n, c(u, n'), v_n)) & \text{if own view} \\
0 & \text{otherwise}
\end{cases} \\
g(a, b, p) &= \frac{k(a, b) - k(a, p)}{\tau} \\
k(a, b) &= \begin{cases}
\frac{a \cdot b}{\lVert a \rVert_2 \lVert b \rVert_2} & \text{if normalize} \\
a \cdot b & \text{otherwise}
\end{cases} \\
c(v, i) &= \begin{cases}
R(v, i) & \text{if gather} \\
v_i & \text{otherwise}
\end{cases}
\end{aligned}"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """InfoNCE."""
    return [
        LossDefinition(
            name="info_nce",
            config=InfoNCEConfig,
            build=build,
            inputs=(
                LossInput(
                    name="input1",
                    meaning="embeddings, such as of images",
                    shape="N D",
                    gradient=True,
                ),
                LossInput(
                    name="input2",
                    meaning="embeddings of their partners, row by row",
                    shape="N D",
                    gradient=True,
                ),
            ),
            unreduced="",
            denominator=Denominator(meaning="N, the number of pairs in this batch on this rank"),
            check_shapes=_one_pair,
            summary="Each embedding finds its partner among those of the batch",
            use_when="Pairs belong together and all others of the batch do not: images and texts "
            "(CLIP), two views of an image (SimCLR: own_view: true). A loss of log N means that "
            "all embeddings are alike. Over several ranks without gather the choice is among a "
            "rank's own pairs; in micro-batches it is among each one's: another objective.",
            avoid_when="The temperature is learned: give cross_entropy the similarities times the "
            "scale, as configs/clip.yaml does. Or pairs are labelled (cosine_embedding), or "
            "several rows of a batch belong together.",
            formula=_FORMULA,
            symbols={
                "x": "input1",
                "y": "input2",
                r"\tau": "temperature",
                "R": "row i of v and of the same tensor on all other ranks, one below the other, "
                "this rank's first",
            },
            worked=WorkedExample(
                inputs={
                    "input1": [[1.0, 0.0], [0.0, 1.0]],
                    "input2": [[1.0, 0.0], [3.0, 4.0]],
                },
                params={"temperature": 1.0, "symmetric": False},
                divisor=2,
                value=0.4421,
            ),
            references=(
                (
                    "van den Oord et al., Representation Learning with Contrastive Predictive "
                    "Coding, 2018, https://arxiv.org/abs/1807.03748"
                ),
                (
                    "Chen et al., A Simple Framework for Contrastive Learning of Visual "
                    "Representations, ICML 2020, https://arxiv.org/abs/2002.05709"
                ),
                (
                    "Radford et al., Learning Transferable Visual Models From Natural Language "
                    "Supervision, ICML 2021, https://arxiv.org/abs/2103.00020"
                ),
            ),
            example=(
                "contrast:\n"
                "  type: info_nce\n"
                "  inputs: [image_embedding, text_embedding]\n"
                "  params: {temperature: 0.07, gather: true}\n"
            ),
        )
    ]
