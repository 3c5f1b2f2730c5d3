"""Optional inputs, lists and numbers in the tools: schema, expand, diff and show."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from torch import nn

from lossreg.config import examine
from lossreg.config.tools.diff import differences
from lossreg.config.tools.expand import expanded
from lossreg.config.tools.expressions import as_text
from lossreg.config.tools.formula import objectives
from lossreg.config.tools.schema import document_schema
from made_up import a_loss, an_input, registry_of

LEVELS = a_loss(
    nn.L1Loss,
    an_input("levels", holds="list", gradient=True),
    an_input("target"),
    an_input("bias", optional=True),
    an_input("epoch", holds="number", optional=True),
    name="levels",
)
PLAIN = a_loss(nn.L1Loss, an_input("input"), an_input("target"), name="plain")
REGISTRY = registry_of(LEVELS, PLAIN)
TEXT = b"""
terms:
  a: {type: levels, inputs: [[p, {from: q, apply: [exp]}], y]}
  b: {type: levels, inputs: {levels: out, target: y, epoch: {constant: 3}}, detach: [levels]}
"""


def term(**inputs: Any) -> dict[str, Any]:
    return {"terms": {"t": {"type": "levels", "inputs": inputs}}}


GOOD = [
    term(levels="out", target="y"),
    term(levels=["p", {"from": "q", "apply": ["exp"]}], target="y", bias="b"),
    term(levels="out", target="y", epoch={"constant": 3}),
    {"terms": {"t": {"type": "levels", "inputs": [["p", "q"], "y", "b"]}}},
    {"terms": {"t": {"type": "levels", "inputs": ["out", "y"]}}},
]
BAD = [
    term(levels="out"),
    term(levels="out", target=["y", "z"]),
    term(levels=[], target="y"),
    {"terms": {"t": {"type": "levels", "inputs": ["out"]}}},
    {"terms": {"t": {"type": "plain", "inputs": [["p", "q"], "y"]}}},
]


def is_valid(document: dict[str, Any]) -> bool:
    schema = document_schema([(name, REGISTRY[name]) for name in ("levels", "plain")], [])
    return jsonschema.Draft202012Validator(schema).is_valid(document)


@pytest.mark.parametrize("document", GOOD)
def test_the_schema_takes_what_the_loss_takes(document: dict[str, Any]) -> None:
    assert is_valid(document)


@pytest.mark.parametrize("document", BAD)
def test_the_schema_refuses_what_the_loss_does_not_take(document: dict[str, Any]) -> None:
    assert not is_valid(document)


def test_an_expanded_config_is_the_same_objective() -> None:
    found = examine(TEXT, registry=REGISTRY)
    text = expanded(found, "0.1.0")
    again = examine(text.encode(), registry=REGISTRY)
    assert not again.diagnostics
    assert found.loss is not None
    assert again.loss is not None
    for one, other in zip(found.loss.terms, again.loss.terms, strict=True):
        assert one.inputs == other.inputs
    assert "bias" not in text


def test_an_objective_shows_lists_and_numbers() -> None:
    (objective,) = objectives(examine(TEXT, registry=REGISTRY))
    shown = [as_text(expression) for one in objective.terms for _, expression in one.summands]
    assert shown == ["levels(list(p, exp(q)), y)", "levels(detach(out), y, 3)"]


def test_a_key_that_the_term_cannot_have_is_not_suggested() -> None:
    text = b"terms: {t: {type: levels, inputs: {levels: p, target: y, mask: m}}}"
    (found,) = examine(text, registry=REGISTRY).diagnostics
    assert found.code == "LR106"
    assert "one level up" not in found.message


def test_lists_of_inputs_of_different_length_are_compared() -> None:
    texts = (b"[out, y]", b"[out, y, b]")
    one, other = (
        examine(b"terms: {t: {type: levels, inputs: " + text + b"}}", registry=REGISTRY)
        for text in texts
    )
    (difference,) = differences(one, other)
    assert difference.key == "inputs.bias"
