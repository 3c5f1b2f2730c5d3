"""A loss in words: its symbols, its inputs' shapes, what it is divided by, a worked number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from lossreg.plugin.fields import holds_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lossreg.plugin import LossDefinition, LossInput, WorkedExample

__all__ = ["Symbol", "divisors", "shape_in_words", "symbols", "worked_in_words"]


class Symbol(NamedTuple):
    """One symbol of a formula.

    Attributes:
        latex: As the formula writes it.
        name: The input or the parameter that it stands for; empty if neither.
        words: What it stands for, or what to know beside the name.
    """

    latex: str
    name: str
    words: str


def symbols(definition: LossDefinition) -> list[Symbol]:
    """The key to the formula."""
    names = {argument.name for argument in definition.inputs} | {*definition.config.model_fields}
    found = []
    for latex, meaning in definition.symbols.items():
        name, _, words = meaning.partition(", ")
        is_name = name in names
        one_line = " ".join(latex.split())
        found.append(Symbol(one_line, name, words) if is_name else Symbol(one_line, "", meaning))
    return found


def shape_in_words(argument: LossInput, definition: LossDefinition) -> str:
    """An input's shape; class probabilities have that of the first input."""
    if argument.domain == "class index or probability":
        return f"{argument.letters} or {definition.inputs[0].letters}"
    return str(argument.letters)


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


def worked_in_words(definition: LossDefinition) -> str:
    """The worked example as a sentence; empty if there is none.

    A mean shows the number that is divided, and by which.
    """
    worked = definition.worked
    if worked is None:
        return ""
    params = dict(worked.params)
    reduction = params.pop("reduction", None) or _default_reduction(definition)
    *most, last = (f"{name} {_shown(value)}" for name, value in {**worked.inputs, **params}.items())
    text = f"Of {', '.join(most)} and {last}" if most else f"Of {last}"
    if worked.entries is not None:
        text += f", the entries are {_shown(worked.entries)}"
        text += " and" if reduction else ""
    value = f"{worked.value:.4g}"
    if worked.divisor is not None:
        value = f"{_dividend(worked, worked.divisor):.4g} / {worked.divisor:.4g} = {value}"
    return f"{text}{'' if text.endswith(' and') else ','} the {reduction or 'value'} is {value}."


def _dividend(worked: WorkedExample, divisor: float) -> float:
    """What is divided: what the entries add up to, unless they are weighted."""
    dividend = worked.value * divisor  # a rounded number times another
    added_up = sum(_numbers(worked.entries))
    return added_up if math.isclose(added_up, dividend, rel_tol=1e-3) else dividend


def _numbers(nested: Any) -> Iterator[float]:
    if isinstance(nested, list | tuple):
        for element in nested:
            yield from _numbers(element)
    elif nested is not None:
        yield nested


def _default_reduction(definition: LossDefinition) -> str:
    field = definition.config.model_fields.get("reduction")
    return "" if field is None or field.is_required() else str(field.default)


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    # Entries are rounded to four digits already.
    return f"{value:g}" if isinstance(value, int | float) else str(value)
