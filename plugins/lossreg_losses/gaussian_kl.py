"""Divergence of one diagonal Gaussian from another, as in variational autoencoders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lossreg.plugin import (
    Field,
    LossConfig,
    LossDefinition,
    LossInput,
    WorkedExample,
    hookimpl,
)

if TYPE_CHECKING:
    from torch import nn


class GaussianKLConfig(LossConfig):
    """How far a Gaussian code is from a prior: variational autoencoders, world models."""

    reduction: Literal["mean", "sum", "none", "batchmean"] = Field(
        "mean",
        description="How the unreduced loss becomes one value: mean, which divides by every entry "
        "and so is not the divergence of a code of several numbers; sum; batchmean, which divides "
        "by the rows, as the evidence lower bound does; or none to leave it.",
    )

    def suspicions(self) -> list[tuple[str, str]]:
        """The `mean` is not the divergence."""
        if self.reduction != "mean":
            return []
        message = "mean divides by every entry, batchmean by the rows, as the lower bound does"
        return [("reduction", message)]


def build(config: GaussianKLConfig) -> nn.Module:
    """The module with these parameters."""
    from lossreg_losses._modules import GaussianKL

    return GaussianKL(reduction=config.reduction)


_FORMULA = r"""\ell = \frac{1}{2} (t - s - 1 + \frac{\exp(s) + (m - p)^2}{\exp(t)})"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Gaussian divergence."""
    return [
        LossDefinition(
            name="gaussian_kl",
            config=GaussianKLConfig,
            build=build,
            inputs=(
                LossInput(name="mean", meaning="the code's means", shape="N *", gradient=True),
                LossInput(
                    name="log_var",
                    meaning="logarithms of the code's variances",
                    shape="N *",
                    gradient=True,
                ),
                LossInput(
                    name="prior_mean",
                    meaning="the prior's means; {constant: 0.0} for the standard normal",
                    shape="N *",
                    gradient=True,
                ),
                LossInput(
                    name="prior_log_var",
                    meaning="logarithms of the prior's variances; {constant: 0.0} for the standard "
                    "normal",
                    shape="N *",
                    gradient=True,
                ),
            ),
            unreduced="N *",
            unbatched=True,
            summary="Divergence of a diagonal Gaussian from another",
            use_when="A code is drawn from a predicted Gaussian and should stay near a prior, "
            "which may be learned. Choose the reduction batchmean for the evidence lower bound. "
            "Each entry is at least 0.",
            avoid_when="Targets are values (gaussian_nll), the distributions are not Gaussian, or "
            "standard deviations are predicted: apply [log, {mul: 2.0}].",
            formula=_FORMULA,
            symbols={
                "m": "mean",
                "s": "log_var",
                "p": "prior_mean",
                "t": "prior_log_var",
            },
            worked=WorkedExample(
                inputs={
                    "mean": [[1.0, 0.0], [2.0, 0.0]],
                    "log_var": [[0.0, 0.0], [0.0, 1.0]],
                    "prior_mean": [[0.0, 0.0], [0.0, 0.0]],
                    "prior_log_var": [[0.0, 0.0], [0.0, 0.0]],
                },
                params={"reduction": "batchmean"},
                entries=[[0.5, 0.0], [2.0, 0.3591]],
                divisor=2,
                value=1.43,
            ),
            references=(
                (
                    "Kingma and Welling, Auto-Encoding Variational Bayes, ICLR 2014, "
                    "https://arxiv.org/abs/1312.6114"
                ),
            ),
            example=(
                "prior:\n"
                "  type: gaussian_kl\n"
                "  inputs:\n"
                "    mean: code.mean\n"
                "    log_var: code.log_var\n"
                "    prior_mean: {constant: 0.0}\n"
                "    prior_log_var: {constant: 0.0}\n"
                "  params: {reduction: batchmean}\n"
            ),
        )
    ]
