"""A state knows its objective, and says what differs before anything is loaded."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from typing import Any

import pytest
import torch
from torch import nn

import lossreg
from lossreg.errors import ConfigWarning, StateError
from scheduled import RAMP, build, values


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_a_composite_shows_its_config_and_fingerprint() -> None:
    loss = build(a=0.5, b=RAMP)
    assert [term.name for term in loss.config.terms] == ["a", "b"]
    assert loss.fingerprint == build(b=RAMP, a=0.5).fingerprint
    assert loss.fingerprint != build(a=0.6, b=RAMP).fingerprint
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert twin.fingerprint == loss.fingerprint


@pytest.mark.parametrize("weights", [{"a": 0.5}, {"a": RAMP, "b": 0.5}])
def test_its_own_state_loads_without_a_word(weights: dict[str, Any]) -> None:
    loss, twin = build(**weights), build(**weights)
    loss.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        twin.load_state_dict(through_a_file(loss.state_dict()))
    assert twin.weights == loss.weights


def test_a_changed_constant_is_warned_of() -> None:
    with pytest.warns(ConfigWarning, match=r"'weight' of 'a' was 0\.5, is 0\.7; if the change"):
        build(a=0.7).load_state_dict(through_a_file(build(a=0.5).state_dict()))


def test_progress_does_not_go_to_another_objective() -> None:
    saved, loss = build(a=RAMP, b=0.5), build(a=RAMP, b=0.7)
    saved.step()
    with pytest.raises(StateError, match="progress belongs to another objective: 'weight' of 'b'"):
        loss.load_state_dict(through_a_file(saved.state_dict()))
    assert loss.weights["a"] == 0.0


def test_it_does_where_that_is_meant_and_only_once() -> None:
    saved, loss = build(a=RAMP, b=0.5), build(a=RAMP, b=0.7)
    saved.step()
    loss.accept_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss.load_state_dict(saved.state_dict())
    assert loss.weights == {"a": pytest.approx(0.1), "b": 0.7}
    with pytest.raises(StateError):
        loss.load_state_dict(saved.state_dict())


def test_another_loss_is_noticed() -> None:
    one = lossreg.build({"terms": {"fit": {"type": "l1", "inputs": ["p", "y"]}}})
    other = lossreg.build({"terms": {"fit": {"type": "mse", "inputs": ["p", "y"]}}})
    with pytest.warns(ConfigWarning, match="'type' of 'fit' was l1, is mse"):
        other.load_state_dict(one.state_dict())


def test_a_schedule_that_was_added_starts_at_its_beginning_and_is_warned_of() -> None:
    loss = build(a=RAMP)
    with pytest.warns(ConfigWarning, match=r"'weight' of 'a' was 0\.5, is linear\(start=0, end=1"):
        loss.load_state_dict(through_a_file(build(a=0.5).state_dict()))
    assert loss.weights == {"a": 0.0}


def test_a_schedule_that_was_removed_is_warned_of() -> None:
    saved = build(a=RAMP)
    saved.step()
    with pytest.warns(ConfigWarning, match=r"'weight' of 'a' was linear.*, is 0\.5"):
        build(a=0.5).load_state_dict(through_a_file(saved.state_dict()))


def test_without_metadata_the_missing_progress_is_said_in_words() -> None:
    message = r"it has no 'progress\._extra_state', the progress of this objective's schedules"
    loss = build(a=RAMP)
    with pytest.warns(ConfigWarning, match=message), pytest.raises(RuntimeError, match="Missing"):
        loss.load_state_dict({})
    with pytest.warns(ConfigWarning, match=message):
        loss.load_state_dict({}, strict=False)
    assert loss.weights == {"a": 0.0}


def test_inside_a_model_it_is_compared_as_well() -> None:
    model = nn.ModuleDict({"net": nn.Linear(2, 2), "loss": build(a=0.5)})
    other = nn.ModuleDict({"net": nn.Linear(2, 2), "loss": build(a=0.7)})
    with pytest.warns(ConfigWarning, match=r"was 0\.5, is 0\.7"):
        other.load_state_dict(through_a_file(model.state_dict()))


def test_of_another_algorithm_nothing_is_compared() -> None:
    state = build(a=0.5).state_dict()
    state._metadata[""]["lossreg"]["fingerprint"] = "2:0123456789abcdef"
    build(a=0.7).load_state_dict(state)


def test_many_differences_are_counted() -> None:
    names = "abcdefgh"
    one, other = (dict.fromkeys(names, weight) for weight in (0.5, 0.7))
    with pytest.warns(ConfigWarning, match="'weight' of 'e' was .*; and 3 more; if the change"):
        build(**other).load_state_dict(build(**one).state_dict())


def test_a_model_that_holds_its_loss_is_saved_as_safetensors(tmp_path: Any) -> None:
    from safetensors.torch import load_file, save_file

    model = nn.ModuleDict({"net": nn.Linear(2, 2), "loss": build(a=RAMP, b=0.5)})
    model["loss"].step()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    twin = nn.ModuleDict({"net": nn.Linear(2, 2), "loss": build(a=RAMP, b=0.5)})
    twin.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert twin["loss"].weights == model["loss"].weights
    assert twin["loss"](values()).total == model["loss"](values()).total


@pytest.mark.parametrize("words", [None, 5, {"a": 5}, {"a": {"type": 7}}, {"a": {3: "x"}}], ids=str)
def test_metadata_that_is_damaged_is_said_to_be(words: Any) -> None:
    state = build(a=RAMP).state_dict()
    state._metadata[""]["lossreg"] = {"fingerprint": "1:0000000000000000", "objective": words}
    with pytest.raises(StateError, match="its metadata is damaged"):
        build(a=RAMP).load_state_dict(state)


def test_progress_that_is_missing_is_accepted_where_that_is_meant() -> None:
    loss = build(a=RAMP)
    loss.step()
    loss.accept_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss.load_state_dict({})
    assert loss.weights == {"a": pytest.approx(0.1)}
