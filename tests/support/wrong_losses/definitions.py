"""Definitions and configs that say what is wrong, or too little."""

from __future__ import annotations

import dataclasses
from pathlib import PurePosixPath
from typing import Any

import torch
from pydantic import ConfigDict, field_serializer, field_validator

from lossreg.plugin import Field, WorkedExample
from wrong_losses.fair import BATCH, CHECKS, INPUT, TARGET, FairConfig, Wrong, contract, fair

# 2 * 1 + 1 * 9 + 1 * 1 + 3 * 4 = 24, over 2 + 1 + 1 + 3.
WORKED = WorkedExample(
    inputs={"input": [[1.0, 2.0], [0.0, 1.0]], "target": [[2.0, -1.0], [1.0, 3.0]]},
    entries=[[2.0, 9.0], [1.0, 12.0]],
    divisor=7,
    value=3.429,
)


class WithoutDescription(FairConfig):
    beta: float = 1.0


class WithAnIdleOne(FairConfig):
    gamma: float = Field(2.0, ge=0, description="Nothing.")


class Clamping(FairConfig):
    @field_validator("beta", mode="before")
    @classmethod
    def clamped(cls, value: float) -> float:
        return max(value, 0.0)


class WithoutItsBound(FairConfig):
    @field_validator("beta")
    @classmethod
    def above(cls, value: float) -> float:
        if value == 0:
            raise ValueError("expected a number above 0")
        return value


class Ignoring(FairConfig):
    model_config = ConfigDict(extra="ignore")


class Link:
    """No type of JSON."""


class WithoutSchema(FairConfig):
    link: Link | None = Field(None, description="What the outputs pass through.")


class Renamed(FairConfig):
    @classmethod
    def model_json_schema(cls, *arguments: Any, **options: Any) -> dict[str, Any]:
        schema = super().model_json_schema(*arguments, **options)
        schema["properties"]["scale"] = schema["properties"].pop("beta")
        return schema


class Located(FairConfig):
    table: PurePosixPath | None = Field(None, description="Where the weights are.")


class Rounding(FairConfig):
    @field_serializer("beta")
    def rounded(self, value: float) -> float:
        return round(value, 1)


class Unwritable(FairConfig):
    link: Any = Field(None, description="What the outputs pass through.")


class NotFromYaml(FairConfig):
    beta: float = Field(1.0, ge=0, lt=8, description="What each entry is multiplied by.")

    @field_serializer("beta")
    def written(self, value: float) -> Any:
        return str(value)

    @field_validator("beta", mode="before")
    @classmethod
    def read(cls, value: Any) -> Any:
        return float(value) if isinstance(value, str) else value


DEFINITIONS = {
    "not installed": Wrong(
        contract(fair(), loss="unfair", torch_free=True),
        tuple(sorted(CHECKS)),
        'pyproject.toml names the loss\'s module under [project.entry-points."lossreg.losses"]',
    ),
    "another name": Wrong(
        contract(fair(), definition=lambda _: fair(name="unfair")),
        ("loads_under_its_name",),
        "the definition is named 'unfair'",
    ),
    "a summary of two lines": Wrong(
        contract(fair(summary="made\nup")), ("says_what_it_is",), "is not one line"
    ),
    "an input without a meaning": Wrong(
        contract(fair(inputs=(INPUT, dataclasses.replace(TARGET, meaning="")))),
        ("says_what_it_is",),
        "does not say what the inputs 'target' hold",
    ),
    "a parameter without a description": Wrong(
        contract(fair(config=WithoutDescription)),
        ("every_parameter_is_described",),
        "the parameters 'beta' have no description",
    ),
    "a parameter that nothing reads": Wrong(
        contract(fair(config=WithAnIdleOne)),
        ("every_parameter_is_read",),
        "no other value of 'gamma' changes the value or a gradient of the batch",
    ),
    "an idle parameter that is not there": Wrong(
        contract(fair(), inert={"gamma": "it is for the future"}),
        ("every_parameter_is_read",),
        "says that 'gamma' is inert, but the config has no such parameter",
    ),
    "a number made good": Wrong(
        contract(fair(config=Clamping)),
        ("bounds_hold_on_both_sides",),
        "beta=-1 is out of bounds, but was accepted",
    ),
    "a bound that is refused": Wrong(
        contract(fair(config=WithoutItsBound)),
        ("bounds_hold_on_both_sides",),
        "beta=0 is on its bound, but is refused",
    ),
    "typos pass": Wrong(
        contract(fair(config=Ignoring)),
        ("unknown_parameters_are_refused",),
        "a parameter that the config does not have was accepted",
    ),
    "a parameter that no schema can tell": Wrong(
        contract(fair(config=WithoutSchema)), ("schema_is_json",), "the config has no JSON schema"
    ),
    "a schema with another name": Wrong(
        contract(fair(config=Renamed)), ("schema_is_json",), "the JSON schema has no 'beta'"
    ),
    "a parameter that YAML cannot give": Wrong(
        contract(fair(config=Located), params={"table": PurePosixPath("w")}),
        ("config_round_trips",),
        'does not accept what it has written itself, {"reduction": "mean", "beta": 1.0, "table"',
    ),
    "a parameter that is not written": Wrong(
        contract(fair(config=Unwritable), params={"link": Link()}),
        ("config_round_trips",),
        "its config cannot be written as JSON",
    ),
    "a parameter that is rounded": Wrong(
        contract(fair(config=Rounding), params={"beta": 0.25}),
        ("config_round_trips",),
        "the parameters 'beta' differ after the config was written and read again",
    ),
    "an example with a typo": Wrong(
        contract(fair(example="rebuild: {type: fair, params: {bet: 1}}")),
        ("example_loads",),
        "is refused under terms:: terms.rebuild.params.bet: unknown parameter",
    ),
    "an example of another loss": Wrong(
        contract(fair(example="rebuild: {type: other}"), fair(name="other")),
        ("example_loads",),
        "the definition's example shows only other losses",
    ),
    "a symbol that is not in the formula": Wrong(
        contract(fair(formula=r"\ell = (x - y)^2", symbols={"x": "input", "z": "target"})),
        ("the_formula_has_its_symbols",),
        "symbols explains 'z', which the formula does not have",
    ),
    "a worked example with another value": Wrong(
        contract(fair(worked=WORKED._replace(value=3.0))),
        ("the_worked_example_is_true",),
        "the worked example shows the value 3.0, the loss has 3.42857",
    ),
    "torch is imported at once": Wrong(
        contract(fair(), torch_free=True),
        ("loads_without_torch",),
        ".py imports torch in line",
    ),
    "a batch with more than the inputs": Wrong(
        contract(fair(), batch={**BATCH, "mask": torch.ones(4)}),
        ("batch_names_the_inputs",),
        "the batch has 'mask'",
    ),
    "a domain that the batch is not in": Wrong(
        contract(fair(inputs=(INPUT, dataclasses.replace(TARGET, domain="probability", fill=0)))),
        ("the_batch_fits_what_the_definition_says",),
        "a composite would refuse 'target' of the batch: expected probabilities",
    ),
}
