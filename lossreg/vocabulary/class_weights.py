"""How class weights are computed from counts: the table of methods."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from lossreg.vocabulary.arguments import Argument, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["METHODS", "MOST_COUNTED", "Method"]

MOST_COUNTED = 2**53
"""Floats hold every whole number up to it."""

_BELOW_ONE = Kind(
    "a number of at least 0 and below 1",
    lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1,
)
_TOTAL = Kind(
    f"a whole number from 1 to {MOST_COUNTED}",
    lambda value: (
        isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_COUNTED
    ),
)


class Method(NamedTuple):
    """A method that makes a weight of each count.

    Attributes:
        name: Its name.
        counts: The key of what it counts: `counts`, the examples of each class, or `positives`,
            the examples that have each label.
        weigh: What its weights are for, as a config's field says it of its own.
        formula: The weight of a class, for the docs.
        meaning: Its effect, and how the weights are scaled: a phrase for the docs.
        source: Where the formula comes from.
        compute: The weights, from the counts and the arguments by name.
        refusal: Why a count, which is not negative, has no weight, and what to do; or empty.
        arguments: Its arguments, all of them required.
    """

    name: str
    counts: str
    weigh: str
    formula: str
    meaning: str
    source: str
    compute: Callable[[Sequence[int], Mapping[str, Any]], list[float]]
    refusal: Callable[[int, Mapping[str, Any]], str]
    arguments: tuple[Argument, ...] = ()


def _inverse_frequency(counts: Sequence[int], _: Mapping[str, Any]) -> list[float]:
    total, classes = sum(counts), len(counts)
    return [total / (classes * count) for count in counts]


def _effective_number(counts: Sequence[int], arguments: Mapping[str, Any]) -> list[float]:
    beta = float(arguments["beta"])
    weights = [(1 - beta) / (1 - beta**count) for count in counts]
    total = math.fsum(weights)
    return [weight * len(weights) / total for weight in weights]


def _neg_pos_ratio(positives: Sequence[int], arguments: Mapping[str, Any]) -> list[float]:
    total = int(arguments["total"])
    return [(total - count) / count for count in positives]


_INSTEAD = "write the weights themselves, as a list or with 'values'"


def _without_examples(count: int, _: Mapping[str, Any]) -> str:
    return "" if count else f"a class without examples would have an infinite weight; {_INSTEAD}"


def _one_sided(count: int, arguments: Mapping[str, Any]) -> str:
    if not count:
        return f"without a positive example, negatives / positives is infinite; {_INSTEAD}"
    total = arguments.get("total")
    if total is None or count < total:
        return ""
    if count == total:
        return f"all examples are positive, so negatives / positives would be 0; {_INSTEAD}"
    return f"'total', which counts all examples, positive and negative, is only {total}"


_ALL = (
    Method(
        "inverse_frequency",
        "counts",
        "classes",
        "n / (C · n_c)",
        "n_c is the class's count, n the sum of all counts, C the number of classes. Each class "
        "has the same weight in all; over all examples the mean weight is 1",
        'scikit-learn\'s `compute_class_weight("balanced")`; King and Zeng, Logistic Regression '
        "in Rare Events Data, Political Analysis 2001",
        _inverse_frequency,
        _without_examples,
    ),
    Method(
        "effective_number",
        "counts",
        "classes",
        "C · v_c / Σ v, v_c = (1 - beta) / (1 - beta^n_c)",
        "between no weights (`beta: 0`) and inverse frequency (`beta` near 1); the paper tries "
        "0.9, 0.99, 0.999 and 0.9999. Scaled so that the weights add up to C, as in the paper's "
        "code",
        "Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019, "
        "https://arxiv.org/abs/1901.05555",
        _effective_number,
        _without_examples,
        (Argument("beta", _BELOW_ONE),),
    ),
    Method(
        "neg_pos_ratio",
        "positives",
        "positives",
        "(total - p_c) / p_c",
        "p_c is how many examples have the label, total how many there are: the positives of a "
        "label weigh as much as its negatives. Not scaled",
        "torch's `BCEWithLogitsLoss`, on `pos_weight`",
        _neg_pos_ratio,
        _one_sided,
        (Argument("total", _TOTAL),),
    ),
)

METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _ALL})
"""By name."""
