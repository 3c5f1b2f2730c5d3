from __future__ import annotations

from typing import Any

import pytest
import torch

import lossreg
from lossreg.config import examine, load_config
from lossreg.config.models import Learned, Weight
from lossreg.vocabulary.schedules import SCHEDULES, Linear


def weight(written: Any) -> Weight:
    """What a term's weight is read as."""
    terms = {"fit": {"type": "mse", "weight": written}, "more": {"type": "l1"}}
    return load_config({"terms": terms}).terms[0].weight


def codes(written: Any) -> list[str]:
    document = {"terms": {"fit": {"type": "mse", "weight": written}, "more": {"type": "l1"}}}
    return [each.code for each in examine(document).diagnostics]


@pytest.mark.parametrize("written", [2, 2.0, 0, 1.2e-38, 3e38])
def test_a_number_is_a_constant(written: float) -> None:
    assert weight({"schedule": "constant", "weight": written}) == weight(written)
    assert weight(written) == Weight(float(written))


WRITTEN = {
    "constant": {"weight": 0.5},
    "linear": {"start": 0, "end": 1, "steps": 10},
    "cosine": {"start": 0, "end": 1, "steps": 10},
    "exponential": {"start": 0.01, "end": 1, "steps": 10},
    "piecewise": {"between": "lines", "points": [[0, 0], [10, 1]]},
    "cyclic": {"start": 0, "end": 1, "steps": 10},
}


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("unit", [{}, {"unit": "step"}, {"unit": "epoch"}])
def test_a_mapping_is_a_schedule(name: str, unit: dict[str, str]) -> None:
    written = {"schedule": name, **WRITTEN[name], **unit}
    read = weight(written)
    if name == "constant":
        assert read == Weight(0.5)
        return
    (schedule,) = read.schedules
    assert (read.factor, type(schedule)) == (1.0, SCHEDULES[name])
    assert schedule.unit == unit.get("unit", "step")
    steps, epochs = (0, 5) if "epoch" in unit.values() else (5, 0)
    assert read.value(steps, epochs) == schedule.value(5) != schedule.value(0)


STILL = [
    {"schedule": "constant", "weight": 0},
    {"schedule": "linear", "start": 0, "end": 0, "steps": 3},
    {"schedule": "cosine", "start": 0.0, "end": -0.0, "steps": 3},
    {"schedule": "piecewise", "between": "lines", "points": [[0, 0], [5, 0.0]]},
    {"schedule": "cyclic", "start": 0, "end": 0, "steps": 3},
]


@pytest.mark.parametrize("written", STILL, ids=str)
def test_a_schedule_that_is_always_0_leaves_the_graph(written: dict[str, Any]) -> None:
    assert codes(written) == []
    assert weight(written).is_zero
    terms = {"fit": {"type": "mse", "weight": written}, "more": {"type": "l1"}}
    leaf = torch.tensor([float("nan")], requires_grad=True)
    other = torch.ones(1, requires_grad=True)
    loss = lossreg.build({"terms": {**terms, "more": {"type": "l1", "inputs": ["a", "b"]}}})
    out = loss(input=leaf, target=torch.zeros(1), a=other, b=torch.zeros(1))
    assert out.total == 1
    out.total.backward()
    assert leaf.grad is None
    assert list(loss.state_dict()) == []


def test_a_schedule_that_passes_through_0_stays_in_the_graph() -> None:
    assert not weight({"schedule": "linear", "start": 0, "end": 1, "steps": 3}).is_zero
    assert not weight(
        {"schedule": "piecewise", "between": "lines", "points": [[0, 0], [9, 0], [9, 1]]}
    ).is_zero


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"schedule": "linear", "start": 1, "end": -1, "steps": 3}, ["LR904"]),
        (
            {"schedule": "piecewise", "between": "lines", "points": [[0, 1], [1, -0.5], [2, 1]]},
            ["LR904"],
        ),
        ({"schedule": "constant", "weight": -1}, ["LR904"]),
        ({"schedule": "exponential", "start": -1, "end": -2, "steps": 3}, ["LR904"]),
        ({"schedule": "linear", "start": 1, "end": 0, "steps": 3}, []),
        (1e39, ["LR202"]),
        (-1e39, ["LR904", "LR202"]),
        ({"schedule": "linear", "start": 0, "end": 1e39, "steps": 3}, ["LR202"]),
        (1e-46, ["LR202"]),
        (1.1e-38, ["LR202"]),  # float32 has it, with fewer digits
        (-1e-46, ["LR904", "LR202"]),
        ({"schedule": "constant", "weight": 1e-46}, ["LR202"]),
        ({"schedule": "linear", "start": 1e-46, "end": 1, "steps": 3}, ["LR202"]),
        ({"schedule": "cosine", "start": 1, "end": 1e-40, "steps": 3}, ["LR202"]),
        ({"schedule": "cyclic", "start": -1e-46, "end": 1, "steps": 3}, ["LR202"]),
        ({"schedule": "exponential", "start": 1, "end": 1e-40, "steps": 3}, ["LR202"]),
        (
            {"schedule": "piecewise", "between": "lines", "points": [[0, 1], [1, 1e-40], [2, 0]]},
            ["LR202"],
        ),
        (
            {
                "schedule": "piecewise",
                "between": "lines",
                "points": [[0, 0], [1, 1.2e-38], [2, -1]],
            },
            ["LR904"],
        ),
        ({"schedule": "linear", "start": True, "end": 1, "steps": 3}, ["LR201"]),
        ({"schedule": "linear", "start": 0, "end": 1, "steps": True}, ["LR201"]),
        ({"schedule": ["linear"], "start": 0, "end": 1, "steps": 3}, ["LR212"]),
        ({"schedule": None}, ["LR212"]),
        ({}, ["LR102"]),
        ([0.1, 0.2], ["LR201"]),
    ],
    ids=str,
)
def test_what_a_weight_may_not_be(written: Any, expected: list[str]) -> None:
    assert sorted(codes(written)) == sorted(expected)


def test_a_number_that_is_too_small_for_any_float_is_not_0() -> None:
    for written in (b"1e-400", b"-1e-400", b"{schedule: linear, start: 1, end: 1e-400, steps: 3}"):
        found = examine(b"terms: {fit: {type: mse, weight: %s}}" % written).diagnostics
        assert [each.code for each in found if each.severity == "error"] == ["LR202"]
    (found,) = examine(b"terms: {fit: {type: mse, weight: -0.0e-400}}").diagnostics
    assert found.code == "LR903"


@pytest.mark.parametrize("initial", [-85, -1.5, 0, 85])
@pytest.mark.parametrize("form", ["log_variance", "kendall"])
def test_a_learned_weight(form: str, initial: float) -> None:
    written = {"learned": form, "initial": initial}
    assert codes(written) == []
    assert weight(written) == Weight(learned=Learned(form, float(initial)))
    assert weight({"learned": form}) == Weight(learned=Learned(form))


def test_a_weight_of_the_step_starts_where_its_mapping_stands() -> None:
    term = {"type": "mse", "weight": {"from": "w", "apply": ["square", {"mul": "v"}]}}
    group = {"from": "b", "weight": {"from": "u"}, "terms": {"fit": term}}
    config = load_config({"terms": {"a": {"from": "a", "terms": {"g": group}}}})
    assert [str(route) for route in config.terms[0].weight.routes] == [
        "a.u",
        "a.b.w | square | mul(by=a.b.v)",
    ]


def test_a_frozen_path_may_be_that_of_a_weight_only() -> None:
    term = {"type": "mse", "weight": {"from": "gate.w"}}
    assert examine({"frozen": ["gate"], "terms": {"fit": term}}).diagnostics == ()


def test_maximize_turns_the_sign_of_the_product() -> None:
    ramp = {"schedule": "linear", "start": 0, "end": 1, "steps": 10}
    terms = {"fit": {"type": "mse", "weight": ramp, "maximize": True}}
    (term,) = load_config({"terms": {"g": {"weight": 2, "terms": terms}}}).terms
    assert (term.weight.factor, term.weight.value(5, 0)) == (-2.0, -1.0)
    terms = {"fit": {"type": "mse", "weight": 0, "maximize": True}, "more": {"type": "l1"}}
    assert examine({"terms": terms}).diagnostics == ()


@pytest.mark.parametrize(
    ("factor", "bounds", "least"),
    [(2.0, (0.0, 1.0), 0.0), (-2.0, (0.0, 1.0), -2.0), (-2.0, (-1.0, 0.5), -1.0)],
)
def test_the_least_of_a_weight(factor: float, bounds: tuple[float, float], least: float) -> None:
    schedule = Linear(start=bounds[0], end=bounds[1], steps=10)
    assert Weight(factor, (schedule,)).least == least


def test_weights_multiply() -> None:
    schedule = Linear(start=0.0, end=1.0, steps=10)
    product = Weight(2.0, (schedule,)).times(Weight(0.25, (schedule,)))
    assert product.value(5, 0) == 2.0 * 0.25 * 0.5 * 0.5
    assert product.largest == 0.5
    assert product.times(Weight(0.0)).is_zero
