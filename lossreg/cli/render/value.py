"""A loss in words: its symbols, its inputs' shapes, a worked number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lossreg.plugin import LossDefinition, LossInput, WorkedExample

__all__ = ["Symbol", "shape_in_words", "symbols", "worked_in_words"]


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
