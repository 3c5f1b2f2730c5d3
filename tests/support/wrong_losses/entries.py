"""Unreduced losses that are not what the mean is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

from lossreg.plugin import (
    Denominator,
    Field,
    IgnoreIndex,
    LossConfig,
    LossInput,
    Reduction,
)
from wrong_losses.fair import INPUT, TARGET, Fair, FairConfig, Wrong, contract, fair


class Unweighed(Fair):
    """Its mean is over all entries, and nobody says that they count alike."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        each = self.entries(input, target)
        return each if self.reduction == "none" else getattr(each, self.reduction)()


class HalfSum(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        value = super().forward(input, target)
        return value / 2 if self.reduction == "sum" else value


class Offset(Fair):
    """Its sum is 1 minus the sum, as of losses that are 1 minus a similarity."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        value = super().forward(input, target)
        return 1 - value if self.reduction == "sum" else value


class OneNumberConfig(FairConfig):
    reduction: Literal["mean", "sum"] = Field("mean", description="How entries are reduced.")  # type: ignore[assignment]


class ByRow(Fair):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        value = super().forward(input, target)
        return value.sum(1) if self.reduction == "none" else value


class Centred(Unweighed):
    def entries(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        each = super().entries(input, target)
        return each - 0.5 * each.mean()


class Leaking(Unweighed):
    """What it adds is always 0, but its slope is that of all entries."""

    def entries(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return super().entries(input, target) + (input - input.detach()).mean()


class Ratio(Unweighed):
    """Infinite where its target is 0."""

    def entries(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return self.beta * input / target


class Rooted(Fair):
    """The root's slope at 0 is infinite, and 0 times that is nan."""

    def entries(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return super().entries(input, target) + 0 * (input - 5).abs().sqrt()


def by_input(_: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    # The same number, but known only after the model ran.
    return inputs["target"].abs() + 0 * inputs["input"]


def share(_: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """Adds up to 1 in a batch of any size, so that two batches count 2."""
    return inputs["target"].abs() / inputs["target"].abs().sum()


def inverse(_: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    return 1 / inputs["target"].abs().sum()


class ClassesConfig(LossConfig):
    """A loss that leaves out targets of one index."""

    reduction: Reduction = "mean"
    ignore_index: IgnoreIndex = Field(-100, description="The target to leave out.")


class OverAll(nn.Module):
    """Cross entropy whose mean counts the rows that it leaves out."""

    def __init__(self, config: ClassesConfig) -> None:
        super().__init__()
        self.reduction, self.ignore_index = config.reduction, config.ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        each = F.cross_entropy(input, target, reduction="none", ignore_index=self.ignore_index)
        return each if self.reduction == "none" else getattr(each, self.reduction)()


CLASSES = (
    LossInput(name="input", meaning="logits", shape="N C", gradient=True),
    LossInput(
        name="target",
        meaning="classes",
        dtype="int",
        shape="N",
        domain="class index",
        counted=True,
    ),
)
LABELLED = {
    "input": torch.tensor([[0.5, -1.0], [2.0, 0.25], [-0.5, 1.5]]),
    "target": torch.tensor([0, 1, 1]),
}

ENTRIES = {
    "a mean over what it leaves out": Wrong(
        contract(
            fair(
                OverAll,
                config=ClassesConfig,
                example="",
                inputs=CLASSES,
                unreduced="N",
                denominator=Denominator(),
            ),
            batch=LABELLED,
        ),
        ("ignored_targets_do_not_count",),
        "a batch with one target of ignore_index -100 gives",
    ),
    "letters of another shape": Wrong(
        contract(fair(unreduced="N", inputs=(INPUT, dataclasses.replace(TARGET, counted=False)))),
        ("without_reduction_it_has_the_declared_shape",),
        "unreduced='N' means the shape (4,), but with reduction 'none' the loss has (4, 2)",
    ),
    "letters that no input has": Wrong(
        contract(fair(unreduced="N C", inputs=(INPUT, dataclasses.replace(TARGET, counted=False)))),
        ("without_reduction_it_has_the_declared_shape",),
        "unreduced='N C' means the shape None",
    ),
    "entries that are rows": Wrong(
        contract(fair(ByRow)),
        (
            "without_reduction_it_has_the_declared_shape",
            "the_mean_is_its_numerator_over_its_denominator",
            "the_denominator_is_read_from_what_counts",
            "masked_entries_do_not_count",
        ),
        "the loss has (4,)",
    ),
    "a mean over other entries": Wrong(
        contract(fair(Unweighed)),
        (
            "the_mean_is_its_numerator_over_its_denominator",
            "the_denominator_is_read_from_what_counts",
            "masked_entries_do_not_count",
        ),
        "reduced by lossreg with reduction 'mean' its entries give",
    ),
    "a sum of something else": Wrong(
        contract(fair(HalfSum)),
        ("the_mean_is_its_numerator_over_its_denominator",),
        "reduced by lossreg with reduction 'sum' its entries give",
    ),
    "a sum that does not add up": Wrong(
        contract(fair(Offset, config=OneNumberConfig, additive=True)),
        ("the_sums_of_parts_add_up",),
        "the sums of single rows add up to",
    ),
    "a denominator read from the model": Wrong(
        contract(fair(denominator=Denominator(count=by_input))),
        ("the_denominator_is_read_from_what_counts",),
        "the denominator's count fails with only the counted inputs, 'target': KeyError",
    ),
    "a denominator that does not add up": Wrong(
        contract(fair(denominator=Denominator(count=share, scale=inverse))),
        ("the_denominator_is_read_from_what_counts",),
        "with reduction 'mean', numerators and denominators of single rows add up to",
    ),
    "counted letters that tell no shape": Wrong(
        contract(
            fair(
                inputs=(INPUT, dataclasses.replace(TARGET, shape="N K")),
            )
        ),
        ("the_denominator_is_read_from_what_counts",),
        "'target' is counted, but by the letters of its shape the loss has the shape None",
    ),
    "entries that see each other": Wrong(
        contract(fair(Centred, denominator=Denominator())),
        ("masked_entries_do_not_count",),
        "under a mask the value is",
    ),
    "entries whose gradients see each other": Wrong(
        contract(fair(Leaking, denominator=Denominator())),
        ("masked_entries_do_not_count", "gradient_is_the_slope_of_the_value"),
        "a mask changes the gradient of 'input' in rows that it keeps",
    ),
    "no value that is safe to fill in": Wrong(
        contract(fair(Ratio, denominator=Denominator())),
        ("safe_values_are_safe", "masked_entries_do_not_count"),
        "the values that replace masked entries give nan or infinity",
    ),
    "a gradient that is infinite where it is filled": Wrong(
        contract(fair(Rooted, inputs=(dataclasses.replace(INPUT, fill=5), TARGET))),
        ("safe_values_are_safe",),
        "the values that replace masked entries give nan or infinity",
    ),
}
