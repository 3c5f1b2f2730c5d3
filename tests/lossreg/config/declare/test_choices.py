"""Components with parameters of their own are located and guessed at like everything else."""

from __future__ import annotations

from typing import Any

import pytest

import chosen_components
import lossreg
from lossreg.config import examine
from lossreg.config.fingerprint import fingerprint, in_words
from lossreg.registry import Registry

REGISTRY = Registry(()).with_plugins(chosen_components)

BOTH = "'cosine' or 'lp'"
FAULTS = {
    "distance: cosin": ("LR203", 11, "distance", f"expected {BOTH}, found the string 'cosin'; did"),
    "distance: {type: lq}": ("LR203", 18, "distance.type", "found the string 'lq'"),
    "distance: CosineSimilarity": ("LR203", 11, "distance", "did you mean 'cosine'?"),
    "distance: LPDistance": ("LR203", 11, "distance", "did you mean 'lp'?"),
    "distance: other.CosineSimilarity": ("LR203", 11, "distance", "did you mean 'cosine'?"),
    "distance: manhattan": ("LR203", 11, "distance", "found the string 'manhattan'"),
    "distance: 3": ("LR203", 11, "distance", f"expected {BOTH}, or a mapping with one of them"),
    "distance: [lp]": ("LR203", 11, "distance", "as 'type', found a list"),
    "distance: null": ("LR203", 11, "distance", "found nothing"),
    "distance: {type: lp, P: 1}": ("LR103", 22, "distance.P", "of 'lp'; did you mean 'p'?"),
    "distance: {type: lp, p: 0}": ("LR202", 25, "distance.p", "a number above 0, found 0"),
    "distance: {type: lp, p: one}": ("LR201", 25, "distance.p", "expected a number, found"),
    "distance: {type: lp, margin: 1}": (
        "LR103",
        22,
        "distance.margin",
        "it is a parameter of 'pair': move it one level up",
    ),
    "distance: {lp: {p: 1}}": ("LR104", 12, "distance.lp", "write {type: lp, p: 1}"),
    "distance: {LpDistance: null}": ("LR104", 12, "distance.LpDistance", "write {type: lp}"),
    "distance: {name: lp}": ("LR104", 12, "distance.name", "did you mean 'type', which is one of"),
    "distance: {typ: lp}": ("LR104", 12, "distance.typ", "did you mean 'type'"),
    "distance: {p: 1}": ("LR102", 1, "distance", f"the key 'type' is missing: it is one of {BOTH}"),
    "distance: lp, p: 1": (
        "LR103",
        15,
        "p",
        "it is a parameter of 'lp': write distance: {type: lp, p: 1}",
    ),
    "distance: {type: lp, normalize: true}, p: 1": (
        "LR103",
        40,
        "p",
        "it is a parameter of 'lp': move it into 'distance'",
    ),
    "distnce: lp": ("LR103", 1, "distnce", "did you mean 'distance'?"),
    "reducer: above": ("LR102", 10, "reducer", "'low' of 'above' is missing; write {type: above,"),
    "reducer: {type: above}": ("LR102", 1, "reducer", "the parameter 'low' of 'above' is missing"),
    "reducer: none": ("LR203", 10, "reducer", "for nothing, write null"),
    "reducer: {type: above, low: 1, distance: {type: lp, Normalise: true}}": (
        "LR103",
        53,
        "reducer.distance.Normalise",
        "did you mean 'normalize'?",
    ),
    "more: lp": ("LR201", 7, "more", "expected a list, found the string 'lp'; write [lp]"),
    "more: {type: lp}": ("LR201", 7, "more", "expected a list, found a mapping"),
    "more: [lp, {type: cosinus}]": ("LR203", 19, "more[1].type", "did you mean 'cosine'?"),
}


@pytest.mark.parametrize("params", FAULTS)
def test_a_fault_says_what_to_write(params: str) -> None:
    start = "terms: {a: {type: pair, inputs: [x, y], params: {"
    (diagnostic,) = examine(f"{start}{params}}}}}}}".encode(), registry=REGISTRY).diagnostics
    code, column, path, message = FAULTS[params]
    assert diagnostic.code == code
    assert diagnostic.column == len(start) + column
    assert diagnostic.path == f"terms.a.params.{path}"
    assert message in diagnostic.message


def test_one_run_finds_what_else_is_wrong() -> None:
    params = "{distance: {type: cosin, q: 1}, reducer: {type: above, lw: 1, distance: x}}"
    text = f"terms: {{a: {{type: pair, inputs: [x, y], params: {params}}}}}"
    diagnostics = examine(text.encode(), registry=REGISTRY).diagnostics
    assert [diagnostic.code for diagnostic in diagnostics] == ["LR203", "LR103", "LR103", "LR203"]


def pair(params: dict[str, Any], *overrides: str) -> Any:
    document = {"terms": {"a": {"type": "pair", "inputs": ["x", "y"], "params": params}}}
    config = lossreg.load_config(document, registry=REGISTRY, overrides=overrides)
    return config.terms[0].params


@pytest.mark.parametrize("written", ["lp", {"type": "lp", "p": 7}])
def test_an_override_sets_a_parameter_of_a_component(written: Any) -> None:
    params = pair({"distance": written}, "terms.a.params.distance.p=1")
    assert params.distance == chosen_components.DISTANCE.chosen("lp", p=1)


def test_an_override_chooses_another_component() -> None:
    override = "terms.a.params.distance={type: lp, p: 5}"
    assert pair({"distance": "cosine"}, override).distance.params.p == 5
    with pytest.raises(lossreg.ConfigError, match="unknown parameter of 'cosine'"):
        pair({"distance": {"type": "lp", "p": 7}}, "terms.a.params.distance.type=cosine")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"distance": "lp"}, {"distance": {"type": "lp", "p": 2, "normalize": True}}, True),
        ({}, {"distance": {"type": "lp", "p": 1}}, True),
        ({}, {"distance": "lp"}, False),
        ({"distance": "lp"}, {"distance": {"type": "lp", "p": 3}}, False),
        ({"more": ["lp", "cosine"]}, {"more": ["cosine", "lp"]}, False),
    ],
)
def test_the_fingerprint_has_what_differs_from_the_defaults(
    one: dict[str, Any], other: dict[str, Any], *, same: bool
) -> None:
    def mark(params: dict[str, Any]) -> str:
        document = {"terms": {"a": {"type": "pair", "inputs": ["x", "y"], "params": params}}}
        return fingerprint(in_words(lossreg.load_config(document, registry=REGISTRY)))

    assert (mark(one) == mark(other)) is same


def test_an_interpolation_is_passed_over() -> None:
    text = "terms: {a: {type: pair, inputs: [x, y], params: {distance: '${distance}'}}}"
    assert examine(text.encode(), registry=REGISTRY).diagnostics
    assert not examine(text.encode(), registry=REGISTRY, interpolations=True).diagnostics
