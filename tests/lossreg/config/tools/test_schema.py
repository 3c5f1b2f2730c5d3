"""The JSON Schema: accepts what `check` accepts, and refuses most of what it refuses."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lossreg.config import examine
from lossreg.config.grammar import CONSTRUCTS
from lossreg.config.read.documents import read_bytes
from lossreg.config.read.nodes import Node, SourceError
from lossreg.config.tools.schema import document_schema, term_schema
from lossreg.registry import Registry
from lossreg.vocabulary.schedules import SCHEDULES
from lossreg.vocabulary.transforms import TRANSFORMS

ROOT = Path(__file__).parents[4]
CORPUS = ROOT / "tests" / "lossreg" / "config" / "corpus"
GOOD = sorted([*(CORPUS / "good").glob("*.yaml"), *(ROOT / "configs").glob("*.yaml")])
BAD = sorted((CORPUS / "bad").glob("*.yaml"))
LEAST_REFUSED = 0.8


@cache
def schema() -> dict[str, Any]:
    registry = Registry.installed()
    names = [*registry, *(f"lossreg:{name}" for name in registry)]
    return document_schema([(name, registry[name]) for name in names], ["digits"])


@cache
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema())


def plain(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def read(file: Path) -> Any:
    return plain(read_bytes(file.read_bytes(), file.name)[1])


def faults(document: Any) -> list[str]:
    return [str(error.message) for error in validator().iter_errors(document)]


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert json.loads(json.dumps(schema())) == schema()


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_it_accepts_every_file_without_a_fault(file: Path) -> None:
    assert faults(read(file)) == []


@pytest.mark.nightly
def test_it_refuses_most_files_with_a_fault() -> None:
    refused = []
    for file in BAD:
        if not any(found.severity == "error" for found in examine(file).diagnostics):
            continue
        try:
            document = read(file)
        except SourceError:
            continue  # not YAML, so no schema is asked
        refused.append(not validator().is_valid(document))
    assert len(refused) > 400
    assert sum(refused) / len(refused) > LEAST_REFUSED


def test_every_key_of_the_language_is_described() -> None:
    text = json.dumps(schema(), ensure_ascii=False)
    for construct in CONSTRUCTS:
        if construct.name in ("document", "schedule"):
            continue
        for key in construct.keys.values():
            assert json.dumps(key.meaning, ensure_ascii=False) in text, key.name


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_has_its_own_parameters(name: str) -> None:
    document = {"terms": {"a": {"type": "mse", "weight": {"schedule": name, "nothing": 1}}}}
    assert faults(document) != []


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_has_its_own_arguments(name: str) -> None:
    route = {"from": "p", "apply": [{name: {"nothing": 1}}]}
    assert faults({"terms": {"a": {"type": "mse", "inputs": [route, "y"]}}}) != []


TERM = {"type": "smooth_l1", "inputs": ["p", "y"]}


@pytest.mark.parametrize(
    "term",
    [
        {"type": "smoth_l1"},
        {**TERM, "params": {"bta": 1}},
        {**TERM, "params": {"beta": -1}},
        {**TERM, "params": {"reduction": "none"}},
        {**TERM, "inputs": ["p"]},
        {**TERM, "inputs": {"input": "p", "targt": "y"}},
        {**TERM, "inputs": {"input": "p"}},
        {**TERM, "inputs": ["p", "y z"]},
        {**TERM, "detach": ["inptu"]},
        {**TERM, "wieght": 1},
        {**TERM, "weight": True},
        {**TERM, "weight": float("inf")},
        {**TERM, "divide_by": "batch"},
        {**TERM, "divide_by": {"rows": "a", "entries": "b"}},
        {**TERM, "mask": {"from": "m", "dims": []}},
    ],
    ids=str,
)
def test_it_refuses_what_it_can_see(term: dict[str, Any]) -> None:
    assert faults({"terms": {"a": TERM}}) == []
    assert faults({"terms": {"a": term}}) != []
    assert faults({"loss": {"terms": {"g": {"from": "deep", "terms": {"a": term}}}}}) != []


def test_one_loss_has_a_schema_of_its_own() -> None:
    one = term_schema("smooth_l1", Registry.installed()["smooth_l1"])
    checked = jsonschema.Draft202012Validator(one)
    assert checked.is_valid(TERM)
    assert not checked.is_valid({**TERM, "params": {"beta": -1}})
    assert not checked.is_valid({"type": "mse"})


def test_no_class_of_python_is_named() -> None:
    registry = Registry.installed()
    classes = {registry[name].config.__name__ for name in registry}
    text = json.dumps(schema())
    assert not [name for name in classes if name in text]


WEIGHTS: list[tuple[str, str, Any]] = [
    ("nll", "weight", {"file": "sub/w.json"}),
    ("nll", "weight", {"file": "w.CSV", "classes": ["a"], "method": "inverse_frequency"}),
    ("nll", "weight", {"file": "..w/a..b.json"}),
    ("nll", "weight", {"classes": ["a"], "values": {"a": 0.5}}),
    ("nll", "weight", {"counts": [1, 2], "method": "effective_number", "beta": 0}),
    ("bce", "weight", [[[[1.0], [2]]]]),
    ("bce", "weight", 2),
    ("bce_with_logits", "pos_weight", 2.5),
    ("bce_with_logits", "pos_weight", {"positives": 1, "total": 3, "method": "neg_pos_ratio"}),
]
NO_WEIGHTS: list[tuple[str, str, Any]] = [
    ("nll", "weight", 2.0),
    ("nll", "weight", [[1.0]]),
    ("nll", "weight", [1.0, -1.0]),
    ("nll", "weight", []),
    ("nll", "weight", {}),
    ("nll", "weight", {"a": 1.0}),
    ("nll", "weight", {"file": "../w.json"}),
    ("nll", "weight", {"file": "a/../w.json"}),
    ("nll", "weight", {"file": "/w.json"}),
    ("nll", "weight", {"file": "w.npy"}),
    ("nll", "weight", {"values": {"a": 0.5}}),
    ("nll", "weight", {"counts": [1, 2]}),
    ("nll", "weight", {"counts": [1, 0], "method": "inverse_frequency"}),
    ("nll", "weight", {"counts": [1, 2], "method": "effective_number"}),
    ("nll", "weight", {"counts": [1, 2], "method": "inverse_frequency", "beta": 0.5}),
    ("nll", "weight", {"positives": [1], "total": 3, "method": "neg_pos_ratio"}),
    ("bce", "weight", {"counts": [1, 2], "method": "inverse_frequency"}),
    ("bce", "weight", -2.0),
    ("bce_with_logits", "pos_weight", {"counts": [1, 2], "method": "inverse_frequency"}),
    ("bce_with_logits", "pos_weight", {"positives": [1], "method": "neg_pos_ratio"}),
]


@pytest.mark.parametrize(("loss", "name", "weights"), WEIGHTS, ids=str)
def test_it_accepts_class_weights_in_every_form(loss: str, name: str, weights: Any) -> None:
    assert faults({"terms": {"a": {"type": loss, "params": {name: weights}}}}) == []


@pytest.mark.parametrize(("loss", "name", "weights"), NO_WEIGHTS, ids=str)
def test_it_refuses_class_weights_that_are_none(loss: str, name: str, weights: Any) -> None:
    document = {"terms": {"a": {"type": loss, "params": {name: weights}}}}
    assert faults(document) != []
    assert examine(document).loss is None


def test_one_losss_schema_has_the_forms_as_well() -> None:
    one = term_schema("nll", Registry.installed()["nll"])
    checked = jsonschema.Draft202012Validator(one)
    form = {"counts": [1, 2], "method": "inverse_frequency"}
    assert checked.is_valid({"type": "nll", "params": {"weight": form}})
    assert not checked.is_valid({"type": "nll", "params": {"weight": {**form, "beta": 0.5}}})
