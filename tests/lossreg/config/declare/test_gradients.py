"""`detach` and `frozen` become transforms of the routes that they are about."""

from __future__ import annotations

from typing import Any

import pytest

import lossreg
from lossreg.config.fingerprint import in_words

FIT = {"type": "mse", "inputs": ["p", "y"]}


def routes(document: dict[str, Any]) -> dict[str, dict[str, str]]:
    config = lossreg.load_config(document)
    return {
        term.name: {name: str(route) for name, route in term.inputs.items()}
        for term in config.terms
    }


def test_a_term_detaches_its_arguments_after_their_transforms() -> None:
    soft = {"from": "y", "apply": ["softmax"]}
    read = routes({"terms": {"fit": {**FIT, "inputs": ["p", soft], "detach": ["target"]}}})
    assert read == {"fit": {"input": "p", "target": "y | softmax(dim=-1) | detach"}}


def test_a_group_serves_the_terms_that_say_nothing_and_have_the_argument() -> None:
    terms = {
        "served": {"type": "mse"},
        "says": {"type": "mse", "detach": ["input"]},
        "means_it": {"type": "mse", "detach": []},
        "has_none": {"type": "triplet_margin"},
        "inner": {"detach": [], "terms": {"fit": {"type": "mse"}}},
        "deeper": {"terms": {"fit": {"type": "mse"}}},
    }
    config = lossreg.load_config({"terms": {"g": {"detach": ["target"], "terms": terms}}})
    assert {term.name: term.detach for term in config.terms} == {
        "g/served": ("target",),
        "g/says": ("input",),
        "g/means_it": (),
        "g/has_none": None,
        "g/inner/fit": (),
        "g/deeper/fit": ("target",),
    }
    detached = {
        (term.name, name)
        for term in config.terms
        for name, route in term.inputs.items()
        if route.transforms
    }
    assert detached == {("g/served", "target"), ("g/says", "input"), ("g/deeper/fit", "target")}


def test_a_frozen_path_detaches_what_starts_at_or_below_it() -> None:
    term = {
        "type": "mse",
        "inputs": [{"from": "out.p", "apply": ["sigmoid"]}, "outer"],
        "mask": {"from": "out.p", "apply": [{"cast": "bool"}]},
        "sample_weight": "w",
        "divide_by": "weights",
    }
    document = {"frozen": ["out.p", "w"], "terms": {"a": term, "b": {"from": "out", **GROUP}}}
    a, b = lossreg.load_config(document).terms
    assert str(a.inputs["input"]) == "out.p | detach | sigmoid"
    assert str(a.inputs["target"]) == "outer"
    assert str(a.mask) == "out.p | detach | cast(dtype=bool)"
    assert str(a.sample_weight) == "w | detach"
    assert {str(route) for route in b.inputs.values()} == {"out.p | detach", "out.q"}


GROUP = {"terms": {"fit": {"type": "mse", "inputs": ["p", "q"]}}}


def test_nothing_is_detached_twice() -> None:
    document = {
        "frozen": ["y"],
        "terms": {
            "a": {**FIT, "detach": ["target"]},
            "b": {"type": "mse", "inputs": ["p", {"from": "y", "apply": "detach"}]},
        },
    }
    assert {read["target"] for read in routes(document).values()} == {"y | detach"}


@pytest.mark.parametrize(
    ("document", "changes"),
    [
        ({"terms": {"fit": {**FIT, "detach": ["target"]}}}, True),
        ({"frozen": ["y"], "terms": {"fit": FIT}}, True),
        ({"terms": {"g": {"detach": ["target"], "terms": {"fit": FIT}}}}, True),
        ({"terms": {"fit": {**FIT, "detach": []}}}, False),
    ],
)
def test_what_is_detached_counts_in_the_fingerprint(
    document: dict[str, Any], changes: bool
) -> None:
    (words,) = in_words(lossreg.load_config(document)).values()
    assert (words["inputs.target"] == "y | detach") == changes
    assert (words["inputs.target"] == "y") != changes


def test_how_it_is_declared_does_not_count() -> None:
    by_hand = {"type": "mse", "inputs": ["p", {"from": "y", "apply": ["detach"]}]}
    documents: list[dict[str, Any]] = [
        {"terms": {"fit": {**FIT, "detach": ["target"]}}},
        {"frozen": ["y"], "terms": {"fit": FIT}},
        {"terms": {"fit": by_hand}},
    ]
    assert len({lossreg.build(document).fingerprint for document in documents}) == 1
