"""Weights that move, where a composite is copied, moved or differentiated meanwhile."""

from __future__ import annotations

import copy
import io
import pickle
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

import lossreg
from properties import assert_bit_identical
from scheduled import RAMP, build, values

if TYPE_CHECKING:
    from collections.abc import Callable


def copied_by_torch(loss: lossreg.CompositeLoss) -> lossreg.CompositeLoss:
    file = io.BytesIO()
    torch.save(loss, file)
    file.seek(0)
    twin: lossreg.CompositeLoss = torch.load(file, weights_only=False)
    return twin


COPIES: dict[str, Callable[[lossreg.CompositeLoss], lossreg.CompositeLoss]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda loss: pickle.loads(pickle.dumps(loss)),
    "torch.save": copied_by_torch,
}


@pytest.mark.parametrize("terms", [1, 2, 4])
@pytest.mark.parametrize("way", COPIES)
def test_a_copy_goes_on_by_itself(way: str, terms: int) -> None:
    loss = build(**{f"t{index}": RAMP for index in range(terms)})
    loss.step()
    twin = COPIES[way](loss)
    for _ in range(2):
        twin.step()
    assert loss(values()).total.item() == pytest.approx(0.1 * 2 * terms)
    out = twin(values())
    assert out.total.item() == pytest.approx(0.3 * 2 * terms)
    assert out.weights["t0"].item() == pytest.approx(0.3)
    out.total.backward()


MOVES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "to a device": lambda loss: loss.to("cpu"),
    "bfloat16": nn.Module.bfloat16,
    "half": nn.Module.half,
    "double": nn.Module.double,
    "float": nn.Module.float,
    "to a dtype": lambda loss: loss.to(torch.float16),
    "meta and back": lambda loss: loss.to("meta").to_empty(device="cpu"),
    "never moved": lambda loss: loss,
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("terms", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_survive_a_move(move: str, terms: int, dtype: torch.dtype) -> None:
    loss = build(**{f"t{index}": RAMP for index in range(terms)})
    loss.step()
    MOVES[move](loss)
    for steps in (1, 2, 3):
        out = loss(values(dtype))
        assert_bit_identical(out.weights["t0"], torch.tensor(steps / 10, dtype=dtype))
        assert out.total.item() == pytest.approx(terms * 2 * steps / 10)
        loss.step()


def test_weights_follow_the_dtype_and_device_of_the_terms_from_step_to_step() -> None:
    loss = build(a=RAMP, b=RAMP, c=RAMP)
    for steps, dtype in enumerate([torch.float32, torch.float64, torch.float32, torch.float64]):
        shown = loss(values(dtype)).weights["a"]
        assert_bit_identical(shown, torch.tensor(steps / 10, dtype=dtype))
        loss.step()
    assert loss(values(device="meta")).total.device.type == "meta"
    loss.step()
    assert loss(values()).total.item() == pytest.approx(0.5 * 6)


def test_a_first_step_in_inference_mode_does_not_spoil_training() -> None:
    loss = build(a=RAMP, b=0.5, c=0.5)
    with torch.inference_mode():
        loss({name: each.detach() for name, each in values(torch.float64).items()})
        loss.step()
    loss(values(torch.float64)).total.backward()
    loss.step()
    loss(values(torch.float64)).total.backward()


@pytest.mark.parametrize("terms", [1, 2, 3])
def test_a_step_before_the_backward_pass_does_not_change_its_gradients(terms: int) -> None:
    loss = build(**{f"t{index}": RAMP for index in range(terms)})
    loss.step()
    given = values()
    out = loss(given)
    loss.step()
    out.total.backward()
    # The weights were 0.1 in the forward pass; d mse = p - y = (0, 2)
    assert given["p"].grad is not None
    assert given["p"].grad.tolist() == pytest.approx([0.0, terms * 0.1 * 2])
    assert out.weights["t0"].item() == pytest.approx(0.1)


def test_in_a_compiled_graph_a_step_before_the_backward_pass_changes_no_gradient() -> None:
    loss = build(a=RAMP, b=RAMP, c=RAMP)
    loss.step()
    given = values()
    total = torch.compile(loss, backend="aot_eager", fullgraph=True)(given).total
    loss.step()
    total.backward()
    # Three terms of weight 0.1, each with a gradient of 0 and of 2.
    torch.testing.assert_close(given["p"].grad, torch.tensor([0.0, 0.6]))


def test_weights_that_were_handed_out_are_nobody_elses() -> None:
    loss = build(a=RAMP, b=0.5)
    outs = []
    for _ in range(3):
        outs.append(loss(values()))
        loss.step()
    assert [out.weights["a"].item() for out in outs] == pytest.approx([0.0, 0.1, 0.2])
    outs[-1].weights["b"].zero_()
    for value in outs[-1].log_dict().values():
        value.zero_()
    assert outs[-1].weights["b"].item() == 0.5
    assert loss(values()).weights["b"].item() == 0.5
    assert loss(values()).total.item() == pytest.approx((0.3 + 0.5) * 2)
