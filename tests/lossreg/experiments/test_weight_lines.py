"""The weights over time: the same numbers as a composite has at each step."""

from __future__ import annotations

import math
from typing import Any

import pytest

import lossreg
from lossreg.config import load_config
from lossreg.experiments.weight_lines import Line, TimeError, Timeline, timeline


def term(**keys: Any) -> dict[str, Any]:
    return {"type": "value", "inputs": ["x"], **keys}


def lines(terms: dict[str, Any], **options: Any) -> dict[str, Line]:
    drawn = whole(terms, **options)
    return {line.name: line for line in drawn.objectives[""]}


def whole(terms: dict[str, Any], **options: Any) -> Timeline:
    return timeline({"": load_config({"terms": terms})}, **options)


TERMS: dict[str, Any] = {
    "constant": term(weight=0.5),
    "cosine": term(weight={"schedule": "cosine", "start": 1.0, "end": 0.1, "steps": 20}),
    "cyclic": term(weight={"schedule": "cyclic", "start": 0.0, "end": 1.0, "steps": 7}),
    "jump": term(
        weight={"schedule": "piecewise", "between": "steps", "points": [[0, 1.0], [9, 2.0]]}
    ),
    "group": {
        "weight": 2.0,
        "terms": {"inner": term(weight={"schedule": "linear", "start": 0, "end": 1, "steps": 5})},
    },
    "window": term(active={"from_step": 4, "until_step": 11}),
    "every": term(weight=0.1, active={"from_step": 2, "every_steps": 3, "times_every": True}),
    "less": term(maximize=True),
    "learned": term(weight={"learned": "kendall", "initial": 1.0}),
}


def test_each_line_has_the_composites_weights() -> None:
    drawn = lines(TERMS, steps=30)
    loss = lossreg.build({"terms": TERMS})
    by_time = {
        name: dict(zip(line.times, line.weights, strict=True)) for name, line in drawn.items()
    }
    for step in range(31):
        for name, weight in loss.weights.items():
            found = by_time[name].get(step, math.nan)
            if weight == 0 and not (name == "cyclic" or name.startswith("group")):
                assert math.isnan(found), (name, step)
            else:
                assert found == pytest.approx(weight), (name, step)
        loss.step()
    assert all(line.times[-1] <= 30 for line in drawn.values())


def test_a_pulsed_term_has_only_its_active_times() -> None:
    every = lines(TERMS, steps=12)["every"]
    assert every.is_pulsed
    assert every.active == [(time, pytest.approx(0.3)) for time in (2, 5, 8, 11)]
    assert every.note == "from step 2 every 3 steps, times 3"


def test_notes_say_what_a_line_cannot() -> None:
    drawn = lines(TERMS)
    assert drawn["learned"].note == "learned; its first value"
    assert drawn["learned"].weights[0] == pytest.approx(0.5 * math.exp(-1.0))
    assert drawn["window"].note == "from step 4 until step 11"
    assert drawn["cyclic"].note == "repeats every 7 steps"
    assert drawn["constant"].note == ""


@pytest.mark.parametrize(
    ("keys", "end"),
    [
        ({}, 100),
        ({"weight": {"schedule": "cosine", "start": 1, "end": 2, "steps": 500}}, 550),
        ({"weight": {"schedule": "cyclic", "start": 1, "end": 2, "steps": 100}}, 330),
        ({"active": {"until_step": 40}}, 44),
        ({"active": {"every_steps": 10}}, 33),
        ({"weight": {"schedule": "constant", "weight": 2.0}}, 100),
    ],
)
def test_it_goes_to_where_the_last_change_is_and_a_tenth_more(
    keys: dict[str, Any], end: int
) -> None:
    assert whole({"a": term(**keys)}).end == end
    assert whole({"a": term(**keys)}, steps=7).end == 7


EPOCHS = {"schedule": "linear", "start": 0.0, "end": 1.0, "steps": 4, "unit": "epoch"}
STEPS = {"schedule": "linear", "start": 0.0, "end": 1.0, "steps": 30}


def test_epochs_are_counted_where_everything_counts_them() -> None:
    drawn = whole({"a": term(weight=EPOCHS), "b": term()})
    assert (drawn.unit, drawn.end) == ("epoch", 5)
    (line, _) = drawn.objectives[""]
    assert line.active == [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0), (5, 1.0)]


def test_epochs_become_steps_where_it_is_said_how_many() -> None:
    terms = {
        "a": term(weight=EPOCHS),
        "b": term(weight=STEPS),
        "c": term(active={"every_epochs": 2}),
    }
    drawn = whole(terms, steps_per_epoch=10)
    assert (drawn.unit, drawn.end) == ("step", 66)
    a, b, c = drawn.objectives[""]
    weights = dict(zip(a.times, a.weights, strict=True))
    assert [weights[time] for time in (0, 9, 10, 39, 40)] == [0.0, 0.0, 0.25, 0.75, 1.0]
    assert dict(b.active)[30] == 1.0
    assert not c.is_pulsed
    assert {time // 10 % 2 for time, _ in c.active} == {0}
    assert {time for time, _ in c.active} >= {0, 9, 20, 29}


def test_steps_and_epochs_together_need_the_length_of_an_epoch() -> None:
    terms = {"a": term(weight=EPOCHS), "b": term(weight=STEPS)}
    with pytest.raises(TimeError, match="'a' counts epochs and 'b' counts steps; say how many"):
        whole(terms)
    with pytest.raises(TimeError, match="--steps counts steps and the term 'a' counts epochs"):
        whole({"a": term(weight=EPOCHS)}, steps=100)


def test_a_weight_of_the_step_and_a_disabled_term_are_not_drawn() -> None:
    drawn = whole({"a": term(weight={"from": "lam"}), "b": term(enabled=False), "c": term()})
    assert [line.name for line in drawn.objectives[""]] == ["c"]
    assert drawn.not_drawn == {"a": "its weight is known only in a step: lam"}


def test_a_jump_is_at_its_step_in_a_long_picture_as_well() -> None:
    points = [[0, 1.0], [100_001, 2.0]]
    jump = term(weight={"schedule": "piecewise", "between": "steps", "points": points})
    cyclic = term(weight={"schedule": "cyclic", "start": 0.0, "end": 1.0, "steps": 333_333})
    drawn = lines({"jump": jump, "cyclic": cyclic, "window": term(active={"until_step": 77_777})})
    weights = {name: dict(line.active) for name, line in drawn.items()}
    assert (weights["jump"][100_000], weights["jump"][100_001]) == (1.0, 2.0)
    assert (weights["cyclic"][666_665], weights["cyclic"][666_666]) == (1.0, 0.0)
    assert max(weights["window"]) == 77_776


def test_long_pictures_have_few_points() -> None:
    million = 10**6
    terms = {
        "cyclic": term(weight={"schedule": "cyclic", "start": 0.0, "end": 1.0, "steps": 2}),
        "every": term(active={"every_steps": 2}),
        "epochs": term(weight={**EPOCHS, "steps": million}),
    }
    drawn = lines(terms, steps=million, steps_per_epoch=2)
    assert all(len(line.times) < 50_000 for line in drawn.values())
