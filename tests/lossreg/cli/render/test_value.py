from __future__ import annotations

import dataclasses
from typing import Any, Literal

import pytest

from lossreg.cli.render.value import (
    Symbol,
    divisors,
    shape_in_words,
    symbols,
    worked_in_words,
)
from lossreg.plugin import Denominator, LossConfig, LossDefinition, WorkedExample
from lossreg.registry import Registry


class WithoutEntries(LossConfig):
    reduction: Literal["mean", "batchmean"] = "mean"


def definition(name: str, **changes: Any) -> LossDefinition:
    return dataclasses.replace(Registry.installed()[name], **changes)


def count(_: Any, inputs: Any) -> Any:
    return inputs["target"]


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (definition("l1"), {"mean": "the number of entries"}),
        (definition("margin_ranking"), {"mean": "the number of entries"}),
        (definition("bce"), {"mean": "the number of entries, whatever their weights"}),
        (definition("triplet_margin"), {"mean": "the number of entries"}),
        (definition("cosine_embedding"), {"mean": "N, the number of rows"}),
        (definition("multi_margin"), {"mean": "N, the number of rows, whatever their weights"}),
        (
            definition("kl_div"),
            {
                "mean": "the number of entries",
                "batchmean": "the number of rows, which is the size of the first dimension",
            },
        ),
        (
            definition("l1", denominator=Denominator(count=count)),
            {"mean": "the sum of what each entry counts, which the plugin computes"},
        ),
        (
            definition("l1", denominator=Denominator(scale=count)),
            {"mean": "the number of entries, each of which the plugin scales"},
        ),
        (
            definition("value", denominator=Denominator(), config=WithoutEntries),
            {"batchmean": "the number of rows, which is the size of the first dimension"},
        ),
    ],
)
def test_what_a_reduction_divides_by(loss: LossDefinition, expected: dict[str, str]) -> None:
    assert divisors(loss) == expected


def test_class_weights_divide_and_lengths_scale() -> None:
    for name in ("cross_entropy", "nll", "nll2d"):
        assert "weights of the targets that are not ignored" in divisors(definition(name))["mean"]
    assert "divided by the length of its target" in divisors(definition("ctc"))["mean"]


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
