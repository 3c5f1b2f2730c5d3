from __future__ import annotations

import inspect
from typing import Any, Literal, get_args, get_origin

import pytest
from lightning import Trainer

from lossreg.config import examine
from lossreg.config.declare.trainer import TrainerConfig


def document(**options: object) -> dict[str, object]:
    return {"task": "digits", "trainer": options, "loss": {"terms": {"fit": {"type": "mse"}}}}


def codes(**options: object) -> list[tuple[str, str]]:
    return [(each.code, each.path) for each in examine(document(**options)).diagnostics]


def test_every_option_is_one_of_lightnings_and_described() -> None:
    known = inspect.signature(Trainer.__init__).parameters
    for name, field in TrainerConfig.model_fields.items():
        assert name in known
        assert field.description


@pytest.mark.parametrize("name", ["accelerator", "strategy", "precision"])
def test_every_choice_is_accepted_and_nothing_else(name: str) -> None:
    annotation = TrainerConfig.model_fields[name].annotation
    assert get_origin(annotation) is Literal
    for choice in get_args(annotation):
        assert codes(**{name: choice}) == []
    for value in ("quantum", "", None, 1, True, [get_args(annotation)[0]]):
        assert codes(**{name: value}) == [("LR203", f"trainer.{name}")]


@pytest.mark.parametrize("choice", get_args(TrainerConfig.model_fields["precision"].annotation))
def test_lightning_knows_every_precision(choice: str) -> None:
    from lightning.fabric.connector import _PRECISION_INPUT_STR

    known = [
        each for group in get_args(_PRECISION_INPUT_STR) for each in get_args(group) or [group]
    ]
    assert choice in known


COUNTS = (
    "max_epochs",
    "max_steps",
    "devices",
    "num_nodes",
    "accumulate_grad_batches",
    "log_every_n_steps",
)


@pytest.mark.parametrize("name", COUNTS)
def test_a_count_is_a_whole_number_of_at_least_1(name: str) -> None:
    assert codes(**{name: 1}) == []
    assert codes(**{name: 10_000}) == []
    for value, code in [(0, "LR202"), (-1, "LR202"), (1.5, "LR201"), (True, "LR201")]:
        assert codes(**{name: value}) == [(code, f"trainer.{name}")]


def test_devices_is_a_count_or_auto() -> None:
    assert codes(devices="auto") == []
    assert codes(devices="2") == [("LR203", "trainer.devices")]
    assert codes(devices=[0, 1]) == [("LR201", "trainer.devices")]


@pytest.mark.parametrize("value", [0, 0.0, -1.0, float("nan"), float("inf")])
def test_a_norm_to_clip_to_is_above_0_and_finite(value: float) -> None:
    assert codes(gradient_clip_val=1e-9) == []
    assert codes(gradient_clip_val=None) == []
    assert codes(gradient_clip_val=value) == [("LR202", "trainer.gradient_clip_val")]


def test_an_unknown_option_is_told_with_what_was_meant() -> None:
    (found,) = examine(document(max_epoch=3)).diagnostics
    assert (found.code, found.path) == ("LR103", "trainer.max_epoch")
    assert "did you mean 'max_epochs'?" in found.message


def test_lightning_takes_what_is_accepted() -> None:
    options: dict[str, Any] = {
        "max_epochs": 1,
        "max_steps": 2,
        "accelerator": "cpu",
        "devices": 1,
        "num_nodes": 1,
        "strategy": "auto",
        "precision": "32-true",
        "accumulate_grad_batches": 2,
        "gradient_clip_val": 1.0,
        "log_every_n_steps": 3,
    }
    assert set(options) == set(TrainerConfig.model_fields)
    config = TrainerConfig(**options)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    Trainer(**config.model_dump(), **quiet, enable_model_summary=False)
