"""Cross entropy between logits and class indices or class probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.plugin import (
    ClassWeights,
    Denominator,
    Field,
    IgnoreIndex,
    LossConfig,
    LossDefinition,
    LossInput,
    Problem,
    Reduction,
    WorkedExample,
    hookimpl,
    normalised_logits,
    not_ignored,
    several_classes,
    target_weights,
    to_tensor,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


_ROUNDING = 0.05  # of probabilities in half precision


class CrossEntropyConfig(LossConfig):
    """Softmax and negative log-likelihood in one step: classification."""

    reduction: Reduction = "mean"
    weight: ClassWeights | None = Field(
        None,
        description="One number a class: how much its targets count. Negative numbers, which "
        "reward mistakes, and all zeros, whose mean is nan, are refused.",
    )
    ignore_index: IgnoreIndex = -100
    label_smoothing: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How much of each target is spread evenly over all classes, so that even a "
        "perfect prediction costs something. A negative number, which torch silently takes for 0, "
        "is refused.",
    )


def build(config: CrossEntropyConfig) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.CrossEntropyLoss(
        weight=to_tensor(config.weight),
        ignore_index=config.ignore_index,
        reduction=config.reduction,
        label_smoothing=config.label_smoothing,
    )


def _one_class(_: nn.CrossEntropyLoss, inputs: Mapping[str, Tensor]) -> Problem | None:
    return several_classes(
        "input",
        inputs["input"],
        "Is bce_with_logits meant, which takes one logit for a yes or no?",
    )


def _probabilities(_: nn.CrossEntropyLoss, inputs: Mapping[str, Tensor]) -> Problem | None:
    logits, target = inputs["input"], inputs["target"]
    problem = normalised_logits(
        "input", logits, "give the logits, or the probabilities' logarithm to nll"
    )
    if problem is not None or not target.is_floating_point():
        return problem
    sums = target.float().sum(min(1, target.dim() - 1))
    wrong = ((sums - 1).abs() > _ROUNDING) & (sums != 0)  # a row of zeros is meant to be ignored
    if not bool(wrong.any()):
        return None
    return Problem(
        "target",
        "expected class probabilities that add up to 1, found some that add up to "
        f"{sums[wrong].flatten()[0]:.3g}; are these labels of bce_with_logits, any number of which "
        "may be true?",
        certain=False,
    )


_FORMULA = r"""\begin{aligned}
\ell &= \begin{cases}
0 & \text{if } y = i \\
-\sum_c w_c q_c \log p_c & \text{otherwise}
\end{cases} \\
p_c &= \frac{\exp(x_c)}{\sum_{c'} \exp(x_{c'})} \\
q_c &= \begin{cases}
(1 - s) [c = y] + \frac{s}{C} & \text{if } y \text{ is a class index} \\
(1 - s) y_c + \frac{s}{C} & \text{otherwise}
\end{cases}
\end{aligned}"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """Cross entropy."""
    return [
        LossDefinition(
            name="cross_entropy",
            config=CrossEntropyConfig,
            build=build,
            inputs=(
                LossInput(name="input", meaning="logits", shape="N C *", gradient=True),
                LossInput(
                    name="target",
                    counted=True,
                    meaning="class indices, integers of the shape N *; or class probabilities, "
                    "floating-point numbers of the shape N C *",
                    dtype="float or int",
                    shape="N *",
                    domain="class index or probability",
                    gradient=True,
                ),
            ),
            unreduced="N *",
            unbatched=True,
            denominator=Denominator(
                count=target_weights,
                kept=not_ignored,
                meaning="the sum of the weights of the targets that are not ignored (their "
                "number, without weights); if the targets are probabilities, by their number, "
                "whatever the weights",
            ),
            check_shapes=_one_class,
            check_values=_probabilities,
            summary="Softmax and negative log-likelihood of the true class",
            use_when="Each example has one class among several; the model puts out logits.",
            avoid_when="Labels are independent of each other (bce_with_logits), or the model "
            "already puts out log-probabilities (nll).",
            formula=_FORMULA,
            symbols={
                "x": "input",
                "y": "target, a class index or the probability y_c of each class",
                "w": "weight, 1 for each class where it is left out",
                "s": "label_smoothing",
                "i": "ignore_index",
            },
            worked=WorkedExample(
                inputs={
                    "input": [[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
                    "target": [0, 2],
                },
                params={"weight": [1.0, 1.0, 4.0]},
                entries=[0.2395, 6.206],
                divisor=5,
                value=1.289,
            ),
            references=(
                (
                    "Szegedy et al., Rethinking the Inception Architecture (label smoothing), "
                    "CVPR 2016, https://arxiv.org/abs/1512.00567"
                ),
                "https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html",
            ),
            example=(
                "classify:\n"
                "  type: cross_entropy\n"
                "  inputs: {input: logits, target: labels}\n"
                "  params: {label_smoothing: 0.1}\n"
            ),
        )
    ]
