"""Connectionist temporal classification: a label sequence against unaligned outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.plugin import (
    Denominator,
    Field,
    LossConfig,
    LossDefinition,
    LossInput,
    Problem,
    Reduction,
    WorkedExample,
    hookimpl,
    several_classes,
    unnormalised,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


class CTCConfig(LossConfig):
    """The probability of a label sequence, summed over its alignments with the outputs."""

    blank: int = Field(0, ge=0, lt=2**63, description="The index of the class that means no label.")
    reduction: Reduction = "mean"
    zero_infinity: bool = Field(
        default=False,
        description="Whether targets too long for their input give zero instead of infinity, "
        "whose gradient is nan.",
    )


def build(config: CTCConfig) -> nn.Module:
    """torch's module with these parameters."""
    from torch import nn

    return nn.CTCLoss(
        blank=config.blank, reduction=config.reduction, zero_infinity=config.zero_infinity
    )


def _per_label(_: nn.CTCLoss, inputs: Mapping[str, Tensor]) -> Tensor:
    """torch's mean divides each loss by its number of labels, then averages over the batch."""
    log_probs, lengths = inputs["log_probs"], inputs["target_lengths"]
    return 1 / lengths.clamp(min=1).to(log_probs)


def _out_of_range(_: nn.CTCLoss, inputs: Mapping[str, Tensor]) -> str | None:
    """Labels and lengths with which torch's CPU kernel would read out of bounds."""
    log_probs, targets = inputs["log_probs"], inputs["targets"]
    lengths = inputs["target_lengths"]
    classes = log_probs.shape[-1]
    if not lengths.numel():
        return None
    used = targets
    if targets.dim() == 2:  # noqa: PLR2004 - padded, N S; torch does not read beyond the lengths
        longest = targets.shape[1]
        if int(lengths.max()) > longest:
            return f"target_lengths of at most {longest}, found {int(lengths.max())}"
        places = lengths.new_tensor(range(longest))
        used = targets[places < lengths.reshape(-1, 1)]
    elif int(lengths.sum()) > targets.numel():
        return f"target_lengths that add up to {targets.numel()}, found {int(lengths.sum())}"
    if used.numel() and not 0 <= int(used.min()) <= int(used.max()) < classes:
        worst = int(used.min()) if int(used.min()) < 0 else int(used.max())
        return f"targets from 0 to {classes - 1}, found {worst}"
    return None


def _one_class(_: nn.CTCLoss, inputs: Mapping[str, Tensor]) -> Problem | None:
    return several_classes(
        "log_probs",
        inputs["log_probs"],
        "One class is the blank, and leaves none for labels.",
        dim=-1,
    )


def _logits(_: nn.CTCLoss, inputs: Mapping[str, Tensor]) -> Problem | None:
    return unnormalised("log_probs", inputs["log_probs"], "is a log_softmax missing?", dim=-1)


def _too_few_steps(module: nn.CTCLoss, inputs: Mapping[str, Tensor]) -> str | None:
    steps, labels = (inputs[name].flatten() for name in ("input_lengths", "target_lengths"))
    short = (steps < labels).nonzero()
    if not len(short) or module.zero_infinity:
        return None
    row = int(short[0])
    return (
        f"Row {row} has {int(steps[row])} steps for {int(labels[row])} labels, which is impossible "
        "(a label that is repeated needs one step more); `zero_infinity: true` leaves such rows out"
    )


_FORMULA = r"""\begin{aligned}
\ell &= \begin{cases}
0 & \text{if zero infinity and } P = 0 \\
-\log P & \text{otherwise}
\end{cases} \\
P &= \sum_{\pi \in \Pi(y, m, n, b)} \prod_{t < n} \exp(x_{t, \pi_t})
\end{aligned}"""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    """CTC."""
    return [
        LossDefinition(
            name="ctc",
            config=CTCConfig,
            build=build,
            inputs=(
                LossInput(
                    name="log_probs",
                    meaning="log-probabilities of classes at each step; time comes first: from a "
                    "model that puts out N T C, apply: [{permute: [1, 0, 2]}]",
                    shape="T N C",
                    domain="log-probability",
                    gradient=True,
                ),
                LossInput(
                    name="targets",
                    meaning="label sequences without blanks, padded (N S) or one after another",
                    dtype="int",
                    shape="N S",
                    domain="label sequence",
                ),
                LossInput(
                    name="input_lengths",
                    meaning="steps in use of each input, at most T",
                    dtype="int",
                    shape="N",
                    domain="length",
                    fill=1,
                ),
                LossInput(
                    name="target_lengths",
                    counted=True,
                    meaning="labels in use of each target, at most S",
                    dtype="int",
                    shape="N",
                    domain="length",
                ),
            ),
            unreduced="N",
            unbatched=True,
            denominator=Denominator(
                scale=_per_label,
                meaning="N, the number of rows, after each row's loss is divided by the length of "
                "its target (at least 1)",
            ),
            check=_out_of_range,
            check_shapes=_one_class,
            check_values=_logits,
            explain=_too_few_steps,
            compiles=False,  # its intermediate result's size depends on the lengths, which are data
            summary="Label sequences against outputs of unknown alignment",
            use_when="Speech or handwriting: the labels' order is known, their places are not.",
            avoid_when="Each step has its own label (cross_entropy), or the order of the labels "
            "is not the order in time in which the input shows them, as in translation.",
            formula=_FORMULA,
            symbols={
                "x": "log_probs",
                "y": "targets",
                "n": "input_lengths",
                "m": "target_lengths",
                "b": "blank",
                r"\Pi": "all paths of n classes, one a step, that read as the first m labels of y "
                "once repeated classes are merged and then blanks b are removed",
            },
            worked=WorkedExample(
                inputs={
                    "log_probs": [
                        [[-1.0986, -1.0986, -1.0986], [-0.6931, -1.3863, -1.3863]],
                        [[-1.0986, -1.0986, -1.0986], [-0.6931, -1.3863, -1.3863]],
                    ],
                    "targets": [[1, 2], [2, 0]],
                    "input_lengths": [2, 2],
                    "target_lengths": [2, 1],
                },
                entries=[2.197, 1.163],
                divisor=2,
                value=1.131,
            ),
            references=(
                (
                    "Graves et al., Connectionist Temporal Classification, ICML 2006, "
                    "https://doi.org/10.1145/1143844.1143891"
                ),
                "https://pytorch.org/docs/stable/generated/torch.nn.CTCLoss.html",
            ),
            example=(
                "transcribe:\n"
                "  type: ctc\n"
                "  inputs:\n"
                "    log_probs: log_probs\n"
                "    targets: text\n"
                "    input_lengths: frames\n"
                "    target_lengths: letters\n"
                "  params: {zero_infinity: true}\n"
            ),
        )
    ]
