from __future__ import annotations

import math
from typing import Any, Literal

import pytest
import torch
from pydantic import ValidationError

from lossreg.plugin import (
    ClassWeights,
    ElementWeights,
    Field,
    IgnoreIndex,
    LossConfig,
    Reduction,
    to_tensor,
)
from lossreg.plugin.fields import with_tensors


class SampleConfig(LossConfig):
    reduction: Reduction = "mean"
    beta: float = Field(1.0, ge=0, description="A number.")
    count: int = Field(1, description="A whole number.")
    full: bool = Field(default=False, description="A switch.")
    weight: ClassWeights | None = Field(None, description="One number a class.")
    factors: ElementWeights | None = Field(None, description="Factors of the entries.")
    ignore_index: IgnoreIndex = -100
    mode: Literal["a", "b"] = Field("a", description="A choice.")


@pytest.mark.parametrize(
    "params",
    [
        {"beta": True},
        {"beta": "1.0"},
        {"beta": math.nan},
        {"beta": math.inf},
        {"beta": -1.0},
        {"beta": None},
        {"count": True},
        {"count": 1.0},
        {"full": 1},
        {"full": "yes"},
        {"reduction": "average"},
        {"reduction": None},
        {"mode": "c"},
        {"ignore_index": 2**63},
        {"ignore_index": -(2**63) - 1},
        {"ignore_index": 0.5},
        {"bet": 1.0},
    ],
    ids=str,
)
def test_a_config_converts_nothing_and_takes_nothing_unknown(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        SampleConfig(**params)
    assert raised.value.error_count() == 1


def test_an_integer_stands_for_a_float() -> None:
    assert SampleConfig(beta=2).beta == 2.0
    assert isinstance(SampleConfig(beta=2).beta, float)


@pytest.mark.parametrize("index", [-(2**63), -100, 0, 2**63 - 1])
def test_an_ignore_index_is_any_64_bit_integer(index: int) -> None:
    assert SampleConfig(ignore_index=index).ignore_index == index


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SampleConfig().beta = 2.0  # type: ignore[misc]


def test_a_wrong_default_is_the_authors_error() -> None:
    class Wrong(LossConfig):
        beta: float = Field(-1.0, ge=0, description="A number.")

    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Wrong()


@pytest.mark.parametrize("weights", [[1, 2.5, 0], (1, 2.5, 0)])
def test_class_weights_are_a_list_of_numbers(weights: object) -> None:
    config = SampleConfig(weight=weights)  # type: ignore[arg-type]
    assert config.weight == (1.0, 2.5, 0.0)
    assert config.model_dump(mode="json")["weight"] == [1.0, 2.5, 0.0]
    hash(config)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_class_weights_as_a_tensor_are_kept_as_they_are(dtype: torch.dtype) -> None:
    weights = torch.tensor([1.0, 2.5], dtype=dtype)
    config = SampleConfig(weight=weights)
    assert config.weight is weights
    assert to_tensor(config.weight) is weights
    assert config.model_dump(mode="json")["weight"] == [1.0, 2.5]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([], "at least one number"),
        ([1.0, -0.1], "no negative number"),
        ([0, 0.0], "at least one number above 0"),
        (torch.tensor([]), "at least one number"),
        (torch.tensor([1.0, -0.1]), "no negative number"),
        (torch.zeros(2), "at least one number above 0"),
        (torch.tensor([1.0, math.nan]), "finite numbers"),
        (torch.tensor([1, 2]), "expected a tensor of float16, bfloat16, float32 or float64"),
        (torch.ones(2).to(torch.float8_e4m3fn), "expected a tensor of float16"),
        (torch.ones(1, 2), "a tensor of one dimension"),
        (torch.tensor(1.0), "a tensor of one dimension"),
        ([1.0, 1e39], r"finite numbers of at most 3\.4e\+38"),
        ([0.0, 1e-50], "at least one number above 0"),
        ([1.0, math.nan], "finite number"),
        ([1.0, True], "valid number"),
        ([1.0, "2"], "valid number"),
        (1.0, "valid list"),
        ("12", "valid list"),
        ({"a": 1.0}, "valid list"),
    ],
    ids=str,
)
def test_class_weights_without_meaning_are_refused(weights: object, expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        SampleConfig(weight=weights)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(), (2,), (2, 1), (1, 2, 3)])
def test_factors_of_the_entries_are_a_tensor_of_any_shape(shape: tuple[int, ...]) -> None:
    factors = torch.ones(shape)
    assert SampleConfig(factors=factors).factors is factors


def test_what_torch_holds_in_float64_is_no_fault_of_a_tensor() -> None:
    weights = torch.tensor([1e-50, 1e300], dtype=torch.float64)
    assert SampleConfig(weight=weights).weight is weights


def test_nothing_is_suspicious_unless_the_config_says_so() -> None:
    assert list(SampleConfig().suspicions()) == []


def test_class_weights_are_an_array_in_the_schema() -> None:
    schema = SampleConfig.model_json_schema()["properties"]["weight"]
    assert {"type": "array", "items": {"type": "number"}} in schema["anyOf"]


def test_class_weights_become_a_tensor_of_the_default_dtype() -> None:
    assert to_tensor(None) is None
    found = to_tensor((1.0, 0.1))
    assert found is not None
    assert torch.equal(found, torch.tensor([1.0, 0.1]))


def test_only_a_list_of_class_weights_becomes_a_tensor() -> None:
    class Config(LossConfig):
        weight: ClassWeights | tuple[str, ...] = Field(("a",), description="Numbers, or names.")
        heads: tuple[ClassWeights, ...] = Field((), description="Class weights a head.")
        pair: tuple[float, float] = Field((0.0, 1.0), description="A range.")
        factors: ElementWeights | None = Field(None, description="Factors.")

    for weights in ({}, {"heads": [[1.0, 3.0], [1.0]]}, {"heads": [torch.ones(2)]}):
        config = Config(**weights)
        assert with_tensors(config) is config
    tensor = torch.ones(2)
    found = with_tensors(Config(weight=[1, 3], factors=tensor))
    assert torch.equal(found.weight, torch.tensor([1.0, 3.0]))
    assert found.factors is tensor
    assert found.pair == (0.0, 1.0)
