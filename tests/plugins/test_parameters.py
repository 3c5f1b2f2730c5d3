"""What no built-in takes for a parameter: values of a wrong kind, and names that it has not.

The bounds of the right kinds are compared with torch's in `test_bounds.py`.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args, get_origin

import pytest
import torch

import lossreg
from built_ins import BUILT_INS, built_in
from lossreg.plugin.fields import weights_of

REGISTRY = lossreg.Registry.installed()
PARAMETERS = [(loss, name) for loss in BUILT_INS for name in REGISTRY[loss].config.model_fields]

NOT_FINITE = (math.nan, math.inf, -math.inf)
NO_WORD = ("avg", "Mean", "", None, True, 1, *NOT_FINITE)
NO_SWITCH = (1, 0, 1.0, "yes", "no", "true", None, [True], *NOT_FINITE)
NO_INTEGER = (1.5, 1.0, True, "255", None, [1], 2**63, -(2**63) - 1, *NOT_FINITE)
NO_NUMBER = (True, "1.0", None, [1.0], *NOT_FINITE)
NO_WEIGHTS: tuple[Any, ...] = (
    *(True, "1.0", "1, 2", [], ["1.0"], [1.0, "2"], [1.0, True], [1.0, None]),
    *([1.0, number] for number in NOT_FINITE),
    *([1.0, -1.0], [0.0, 0.0], {"cat": 1.0}),
    *(torch.tensor([1, 2]), torch.tensor([1.0, -1.0]), torch.tensor([1.0, math.nan])),
)
# Of a parameter whose numbers may have any shape, and of one with a number a class.
NO_SHAPE: tuple[Any, ...] = (-2.0, 0.0, math.nan, [[1.0], [1.0, 2.0]], [1.0, [2.0]], [[1.0], 2.0])
NO_LIST: tuple[Any, ...] = (2.0, [[1.0, 2.0]], torch.tensor(2.0), torch.ones(1, 2))


def wrong(loss: str, name: str) -> tuple[Any, ...]:
    """Values that are of no use for a parameter, whatever its bounds are."""
    field = REGISTRY[loss].config.model_fields[name]
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        if isinstance(choices[0], str):
            reductions = {"none", "mean", "sum", "batchmean"}
            return *NO_WORD, *sorted(reductions.difference(choices))
        return *NO_INTEGER, min(choices) - 1, max(choices) + 1
    if annotation is bool:
        return NO_SWITCH
    if annotation is int:
        return NO_INTEGER
    if annotation is float:
        may_be_infinite = name in built_in(loss).infinite
        return tuple(value for value in NO_NUMBER if not (may_be_infinite and value == math.inf))
    weights = weights_of(field)
    assert weights is not None, "a kind of parameter that these tests do not know"
    return *NO_WEIGHTS, *(NO_SHAPE if weights.any_shape else NO_LIST)


def assert_refused(loss: str, name: str, value: object) -> None:
    with pytest.raises(lossreg.ConfigError, match=rf"\.{name}\b"):
        lossreg.create(loss, **{name: value})


@pytest.mark.parametrize(("loss", "name"), PARAMETERS)
def test_values_of_a_wrong_kind_are_refused_by_name(loss: str, name: str) -> None:
    for value in wrong(loss, name):
        assert_refused(loss, name, value)


@pytest.mark.parametrize("loss", BUILT_INS)
def test_other_names_are_refused(loss: str) -> None:
    others = {name for _, name in PARAMETERS}.difference(REGISTRY[loss].config.model_fields)
    for name in ("size_average", "reduce", *sorted(others)):
        for value in (True, 1.0):
            assert_refused(loss, name, value)
