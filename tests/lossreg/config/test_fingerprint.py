from __future__ import annotations

from typing import Any

import pytest

from lossreg.config import load_config
from lossreg.config.fingerprint import differences, fingerprint, in_words

SEG = {"type": "cross_entropy", "inputs": ["logits", "labels"], "params": {"label_smoothing": 0.1}}
BOX = {"type": "smooth_l1", "weight": 0.5, "inputs": ["p", "y"], "params": {"beta": 0.5}}


def words(**terms: Any) -> dict[str, dict[str, str]]:
    return in_words(load_config({"terms": terms}))


def test_a_fingerprint_begins_with_its_algorithm_and_never_changes() -> None:
    # A later release must give the same: states of this one carry it.
    assert fingerprint(words(seg=SEG, box=BOX)) == "1:c1e238a59c09fda7"


def test_what_is_no_default_is_said() -> None:
    assert words(seg=SEG, box=BOX) == {
        "seg": {
            "type": "cross_entropy",
            "inputs.input": "logits",
            "inputs.target": "labels",
            "params.label_smoothing": "0.1",
        },
        "box": {
            "type": "smooth_l1",
            "weight": "0.5",
            "inputs.input": "p",
            "inputs.target": "y",
            "params.beta": "0.5",
        },
    }


SAME: list[dict[str, Any]] = [
    {"seg": SEG, "box": {**BOX, "weight": 0.50}},
    {"box": BOX, "seg": SEG},
    {"seg": SEG, "box": {**BOX, "optional": False, "enabled": True}},
    {"seg": SEG, "box": {**BOX, "params": {"beta": 0.5, "reduction": "mean"}}},
    {"seg": SEG, "box": {**BOX, "inputs": {"target": "y", "input": {"from": "p"}}}},
    {"seg": SEG, "box": BOX, "off": {"type": "l1", "enabled": False}},
]


@pytest.mark.parametrize("terms", SAME, ids=range(len(SAME)))
def test_other_ways_to_write_an_objective_give_the_same(terms: dict[str, Any]) -> None:
    assert fingerprint(words(**terms)) == fingerprint(words(seg=SEG, box=BOX))


def test_checks_and_what_a_nan_does_do_not_count() -> None:
    config = load_config({"checks": "always", "on_nonfinite": "warn", "terms": {"box": BOX}})
    assert fingerprint(in_words(config)) == fingerprint(words(box=BOX))


def test_a_group_is_what_its_terms_are() -> None:
    group = {"weight": 0.5, "terms": {"box": {**BOX, "weight": 1}}}
    flat = words(heads={"terms": {"box": BOX}})
    assert words(heads=group) == flat
    assert list(flat) == ["heads/box"]


OTHER: list[tuple[dict[str, Any], str]] = [
    ({"weight": 0.7}, "'weight' of 'box' was 0.5, is 0.7"),
    ({"weight": 1}, "'weight' of 'box' was 0.5, is the default"),
    ({"type": "mse", "params": {}}, "'type' of 'box' was smooth_l1, is mse"),
    ({"params": {"beta": 0.6}}, "'params.beta' of 'box' was 0.5, is 0.6"),
    ({"params": {}}, "'params.beta' of 'box' was 0.5, is the default"),
    ({"inputs": ["p", "z"]}, "'inputs.target' of 'box' was y, is z"),
    (
        {"inputs": [{"from": "p", "apply": ["sigmoid"]}, "y"]},
        "'inputs.input' of 'box' was p, is p | sigmoid",
    ),
    ({"mask": "m"}, "'mask' of 'box' was the default, is m"),
    ({"ignore": "nan"}, "'ignore' of 'box' was the default, is nan"),
    (
        {"divide_by": {"number": "n.boxes"}},
        "'divide_by' of 'box' was the default, is {number: n.boxes}",
    ),
    ({"optional": True}, "'optional' of 'box' was the default, is true"),
    (
        {"weight": {"schedule": "linear", "start": 0, "end": 1, "steps": 9}},
        "'weight' of 'box' was 0.5, is linear(start=0, end=1, steps=9)",
    ),
]


@pytest.mark.parametrize(("change", "difference"), OTHER, ids=[text for _, text in OTHER])
def test_another_objective_has_another_fingerprint_and_says_why(
    change: dict[str, Any], difference: str
) -> None:
    before, after = words(box=BOX), words(box={**BOX, **change})
    assert fingerprint(before) != fingerprint(after)
    assert difference in differences(before, after)


def test_terms_that_came_or_went_are_named() -> None:
    assert differences(words(box=BOX), words(seg=SEG)) == [
        "there was a term 'box'",
        "there was no term 'seg'",
    ]


def test_class_weights_are_their_numbers() -> None:
    import torch

    listed = {**SEG, "params": {"weight": [1, 2.5]}}
    tensor = {**SEG, "params": {"weight": torch.tensor([1.0, 2.5])}}
    assert words(seg=listed) == words(seg=tensor)
    assert words(seg=listed)["seg"]["params.weight"] == "[1, 2.5]"


def test_schedules_multiply_in_any_order() -> None:
    ramp = {"schedule": "linear", "start": 0, "end": 1, "steps": 9}
    wave = {"schedule": "cosine", "start": 1, "end": 2, "steps": 5, "unit": "epoch"}
    one = words(g={"weight": ramp, "terms": {"box": {**BOX, "weight": wave}}})
    other = words(g={"weight": wave, "terms": {"box": {**BOX, "weight": ramp}}})
    assert one == other


WEIGHTS: list[tuple[Any, str]] = [
    ({"learned": "log_variance"}, "learned(log_variance)"),
    ({"learned": "log_variance", "initial": 0.0}, "learned(log_variance)"),
    ({"learned": "kendall", "initial": 1}, "learned(kendall, initial=1)"),
    ({"from": "gate"}, "from(gate)"),
    ({"from": "gate", "apply": [{"mul": 2}]}, "from(gate | mul(by=2))"),
]


@pytest.mark.parametrize(("weight", "text"), WEIGHTS, ids=str)
def test_a_weight_that_is_not_a_number_is_said(weight: Any, text: str) -> None:
    assert words(box={**BOX, "weight": weight})["box"]["weight"] == text


def test_a_product_of_weights_has_no_order() -> None:
    first, second = {"from": "a"}, {"schedule": "linear", "start": 0, "end": 1, "steps": 9}

    def box(outer: Any, inner: Any) -> dict[str, dict[str, str]]:
        return words(g={"weight": outer, "terms": {"box": {**BOX, "weight": inner}}})

    assert box(first, second) == box(second, first)
    assert box(first, second)["g/box"]["weight"] == "from(a) * linear(start=0, end=1, steps=9)"


def test_a_maximised_term_and_a_gradient_of_sample_weights_are_said() -> None:
    assert words(box={**BOX, "maximize": True})["box"]["weight"] == "-0.5"
    assert words(box={**BOX, "maximize": False}) == words(box=BOX)
    lam = {"divide_by": "entries", "sample_weight": {"from": "lam", "gradient": True}}
    assert words(box={**BOX, **lam})["box"]["sample_weight"] == "lam with a gradient"
