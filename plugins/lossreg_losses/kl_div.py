"""Kullback-Leibler divergence of predicted log-probabilities from a target distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lossreg.plugin import (
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

    from torch import Tensor, nn


class KLDivConfig(LossConfig):
    """How far a predicted distribution is from a given one: distillation, soft targets."""

    reduction: Literal["mean", "sum", "none", "batchmean"] = Field(
        "mean",
        description="How the unreduced loss becomes one value: mean, which in torch divides by "
        "every entry and so is not the divergence; sum; batchmean, which divides by the rows and "
        "is the KL divergence; or none to leave it.",
    )
    log_target: bool = Field(
        False,  # noqa: FBT003  (pydantic takes the default by position)
        description="Whether the target holds log-probabilities rather than probabilities.",
    )

    def suspicions(self) -> list[tuple[str, str]]:
        """The `mean` is not the divergence."""
        if self.reduction != "mean":
            return []
        message = "mean divides by every entry, batchmean by the rows, as the KL divergence does"
        return [("reduction", message)]


def build(config: KLDivConfig) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.KLDivLoss(reduction=config.reduction, log_target=config.log_target)


def _one_outcome(_: nn.KLDivLoss, inputs: Mapping[str, Tensor]) -> Problem | None:
    log_probs = inputs["input"]
    if 1 not in log_probs.shape[1:] or not log_probs.numel() or bool(log_probs.any()):
        return None
    return Problem(
        "input",
        f"expected log-probabilities of several outcomes, found {tuple(log_probs.shape)}, all 0: "
        "a softmax over a dimension of size 1 gives that, whatever the model does",
        certain=False,
    )


_FORMULA = r"""\ell = \begin{cases}
\exp(y) (y - x) & \text{if log target} \\
0 & \text{if } y = 0 \\
y (\log y - x) & \text{otherwise}
\end{cases}"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """KL divergence."""
    return [
        LossDefinition(
            name="kl_div",
            config=KLDivConfig,
            build=build,
            inputs=(
                LossInput(
                    name="input",
                    meaning="predicted log-probabilities",
                    shape="N *",
                    domain="log-probability",
                    gradient=True,
                ),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="probabilities, or log-probabilities with log_target",
                    shape="N *",
                    domain="probability or log-probability",
                    gradient=True,
                ),
            ),
            unreduced="N *",
            unbatched=True,
            check_values=_one_outcome,
            summary="Divergence of log-probabilities from a distribution",
            use_when="The target is a whole distribution: a teacher's output or soft labels. "
            "Choose the reduction batchmean. Single entries can be negative; what a distribution "
            "adds up to is not.",
            avoid_when="The model puts out logits and the target is fixed: cross_entropy takes "
            "both. On N C its mean has the gradient of batchmean; on N C d that of batchmean is d "
            "times larger, because batchmean divides by the rows and not by the positions.",
            formula=_FORMULA,
            symbols={
                "x": "input",
                "y": "target",
            },
            worked=WorkedExample(
                inputs={
                    "input": [[-1.3863, -0.2877], [-0.6931, -0.6931]],
                    "target": [[0.5, 0.5], [1.0, 0.0]],
                },
                params={"reduction": "batchmean"},
                entries=[[0.3466, -0.2027], [0.6931, 0.0]],
                divisor=2,
                value=0.4185,
            ),
            references=(
                (
                    "Kullback and Leibler, On Information and Sufficiency, 1951, "
                    "https://doi.org/10.1214/aoms/1177729694"
                ),
                "https://pytorch.org/docs/stable/generated/torch.nn.KLDivLoss.html",
            ),
            example=(
                "distil:\n"
                "  type: kl_div\n"
                "  inputs: {input: log_probs, target: teacher.probs}\n"
                "  params: {reduction: batchmean}\n"
            ),
        )
    ]
