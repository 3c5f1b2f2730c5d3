"""What a loss's reductions divide by, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.plugin.fields import holds_weights

if TYPE_CHECKING:
    from lossreg.plugin import LossDefinition

__all__ = ["divisors"]


def divisors(definition: LossDefinition) -> dict[str, str]:
    """What each reduction that the loss offers divides by; not those for which this is unknown."""
    offered, words = definition.reductions, {}
    if "mean" in offered and (mean := definition.denominator.meaning or _entries(definition)):
        words["mean"] = mean
    if "batchmean" in offered:
        words["batchmean"] = "the number of rows, which is the size of the first dimension"
    return words


def _entries(definition: LossDefinition) -> str:
    """What the mean divides by, if the definition has no words for it."""
    denominator = definition.denominator
    if "none" not in definition.reductions:
        return ""
    if denominator.count is not None:
        return "the sum of what each entry counts, which the plugin computes"
    is_weighted = any(map(holds_weights, definition.config.model_fields.values()))
    words = "N, the number of rows" if definition.unreduced == "N" else "the number of entries"
    words += ", whatever their weights" * is_weighted
    return words + ", each of which the plugin scales" * (denominator.scale is not None)
