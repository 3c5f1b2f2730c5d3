"""Poisson negative log-likelihood: predicted rates against counts."""

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


class PoissonNLLConfig(LossConfig):
    """Negative log-likelihood of counts under a Poisson distribution: count regression."""

    log_input: bool = Field(
        default=True,
        description="Whether the input is the rate's logarithm rather than the rate itself.",
    )
    full: bool = Field(
        default=False,
        description="Whether to add Stirling's approximation of the target's log factorial, where "
        "the target is above 1. It changes the value but no gradient of the input.",
    )
    eps: float = Field(
        1e-8,
        ge=0,
        description="Added to a rate before its logarithm, so that 0 has one; without use where "
        "log_input is true. A negative number, which makes small rates nan, is refused.",
    )
    reduction: Reduction = "mean"


def build(config: PoissonNLLConfig) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.PoissonNLLLoss(
        log_input=config.log_input, full=config.full, eps=config.eps, reduction=config.reduction
    )


def _negative_rate(module: nn.PoissonNLLLoss, inputs: Mapping[str, Tensor]) -> Problem | None:
    rates = inputs["input"]
    if module.log_input or not bool((rates < 0).any()):
        return None
    return Problem(
        "input",
        "expected rates of at least 0, because log_input is false, found "
        f"{rates[rates < 0][0]:g}: is a softplus missing, or are these logarithms "
        "(log_input: true)?",
    )


_FORMULA = r"""\begin{aligned}
\ell &= r + s \\
r &= \begin{cases}
\exp(x) - y x & \text{if log input} \\
x - y \log(x + \varepsilon) & \text{otherwise}
\end{cases} \\
s &= \begin{cases}
y \log y - y + \frac{1}{2} \log(2 \pi y) & \text{if full and } y > 1 \\
0 & \text{otherwise}
\end{cases}
\end{aligned}"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Poisson negative log-likelihood."""
    return [
        LossDefinition(
            name="poisson_nll",
            config=PoissonNLLConfig,
            build=build,
            inputs=(
                LossInput(
                    name="input",
                    meaning="logarithms of rates, or rates if log_input is false",
                    gradient=True,
                    fill=1.0,  # a rate of 0 has no logarithm
                ),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="counts",
                    dtype="float or int",
                    domain="count",
                    gradient=True,
                ),
            ),
            check_values=_negative_rate,
            summary="Negative log-likelihood of counts",
            use_when="Targets count rare events, and their variance grows with their mean. Values "
            "below 0 are normal, because the log factorial of the target is left out without full.",
            avoid_when="Errors are alike at all sizes (mse, smooth_l1), or counts vary more than "
            "their mean does.",
            formula=_FORMULA,
            symbols={
                "x": "input",
                "y": "target",
                r"\varepsilon": "eps",
            },
            worked=WorkedExample(
                inputs={
                    "input": [0.0, 1.0],
                    "target": [1.0, 4.0],
                },
                entries=[1.0, -1.282],
                divisor=2,
                value=-0.1409,
            ),
            references=("https://pytorch.org/docs/stable/generated/torch.nn.PoissonNLLLoss.html",),
            example=(
                "clicks:\n"
                "  type: poisson_nll\n"
                "  inputs: {input: log_rate, target: count}\n"
                "  params: {full: true}\n"
            ),
        )
    ]
