from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from lossreg.cli.render.value import (
    Symbol,
    shape_in_words,
    symbols,
    worked_in_words,
)
from lossreg.plugin import LossDefinition, WorkedExample
from lossreg.registry import Registry


def definition(name: str, **changes: Any) -> LossDefinition:
    return dataclasses.replace(Registry.installed()[name], **changes)


def test_a_symbol_is_a_name_or_words() -> None:
    loss = definition("l1", symbols={"x": "input", "y": "target, a count", "z": "a sum, of all"})
    assert symbols(loss) == [
        Symbol("x", "input", ""),
        Symbol("y", "target", "a count"),
        Symbol("z", "", "a sum, of all"),
    ]


@pytest.mark.parametrize(
    ("worked", "expected"),
    [
        (
            WorkedExample(inputs={"x": [1, 2.5]}, value=2 / 3, entries=[1.0, 1.0], divisor=3),
            "Of x [1, 2.5], the entries are [1, 1] and the mean is 2 / 3 = 0.6667.",
        ),
        (
            WorkedExample(
                inputs={"x": [1], "y": [0]}, value=2, params={"reduction": "sum", "full": True}
            ),
            "Of x [1], y [0] and full true, the sum is 2.",
        ),
    ],
)
def test_a_worked_example_is_a_sentence(worked: WorkedExample, expected: str) -> None:
    assert worked_in_words(definition("l1", worked=worked)) == expected
    assert worked_in_words(definition("l1", worked=None)) == ""


def test_class_probabilities_have_the_shape_of_the_logits() -> None:
    loss = definition("cross_entropy")
    assert [shape_in_words(argument, loss) for argument in loss.inputs] == [
        "N C *",
        "N * or N C *",
    ]
