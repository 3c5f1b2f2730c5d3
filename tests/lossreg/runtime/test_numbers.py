"""Schedules in transforms' numbers and in constants: they move, are saved, and compile once."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch

import lossreg
from compiled import counter
from lossreg.errors import StateError
from lossreg.runtime.numbers import Numbers

RAMP = {"schedule": "linear", "start": 1.0, "end": 3.0, "steps": 4}
BY_EPOCH = {"schedule": "cosine", "start": 2.0, "end": 1.0, "steps": 2, "unit": "epoch"}
NOW = [1.0, 1.5, 2.0, 2.5, 3.0, 3.0]


def scheduled(number: Any = RAMP, name: str = "mul", **term: Any) -> dict[str, Any]:
    inputs = [{"from": "x", "apply": [{name: number}, "mean"]}]
    return {"terms": {"fit": {"type": "value", "inputs": inputs, **term}}}


def x(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor([0.5, 1.25, -3.0], dtype=dtype, requires_grad=True)


def test_a_number_moves_with_each_step() -> None:
    loss = lossreg.build(scheduled())
    for number in NOW:
        leaf = x()
        total = loss(x=leaf).total
        total.backward()
        assert total == leaf.mean() * number
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad, torch.full_like(leaf, number / 3))
        loss.step()


def test_by_epoch_it_moves_with_each_epoch() -> None:
    loss = lossreg.build(scheduled(BY_EPOCH))
    loss.step()
    assert loss(x=x()).total == x().mean() * 2
    loss.step_epoch()
    torch.testing.assert_close(loss(x=x()).total, x().mean() * 1.5)


def test_a_backward_pass_has_the_numbers_of_its_forward_pass() -> None:
    loss, leaf = lossreg.build(scheduled()), x()
    total = loss(x=leaf).total
    loss.step()
    total.backward()
    torch.testing.assert_close(leaf.grad, torch.full_like(leaf, 1 / 3))


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("add", RAMP),
        ("sub", RAMP),
        ("div", RAMP),
        ("pow", RAMP),
        ("minimum", RAMP),
        ("maximum", RAMP),
        ("clamp", {"max": RAMP}),
        ("clamp", {"min": -1.5, "max": RAMP}),
        ("full_like", RAMP),
        ("shift", {"by": 1, "dim": 0, "fill": RAMP}),
        ("where", {"condition": {"from": "x", "apply": [{"gt": RAMP}]}, "other": RAMP}),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_schedule_is_the_number_that_it_gives(name: str, number: Any, dtype: torch.dtype) -> None:
    def plain(value: Any) -> Any:
        if value is RAMP:
            return 1.5
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    moving = lossreg.build(scheduled(number, name))
    moving.step()
    still = lossreg.build(scheduled(plain(number), name))
    leaf = x(dtype).detach()
    leaf = leaf.abs() if name == "pow" else leaf
    found, expected = moving(x=leaf).total, still(x=leaf).total
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected)


def test_alike_schedules_have_one_number() -> None:
    read = lossreg.load_config(scheduled({"from": "y", "apply": [{"mul": RAMP}, {"add": RAMP}]}))
    numbers = Numbers(read.terms[0].schedules)
    assert len(list(read.terms[0].schedules)) == 2
    assert len(numbers.schedules) == 1


def test_a_schedule_that_never_changes_is_a_number() -> None:
    loss = lossreg.build(scheduled({**RAMP, "end": 1.0}))
    assert loss.progress is None
    assert loss.state_dict() == {}


def test_progress_is_saved_and_restored() -> None:
    loss = lossreg.build(scheduled())
    for _ in range(3):
        loss.step()
    assert list(loss.state_dict()) == ["progress._extra_state"]
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    resumed = lossreg.build(scheduled())
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert resumed(x=x()).total == x().mean() * 2.5


def test_the_fingerprint_and_a_state_know_the_schedule() -> None:
    loss = lossreg.build(scheduled())
    other = lossreg.build(scheduled({**RAMP, "end": 4.0}))
    assert loss.fingerprint != other.fingerprint
    assert loss.fingerprint == lossreg.build(scheduled({**RAMP, "unit": "step"})).fingerprint
    with pytest.raises(StateError, match=r"belongs to another objective: 'inputs\.input'"):
        other.load_state_dict(loss.state_dict())
    other.accept_state()
    other.load_state_dict(loss.state_dict())


def test_it_is_compiled_once() -> None:
    graphs = counter()
    loss = lossreg.build(scheduled())
    compiled = torch.compile(loss, backend=graphs, fullgraph=True)
    for number in NOW:
        torch.testing.assert_close(compiled(x=x()).total, x().mean() * number)
        loss.step()
    assert graphs.frame_count == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_round_the_number(dtype: torch.dtype) -> None:
    ramp = {**RAMP, "start": 0.3}
    term = {"type": "value", "inputs": [{"from": "x", "apply": [{"mul": ramp}]}]}
    leaf = torch.tensor(3.0, dtype=dtype)
    found = lossreg.build({"terms": {"fit": term}})(x=leaf).terms["fit"]
    assert found == (leaf.float() * 0.3).to(dtype)


def test_it_follows_the_loss_to_a_device_and_back() -> None:
    loss = lossreg.build(scheduled())
    loss.step()
    loss.to("meta")
    assert loss(x=x().to("meta")).total.device.type == "meta"
    loss.to_empty(device="cpu")
    assert loss(x=x()).total == x().mean() * 1.5


def test_it_follows_the_tensors_where_the_loss_was_not_moved() -> None:
    loss = lossreg.build(scheduled())
    loss.step()
    assert loss(x=x().to("meta")).total.device.type == "meta"
    assert loss(x=x()).total == x().mean() * 1.5


def test_a_validation_step_first_does_not_hinder_training() -> None:
    loss = lossreg.build(scheduled())
    with torch.inference_mode():
        loss.step()
        loss(x=x())
    leaf = x()
    loss(x=leaf).total.backward()
    torch.testing.assert_close(leaf.grad, torch.full_like(leaf, 0.5))


def test_idle_schedules_are_warned_of() -> None:
    loss = lossreg.build(scheduled())
    for _ in range(99):
        loss(x=x())
    with pytest.warns(lossreg.ConfigWarning, match=r"100 forwards without a loss.step\(\)"):
        loss(x=x())


def test_a_disabled_term_has_no_numbers() -> None:
    document = scheduled(enabled=False)
    document["terms"]["other"] = {"type": "value", "inputs": ["x"]}
    assert lossreg.build(document).progress is None
