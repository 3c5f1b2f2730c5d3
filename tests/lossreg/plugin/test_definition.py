from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from lossreg.plugin import LossConfig, LossDefinition, LossInput


class SampleConfig(LossConfig):
    pass


def definition(**fields: Any) -> LossDefinition:
    given: dict[str, Any] = {
        "name": "sample",
        "config": SampleConfig,
        "build": lambda _: torch.nn.L1Loss(),
        "inputs": (LossInput(name="input", meaning="predictions"),),
        "summary": "made up",
    }
    return LossDefinition(**{**given, **fields})


@pytest.mark.parametrize("name", ["l1", "_x", "My-Loss_2"])
def test_a_loss_is_named_with_letters_digits_and_dashes(name: str) -> None:
    assert definition(name=name).name == name


INPUT = LossInput(name="input", meaning="predictions")


@pytest.mark.parametrize(
    ("fields", "error", "expected"),
    [
        ({"name": ""}, ValueError, "name must be letters"),
        ({"name": "a b"}, ValueError, "not 'a b'"),
        ({"name": "a:b"}, ValueError, "not 'a:b'"),
        ({"name": "a.b"}, ValueError, "not 'a.b'"),
        ({"name": "1a"}, ValueError, "not '1a'"),
        ({"name": "l1\n"}, ValueError, "name must be letters"),
        ({"name": 1}, ValueError, "not 1"),
        ({"config": dict}, TypeError, "config must be a subclass of LossConfig"),
        ({"config": SampleConfig()}, TypeError, "config must be a subclass of LossConfig"),
        ({"build": None}, TypeError, "build must be callable, not None"),
        ({"inputs": ()}, TypeError, "at least one LossInput"),
        ({"inputs": ("input",)}, TypeError, "at least one LossInput"),
        ({"inputs": (INPUT, INPUT)}, ValueError, "names an argument twice"),
        ({"stateful": 1}, TypeError, "stateful must be True or False, not 1"),
        ({"compiles": 1}, TypeError, "compiles must be True, False or None, not 1"),
        ({"check": 1}, TypeError, "check must be callable or None, not 1"),
        ({"check_shapes": "no"}, TypeError, "check_shapes must be callable or None, not 'no'"),
        ({"check_values": ()}, TypeError, r"check_values must be callable or None, not \(\)"),
        ({"symbols": ("x",)}, TypeError, "symbols must map LaTeX to words"),
        ({"symbols": {"x": 1}}, TypeError, "symbols must map LaTeX to words"),
        ({"worked": {"value": 1}}, TypeError, "worked must be a WorkedExample or None"),
        ({"sumary": "made up"}, TypeError, "sumary"),
    ],
    ids=str,
)
def test_a_definition_is_checked_when_it_is_made(
    fields: dict[str, Any], error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        definition(**fields)


def test_a_definition_is_frozen_and_takes_keywords_only() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        definition().name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        LossDefinition("sample", SampleConfig)  # type: ignore[call-arg,misc]


def test_a_definition_needs_five_fields_and_has_defaults_for_the_rest() -> None:
    needed = {
        field.name
        for field in dataclasses.fields(LossDefinition)
        if field.init
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    }
    assert needed == {"name", "config", "build", "inputs", "summary"}
