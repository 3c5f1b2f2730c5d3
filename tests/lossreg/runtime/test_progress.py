"""Schedules move by completed steps and epochs, and a resumed run goes on where it was."""

from __future__ import annotations

import io
import math
import re
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

import lossreg
from lossreg.errors import ConfigWarning, StateError
from properties import assert_bit_identical
from scheduled import RAMP, build, values

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEDULES: dict[str, dict[str, Any]] = {
    "linear": {"start": 1.0, "end": 0.1, "steps": 3},
    "cosine": {"start": 0.0, "end": 1.0, "steps": 5},
    "exponential": {"start": 1e-3, "end": 1.0, "steps": 4},
    "piecewise": {"between": "lines", "points": [[0, 1.0], [2, 0.3], [2, 2.0], [4, 1.0]]},
    "cyclic": {"start": 0.2, "end": 1.0, "steps": 2, "ramp": 1.0},
}
UNITS = ("step", "epoch")
STEPS, STEPS_AN_EPOCH = 8, 2
AS_TOLD = "linear(unit='step', start=0.0, end=1.0, steps=10)"


def weight(name: str, unit: str = "step") -> dict[str, Any]:
    return {"schedule": name, "unit": unit, **SCHEDULES[name]}


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


class Run:
    """A small training, whose whole state can be saved."""

    def __init__(self, make: Callable[[], lossreg.CompositeLoss]) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(3, 2)
        self.loss = make()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.1)

    def state(self) -> dict[str, Any]:
        parts = {"model": self.model, "loss": self.loss, "optimizer": self.optimizer}
        return through_a_file({name: part.state_dict() for name, part in parts.items()})

    def resume(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"], strict=True)
        self.loss.load_state_dict(state["loss"], strict=True)
        self.optimizer.load_state_dict(state["optimizer"])

    def step(self, index: int) -> list[Tensor]:
        """Take one step; everything that must not depend on where a run was killed."""
        generator = torch.Generator().manual_seed(index)
        image, target = (torch.randn(4, size, generator=generator) for size in (3, 2))
        self.optimizer.zero_grad()
        out = self.loss(p=self.model(image), y=target)
        out.total.backward()
        self.optimizer.step()
        self.loss.step()
        if (index + 1) % STEPS_AN_EPOCH == 0:
            self.loss.step_epoch()
        parameters = [each.detach().clone() for each in self.model.parameters()]
        return [out.total.detach(), *out.terms.values(), *out.weights.values(), *parameters]


@pytest.mark.parametrize("terms", [1, 3])
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_run_killed_at_any_step_goes_on_to_the_same_bits(
    name: str, unit: str, terms: int
) -> None:
    def make() -> lossreg.CompositeLoss:
        weights = {"a": weight(name, unit), "b": 0.7, "c": weight("cosine")}
        return build(**dict(list(weights.items())[:terms]))

    whole = Run(make)
    states, expected = [], []
    for index in range(STEPS):
        states.append(whole.state())
        expected.append(whole.step(index))
    for killed in range(STEPS):
        run = Run(make)
        run.resume(states[killed])
        for index in range(killed, STEPS):
            for found, wanted in zip(run.step(index), expected[index], strict=True):
                assert_bit_identical(found, wanted)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("unit", UNITS)
def test_only_its_own_unit_moves_a_schedule(name: str, unit: str) -> None:
    loss = build(a=weight(name, unit))
    schedule = lossreg.load_config(
        {"terms": {"a": {"type": "mse", "weight": weight(name, unit)}}}
    ).terms[0].weight.schedules[0]  # fmt: skip
    move, other = loss.step, loss.step_epoch
    if unit == "epoch":
        move, other = other, move
    for t in range(7):
        shown = loss(values()).weights["a"]
        assert_bit_identical(shown, torch.tensor(schedule.value(t)))
        assert loss.weights["a"] == schedule.value(t)
        other()
        move()


def test_constants_add_no_key_and_schedules_one() -> None:
    constant = {"schedule": "constant", "weight": 0.3}
    still = {"schedule": "linear", "start": 0.5, "end": 0.5, "steps": 9}
    assert list(build(a=0.1, b=constant, c=still).state_dict()) == []
    assert list(build(a=0.1, b=RAMP, c=RAMP).state_dict()) == ["progress._extra_state"]


def test_the_progress_of_a_loss_inside_a_module_is_the_modules_state() -> None:
    bigger = nn.ModuleDict({"net": nn.Linear(2, 2), "loss": build(a=RAMP)})
    for _ in range(3):
        bigger["loss"].step()
    state = through_a_file(bigger.state_dict())
    assert "loss.progress._extra_state" in state
    twin = nn.ModuleDict({"net": nn.Linear(2, 2), "loss": build(a=RAMP)})
    twin.load_state_dict(state, strict=True)
    assert twin["loss"](values()).total.item() == pytest.approx(0.3 * 2)


def test_loading_again_goes_back() -> None:
    loss = build(a=RAMP)
    start = loss.state_dict()
    for _ in range(4):
        loss.step()
    loss.load_state_dict(start)
    assert loss(values()).weights["a"].item() == 0.0
    loss.step()
    assert loss(values()).weights["a"].item() == pytest.approx(0.1)


def test_a_state_is_not_moved_by_later_steps() -> None:
    loss = build(a=RAMP)
    kept = loss.state_dict()
    loss.step()
    assert kept["progress._extra_state"].tolist() == [0, 0]
    assert loss.state_dict()["progress._extra_state"].tolist() == [1, 0]


def older(loss: lossreg.CompositeLoss) -> dict[str, Any]:
    """A state as it was before it was a tensor: counts, and each weight as text."""
    assert loss.progress is not None
    weights = {
        name: str(term.weight) for name, term in zip(loss.weights, loss.config.terms, strict=True)
    }
    progress = {"steps": loss.progress.steps, "epochs": loss.progress.epochs, "weights": weights}
    return {"progress._extra_state": progress}


def test_a_state_of_the_older_form_loads() -> None:
    loss, twin = build(a=RAMP, b=0.1), build(a=RAMP, b=0.1)
    for _ in range(3):
        loss.step()
    twin.load_state_dict(through_a_file(older(loss)))
    assert twin.weights == loss.weights


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (
            {"a": {**RAMP, "steps": 20}, "b": 0.1},
            f"the weight of 'a' was {AS_TOLD}, is {AS_TOLD.replace('10', '20')}",
        ),
        ({"a": RAMP, "b": 0.2}, "the weight of 'b' was 0.1, is 0.2"),
        ({"a": RAMP}, "the weight of 'b' was 0.1, is not there"),
        ({"a": RAMP, "b": 0.1, "c": 3}, "the weight of 'c' was not there, is 3"),
    ],
)
def test_a_state_of_the_older_form_says_which_weights_differ(
    other: dict[str, Any], difference: str
) -> None:
    state, loss = older(build(a=RAMP, b=0.1)), build(**other)
    loss.step()
    before = loss.weights
    with pytest.raises(StateError, match=re.escape(difference)):
        loss.load_state_dict(state)
    assert loss.weights == before


def test_a_number_is_the_same_whether_written_with_a_point_or_without() -> None:
    build(a=RAMP, b=1).load_state_dict(build(a={**RAMP, "end": 1}, b=1.0).state_dict())


def test_evaluating_moves_nothing() -> None:
    loss = build(a=RAMP).eval()
    with torch.no_grad():
        weights = [loss(values()).weights["a"].item() for _ in range(3)]
    assert weights == [0.0, 0.0, 0.0]
    assert loss.state_dict()["progress._extra_state"].tolist() == [0, 0]


DAMAGED: list[tuple[Any, str]] = [
    ({"steps": 1, "epochs": 0}, "expected the weights by name, found None"),
    ({"weights": []}, r"expected the weights by name, found \[\]"),
    (None, "expected a tensor, found a NoneType"),
    ([1, 0], "expected a tensor, found a list"),
    (torch.tensor(1), r"of int64 and shape \(2,\), found one of torch.int64 and shape \(\)"),
    (torch.tensor([1.0, 0.0]), "found one of torch.float32"),
    (torch.tensor([-1, 0]), "expected a number of steps, found -1"),
    ({"steps": "x"}, "expected a number of steps, found 'x'"),
    ({"steps": math.nan}, "expected a number of steps, found nan"),
    ({"steps": -5}, "expected a number of steps, found -5"),
    ({"steps": 2.9}, "expected a number of steps, found 2.9"),
    ({"steps": None}, "expected a number of steps, found None"),
    ({"steps": True}, "expected a number of steps, found True"),
    ({"steps": 2**63}, "expected a number of steps, found 9223372036854775808"),
    ({"epochs": -1}, "expected a number of epochs, found -1"),
]


@pytest.mark.parametrize(("change", "message"), DAMAGED, ids=str)
def test_damaged_progress_is_a_state_error_and_changes_nothing(change: Any, message: str) -> None:
    loss = build(a=RAMP)
    loss.step()
    state = older(loss)
    whole = state["progress._extra_state"]
    is_whole = "weights" in str(message)
    if isinstance(change, dict) and not is_whole:
        change = {**whole, **change}
    for damaged in (change, {name: each for name, each in whole.items() if name != "epochs"}):
        state["progress._extra_state"] = damaged
        with pytest.raises(StateError, match=r"^the state's progress is damaged: "):
            loss.load_state_dict(state)
        assert loss.weights["a"] == 0.1
    state["progress._extra_state"] = change
    with pytest.raises(StateError, match=message):
        loss.load_state_dict(state)


def test_a_forgotten_step_is_warned_of_once() -> None:
    loss = build(a=RAMP)
    for _ in range(99):
        loss(values())
    with pytest.warns(ConfigWarning, match=r"100 forwards without a loss\.step\(\)"):
        loss(values())
    for _ in range(200):
        loss(values())


@pytest.mark.parametrize("case", ["constants", "one step", "evaluated", "by epochs"])
def test_nobody_else_is_warned(case: str) -> None:
    loss = build(a=0.5) if case == "constants" else build(a=RAMP)
    if case == "by epochs":
        loss = build(a={**RAMP, "unit": "epoch"})
    if case == "one step":
        loss.step()
    if case == "evaluated":
        loss.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(150):
            loss(values())


def test_it_shows_how_far_it_is() -> None:
    loss = build(a=RAMP)
    loss.step()
    assert "steps=1, epochs=0" in repr(loss)
    assert "a=linear(unit='step', start=0.0, end=1.0, steps=10)" in repr(loss)


def test_schedules_of_a_group_and_its_terms_multiply() -> None:
    epochs = {"schedule": "linear", "start": 1.0, "end": 3.0, "steps": 2, "unit": "epoch"}
    term = {"type": "mse", "weight": RAMP, "inputs": ["p", "y"]}
    loss = lossreg.build({"terms": {"group": {"weight": epochs, "terms": {"a": term}}}})
    for _ in range(3):
        loss.step()
    loss.step_epoch()
    assert loss.weights == {"group/a": pytest.approx(0.3 * 2)}
    twin = lossreg.build({"terms": {"group": {"weight": epochs, "terms": {"a": term}}}})
    twin.load_state_dict(through_a_file(loss.state_dict()), strict=True)
    assert_bit_identical(twin(values()).total.detach(), loss(values()).total.detach())


def test_a_schedule_that_passes_through_0_stays_in_the_graph() -> None:
    loss, given = build(a=RAMP), values()
    loss(given).total.backward()
    assert given["p"].grad is not None
    assert given["p"].grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", SCHEDULES)
def test_progress_is_set_to_where_steps_would_have_led(name: str) -> None:
    def terms() -> dict[str, Any]:
        units = {
            unit: {"type": "mse", "inputs": ["p", "y"], "weight": weight(name, unit)}
            for unit in UNITS
        }
        seldom = {"type": "l1", "inputs": ["p", "y"], "active": {"from_step": 3}}
        return {**units, "seldom": seldom}

    moved, told = (lossreg.build({"terms": terms()}) for _ in range(2))
    for _ in range(3):
        moved.step()
    for _ in range(2):
        moved.step_epoch()
    told.progress_to(steps=3)
    told.progress_to(epochs=2)
    assert told.weights == moved.weights
    values = {"p": torch.tensor([1.0]), "y": torch.tensor([3.0])}
    assert told(values).log_dict() == moved(values).log_dict()
    assert torch.equal(
        told.state_dict()["progress._extra_state"], moved.state_dict()["progress._extra_state"]
    )
    told.step()
    moved.step()
    assert told.weights == moved.weights


@pytest.mark.parametrize("count", [-1, 2.0, True, "3"])
def test_progress_is_set_to_whole_numbers_from_0(count: Any) -> None:
    loss = build(ramp=RAMP)
    with pytest.raises(ValueError, match="expected a number of steps from 0, found"):
        loss.progress_to(steps=count)
    assert loss.progress is not None
    assert loss.progress.steps == 0


def test_an_objective_that_counts_nothing_stays_as_it_is() -> None:
    loss = lossreg.build({"terms": {"fit": {"type": "mse", "inputs": ["p", "y"]}}})
    loss.progress_to(steps=5)
    assert loss.progress is None
