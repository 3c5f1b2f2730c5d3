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
    Reduction,
    hookimpl,
    target_weights,
    to_tensor,
)

if TYPE_CHECKING:
    from torch import nn


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
        description="How much of each target is spread evenly over all classes. A negative number, "
        "which torch takes for 0 without a word, is refused.",
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
                    meaning="class indices (N *), or class probabilities (N C *)",
                    dtype="float or int",
                    shape="N *",
                    domain="class index or probability",
                    gradient=True,
                ),
            ),
            unreduced="N *",
            unbatched=True,
            denominator=Denominator(count=target_weights),
            summary="Softmax and negative log-likelihood of the true class",
            use_when="Each example has one class among several; the model puts out logits.",
            avoid_when="Labels are independent of each other (bce_with_logits), or the model "
            "already puts out log-probabilities (nll).",
            formula=r"\ell = -w_y \log \frac{\exp(x_y)}{\sum_c \exp(x_c)}",
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
