from __future__ import annotations

import dataclasses
from typing import Any, Literal

import pytest

from lossreg.config.tools.divisors import divisors
from lossreg.plugin import Denominator, LossConfig, LossDefinition
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
