"""What a compiled step gives is used, differentiated, copied and saved as an eager one's."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import Tensor

import lossreg
from compiled import (
    BREAKS,
    CASES,
    NAN,
    RAMP,
    SIX,
    Values,
    assert_a_step_is_eagers,
    assert_within_ulps,
    build,
    counter,
    fit,
    tensors,
)
from lossreg.errors import InputError, NonFiniteError


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """torch counts compilations of a function over all its modules, and gives up after some."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_the_output_is_used_as_an_eager_ones() -> None:
    loss, eager = build(CASES["three terms"]), build(CASES["three terms"])
    loss.compile(backend="aot_eager", fullgraph=True)
    out, expected = loss(tensors()), eager(tensors())
    assert isinstance(out, lossreg.LossOutput)
    logged, wanted = out.log_dict("train/"), expected.log_dict("train/")
    assert list(logged) == list(wanted)
    for name, each in wanted.items():
        assert not logged[name].requires_grad
        assert_within_ulps(logged[name], each)
    # What was handed out is a copy.
    loss.step()
    assert out.weights["fit"].item() == expected.weights["fit"].item()
    out.weights["fit"].fill_(9)
    assert loss(tensors()).weights["fit"].item() == pytest.approx(loss.weights["fit"])


def test_log_dict_compiles_with_its_caller() -> None:
    loss, count = build(CASES["three terms"]), counter()

    @torch.compile(backend=count, fullgraph=True)
    def step(values: Values) -> tuple[Tensor, dict[str, Tensor]]:
        out = loss(values)
        return out.total, out.log_dict("train/")

    total, logged = step(tensors())
    total.backward()
    assert logged["train/loss/total"].item() == total.item()
    assert sorted(logged) == sorted(loss(tensors()).log_dict("train/"))
    assert count.frame_count == 1


def test_backward_after_a_step_has_the_weights_of_its_forward_pass() -> None:
    loss = build(CASES["three terms"])
    count = counter()
    loss.compile(backend=count, fullgraph=True)
    for _ in range(3):
        found, expected = tensors(), tensors()
        eager = copy.deepcopy(loss)(expected).total
        total = loss(found).total
        loss.step()
        total.backward()
        eager.backward()
        torch.testing.assert_close(found["p"].grad, expected["p"].grad)
    assert count.frame_count == 1


@pytest.mark.parametrize("terms", [1, 2, 4])
@pytest.mark.parametrize("bad", [NAN, math.inf])
def test_a_later_step_names_the_term_that_was_not_finite(terms: int, bad: float) -> None:
    others = {f"fine{index}": fit() for index in range(terms - 1)}
    loss = build({**others, "bad": fit(inputs=["p", "z"], weight=RAMP)})
    count = counter()
    loss.compile(backend=count, fullgraph=True)
    for z in (0.0, bad, 0.0):
        loss({**tensors(), "z": torch.full((6, 4), z)}).total.backward()
    with pytest.raises(NonFiniteError, match=r"earlier step: 'bad'$") as raised:
        loss.step()
    assert raised.value.term == "bad"
    loss({**tensors(), "z": torch.zeros(6, 4)}).total.backward()
    loss.step()
    assert count.frame_count == 1


def test_values_that_are_not_finite_are_ignored_where_that_is_wanted() -> None:
    loss = build({"bad": fit(inputs=["p", "z"]), "fine": fit()}, on_nonfinite="ignore")
    loss.compile(backend="aot_eager", fullgraph=True)
    out = loss({**tensors(), "z": torch.full((6, 4), NAN)})
    assert out.total.isnan()
    loss.step()


@BREAKS
def test_a_missing_tensor_is_told_as_without_compile() -> None:
    loss = build({"fit": fit()})
    loss.compile(backend="aot_eager")
    with pytest.raises(InputError, match=r"there is no 'p'.*there is: y"):
        loss(y=torch.ones(2))
    assert loss(p=torch.ones(2, requires_grad=True), y=torch.ones(2)).total.item() == 0


def test_denominators_are_an_argument() -> None:
    terms = {name: each for name, each in SIX.items() if name != "penalty"}
    terms["masked"] = fit(mask="valid", sample_weight="w", divide_by="weights")
    loss, eager, count = build(terms), build(terms), counter()
    loss.compile(backend=count, fullgraph=True)
    for step in range(4):
        parts = [tensors(2 * step), tensors(2 * step + 1)]
        denominators = loss.denominators(parts, world_size=2)
        for part in (0, 1):
            assert_a_step_is_eagers(
                partial(loss, denominators=denominators),
                partial(eager, denominators=denominators),
                partial(tensors, 2 * step + part),
            )
        loss.step()
        eager.step()
    assert count.frame_count == 1


def test_a_copy_compiles_and_moves_its_own_weights() -> None:
    loss = build(CASES["three terms"])
    loss.compile(backend="aot_eager", fullgraph=True)
    loss(tensors()).total.backward()
    twin, count = copy.deepcopy(loss), counter()
    loss.step()
    twin.compile(backend=count, fullgraph=True)
    assert twin(tensors()).weights["fit"].item() == pytest.approx(0.2)
    assert loss(tensors()).weights["fit"].item() == pytest.approx(0.36)
    assert count.frame_count == 1


def test_a_state_that_is_loaded_does_not_compile_again() -> None:
    loss, other, count = build(SIX), build(SIX), counter()
    for _ in range(3):
        other.step()
    loss.compile(backend=count, fullgraph=True)
    loss(tensors())
    loss.load_state_dict(other.state_dict())
    assert_a_step_is_eagers(loss, other, tensors)
    assert count.frame_count == 1
