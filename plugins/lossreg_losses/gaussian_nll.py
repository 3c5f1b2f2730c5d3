"""Gaussian negative log-likelihood: a predicted mean and variance against values."""

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
    from collections.abc import Mapping

    from torch import Tensor, nn


class GaussianNLLConfig(LossConfig):
    """Negative log-likelihood under a Gaussian whose variance is predicted too."""

    full: bool = Field(
        default=False,
        description="Whether to add the constant half of log 2 pi. It changes the value but no "
        "gradient.",
    )
    eps: float = Field(
        1e-6,
        gt=0,
        description="The smallest variance that is computed with: smaller ones are raised to it, "
        "and keep their gradient. 0 and below, which leave variances of 0 without a value, are "
        "refused.",
    )
    reduction: Reduction = "mean"


def build(config: GaussianNLLConfig) -> nn.Module:
    """torch's loss, without waiting for the device to look at the variances."""
    from lossreg_losses._modules import GaussianNLLLoss

    return GaussianNLLLoss(full=config.full, eps=config.eps, reduction=config.reduction)


def _negative_variance(_: nn.Module, inputs: Mapping[str, Tensor]) -> str | None:
    negative = inputs["var"] < 0
    if not bool(negative.any()):
        return None
    return (
        f"'var' has variances below 0, {inputs['var'][negative][0]:g} is one: is a softplus "
        "missing, or are these logarithms? Apply exp to them"
    )


_FORMULA = r"""\begin{aligned}
\ell &= \frac{1}{2} (\log v + \frac{(x - y)^2}{v}) + c \\
v &= \max(s, \varepsilon) \\
c &= \begin{cases}
\frac{1}{2} \log(2 \pi) & \text{if full} \\
0 & \text{otherwise}
\end{cases}
\end{aligned}"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Gaussian negative log-likelihood."""
    return [
        LossDefinition(
            name="gaussian_nll",
            config=GaussianNLLConfig,
            build=build,
            inputs=(
                LossInput(name="input", meaning="predicted means", gradient=True),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="values to predict",
                    gradient=True,
                ),
                LossInput(
                    name="var",
                    meaning="predicted variances, one for each mean",
                    domain="non-negative",
                    gradient=True,
                    fill=1.0,
                ),
            ),
            explain=_negative_variance,
            summary="Negative log-likelihood of a predicted mean and variance",
            use_when="The model should say how sure it is of a value. Values below 0 are normal, "
            "because a density may be above 1.",
            avoid_when="The variance is the same everywhere (mse), or it is the logarithm that is "
            "predicted: apply exp to it. Variances that are predicted near 0 make the gradients of "
            "the means very large.",
            formula=_FORMULA,
            symbols={
                "x": "input",
                "y": "target",
                "s": "var",
                r"\varepsilon": "eps",
            },
            worked=WorkedExample(
                inputs={
                    "input": [1.0, 2.0],
                    "target": [3.0, 2.0],
                    "var": [1.0, 4.0],
                },
                entries=[2.0, 0.6931],
                divisor=2,
                value=1.347,
            ),
            references=(
                (
                    "Nix and Weigend, Estimating the mean and variance of the target probability "
                    "distribution, ICNN 1994, https://doi.org/10.1109/ICNN.1994.374138"
                ),
                "https://pytorch.org/docs/stable/generated/torch.nn.GaussianNLLLoss.html",
            ),
            example=(
                "depth:\n"
                "  type: gaussian_nll\n"
                "  inputs:\n"
                "    input: depth.mean\n"
                "    target: depth_map\n"
                "    var: {from: depth.log_var, apply: [exp]}\n"
            ),
        )
    ]
