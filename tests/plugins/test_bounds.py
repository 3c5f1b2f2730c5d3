"""Both sides of every bound of every built-in, beside torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from built_ins import BUILT_INS, built_in
from lossreg import Registry
from lossreg.plugin import LossConfig
from lossreg.plugin.fields import holds_weights, weights_of

REGISTRY = Registry.installed()
BOUNDS = ("ge", "gt", "le", "lt")

LOSSES = {name: built_in(name) for name in BUILT_INS}
# torch has no module for a value that is there already.
BATCHES = {name: loss.batch() for name, loss in LOSSES.items() if loss.torch is not None}
PARAMETERS = [(loss, name) for loss in BATCHES for name in REGISTRY[loss].config.model_fields]


def values(loss: str, name: str) -> Iterator[Any]:
    """Good and bad values of a parameter: those at and beside each bound among them."""
    field = REGISTRY[loss].config.model_fields[name]
    if get_origin(field.annotation) is Literal:
        yield from {*get_args(field.annotation), "none", "mean", "sum", "batchmean"}
        yield from ("avg", "Mean", "", "elementwise_mean ")
    elif field.annotation is bool:
        yield from (True, False)
    elif field.annotation in (int, float):
        yield from (0, 1, -1, 2, -2, 3)
        for bound in bounds(field):
            yield from (bound - 1, bound, bound + 1)
            if field.annotation is float:
                yield from (math.nextafter(bound, -math.inf), math.nextafter(bound, math.inf))
        if field.annotation is float:
            yield from (0.5, -0.5, 1e-3, 1e30, -1e30, math.nan, math.inf, -math.inf)
    elif holds_weights(field):
        rest = [1.0] * (BATCHES[loss][0].shape[1] - 1)
        yield from ([first, *rest] for first in (1.0, 0.0, -1.0, -0.0, math.nan, math.inf))
        yield from ([0.0, *[0.0 for _ in rest]], [-1.0, *[-1.0 for _ in rest]])
        weights = weights_of(field)
        if weights is not None and weights.any_shape:
            yield from (2.0, 0.0, -1.0, [[2.0]], [[0.5, *rest]], [[-0.5, *rest]])


def bounds(field: FieldInfo) -> set[Any]:
    found = (getattr(each, kind, None) for each in field.metadata for kind in BOUNDS)
    return {each for each in found if each is not None}


def lossreg_accepts(loss: str, name: str, value: object) -> bool:
    try:
        REGISTRY[loss].config(**{name: value})
    except ValidationError:
        return False
    return True


def torch_accepts(loss: str, name: str, value: Any) -> bool:
    """Whether torch builds the module and computes something, be it nan."""
    if holds_weights(REGISTRY[loss].config.model_fields[name]):
        value = torch.tensor(value)
    try:
        module = LOSSES[loss].torch
        assert module is not None
        module(**{name: value})(*BATCHES[loss])
    except (RuntimeError, ValueError, TypeError, AssertionError, OverflowError):
        return False
    return True


def is_finite(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(is_finite, value))
    return isinstance(value, str) or math.isfinite(value)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize(("loss", "name"), PARAMETERS)
def test_both_sides_of_each_bound(loss: str, name: str) -> None:
    refused_alone, _ = LOSSES[loss].refused_by_lossreg_alone.get(name, (lambda _: False, ""))
    too_small = LOSSES[loss].beyond_the_batch.get(name, lambda _: False)
    for value in values(loss, name):
        if too_small(value):
            assert lossreg_accepts(loss, name, value)
            continue
        accepted, computed = lossreg_accepts(loss, name, value), torch_accepts(loss, name, value)
        if not computed or refused_alone(value):
            assert not accepted, f"{value} is accepted"
        elif is_finite(value):
            assert accepted, f"{value} is refused, torch takes it"
        if accepted:
            definition = REGISTRY[loss]
            definition.build(definition.config(**{name: value}))(*BATCHES[loss])


@pytest.mark.parametrize(("loss", "name"), PARAMETERS)
def test_what_is_not_finite_is_refused(loss: str, name: str) -> None:
    for value in values(loss, name):
        if not is_finite(value):
            expected = value == math.inf and name in LOSSES[loss].infinite
            assert lossreg_accepts(loss, name, value) is expected


def test_that_nothing_infinite_is_taken_is_said() -> None:
    assert "nan and infinity are refused" in (LossConfig.__doc__ or "")


@pytest.mark.parametrize(
    ("loss", "name"),
    [(loss, name) for loss in BATCHES for name in LOSSES[loss].refused_by_lossreg_alone],
)
def test_what_lossreg_alone_refuses_is_explained(loss: str, name: str) -> None:
    description = REGISTRY[loss].config.model_fields[name].description or ""
    refused_alone, words = LOSSES[loss].refused_by_lossreg_alone[name]
    assert words in description
    assert "refused" in description
    found = [each for each in values(loss, name) if is_finite(each) and refused_alone(each)]
    assert any(torch_accepts(loss, name, each) for each in found), "torch refuses it as well"
