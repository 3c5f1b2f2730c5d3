"""Weights from the step, maximised terms, and sample weights with a gradient."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch._dynamo.testing
from torch import Tensor, nn

import lossreg
from composites import build, fit_term
from lossreg import ConfigWarning, InputError, NonFiniteError


def values(**more: Any) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    p, y = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    return {"p": p.requires_grad_(), "y": y, **more}


def number(value: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(value, dtype=dtype, requires_grad=dtype.is_floating_point)


def mse(given: dict[str, Any]) -> Tensor:
    return nn.functional.mse_loss(given["p"], given["y"])


@pytest.mark.parametrize("others", [0, 1, 3])
@pytest.mark.parametrize("written", [{"from": "w"}, {"from": "w", "apply": ["square", {"mul": 2}]}])
def test_a_weight_of_the_step_multiplies_and_gets_no_gradient(
    others: int, written: dict[str, Any]
) -> None:
    fixed = {f"t{index}": {"type": "l1", "inputs": ["p", "y"]} for index in range(others)}
    loss = build(fit=fit_term(weight=written), **fixed)
    given, twin = values(w=number(0.3)), values()
    out = loss(given)
    factor = 0.3 if "apply" not in written else 2 * 0.3**2
    total = factor * mse(twin) + others * nn.functional.l1_loss(twin["p"], twin["y"])
    torch.testing.assert_close(out.total, total)
    assert out.weights["fit"].item() == pytest.approx(factor, rel=1e-15)
    out.total.backward()
    total.backward()
    torch.testing.assert_close(given["p"].grad, twin["p"].grad)
    assert given["w"].grad is None
    weighted = loss.terms(given, weighted=True)
    torch.testing.assert_close(weighted["fit"], factor * mse(twin))
    torch.testing.assert_close(loss.terms(given)["fit"], mse(twin))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_at_0_the_term_stays_in_the_graph(count: int) -> None:
    loss = build(**{f"t{index}": fit_term(weight={"from": "w"}) for index in range(count)})
    given = values(w=number(0.0))
    out = loss(given)
    assert out.total.item() == 0
    out.total.backward()
    assert given["p"].grad is not None
    assert not given["p"].grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64])
def test_a_number_of_any_real_dtype_and_of_shape_1(dtype: torch.dtype) -> None:
    loss = build(fit=fit_term(weight={"from": "w"}))
    out = loss(values(w=torch.full((1, 1), 2, dtype=dtype)))
    torch.testing.assert_close(out.total, 2 * mse(values()))


def test_weights_of_groups_multiply_and_are_looked_up_where_the_group_stands() -> None:
    inner = {
        "from": "inner",
        "weight": {"from": "w"},  # outer.w, not outer.inner.w
        "terms": {"fit": fit_term(weight={"from": "v"})},  # outer.inner.v
    }
    loss = build(outer={"from": "outer", "weight": 0.5, "terms": {"inner": inner}})
    step = {"outer": {"w": number(3.0), "inner": values(v=number(7.0), w=number(100.0))}}
    out = loss(step)
    torch.testing.assert_close(out.total, 0.5 * 3 * 7 * mse(values()))
    assert out.weights["outer/inner/fit"].item() == 0.5 * 3 * 7


def test_a_schedule_and_a_number_of_the_step_multiply() -> None:
    ramp = {"schedule": "linear", "start": 0.0, "end": 1.0, "steps": 10}
    loss = build(g={"weight": ramp, "terms": {"fit": fit_term(weight={"from": "w"})}})
    for steps in range(3):
        torch.testing.assert_close(
            loss(values(w=number(2.0))).total, steps / 10 * 2 * mse(values())
        )
        loss.step()


def test_a_group_of_weight_0_leaves_its_terms_out_of_the_graph() -> None:
    term = fit_term(weight={"from": "w"})
    loss = build(g={"weight": 0, "terms": {"fit": term}}, other=fit_term())
    out = loss(values(w=number(math.nan)))
    torch.testing.assert_close(out.total, mse(values()))


def test_before_a_step_its_weight_is_not_a_number() -> None:
    loss = build(fit=fit_term(weight={"from": "w"}), other=fit_term(weight=0.5))
    weights = loss.weights
    assert math.isnan(weights["fit"])
    assert weights["other"] == 0.5


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.ones(2), r"expected one number, found \(2,\)"),
        (torch.ones(0), r"expected one number, found \(0,\)"),
        (torch.ones((), dtype=torch.bool), r"expected a number, found torch\.bool"),
        (torch.tensor(1j), "expected a number, found torch.complex64"),
        (0.5, "expected a tensor at 'w', found a float"),
        (None, "expected a tensor at 'w', found a NoneType"),
    ],
    ids=str,
)
def test_what_is_not_a_number_is_refused(value: Any, message: str) -> None:
    loss = build(fit=fit_term(weight={"from": "w"}))
    with pytest.raises(InputError, match=message) as error:
        loss(values(w=value))
    assert (error.value.term, error.value.argument) == ("fit", "weight")


def test_a_missing_one_says_what_there_is() -> None:
    loss = build(fit=fit_term(weight={"from": "adaptiv"}))
    with pytest.raises(InputError, match=r"'weight'.*there is no 'adaptiv'.*'adaptive'"):
        loss(values(adaptive=number(1.0)))


def test_an_optional_term_without_its_weight_is_absent() -> None:
    loss = build(fit=fit_term(weight={"from": "w"}, optional=True), other=fit_term())
    out = loss(values())
    assert (out.terms["fit"].item(), out.weights["fit"].item()) == (0, 0)
    assert loss(values(w=number(2.0))).weights["fit"].item() == 2


@pytest.mark.parametrize("number_", [math.nan, math.inf])
def test_a_weight_that_is_not_finite_is_named(number_: float) -> None:
    loss = build(fit=fit_term(weight={"from": "gate.w"}), other=fit_term())
    with pytest.raises(NonFiniteError, match=r"weight of term 'fit' is .*: .* gate\.w") as error:
        loss(values(gate={"w": number(number_)}))
    assert error.value.term == "fit"


def test_one_graph_serves_every_number() -> None:
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    loss = build(fit=fit_term(weight={"from": "w"}), more=fit_term(weight=0.5))
    compiled = torch.compile(loss, backend=counter, fullgraph=True)
    compiled(values(w=number(1.0)))
    first = counter.frame_count  # torch may begin anew for a number in float64 on the CPU
    for w in (0.0, 0.5, -2.0):
        given, twin = values(w=number(w)), values(w=number(w))
        found, expected = compiled(given), loss(twin)
        torch.testing.assert_close(found.total, expected.total)
        assert found.weights["fit"].item() == w
        found.total.backward()
        expected.total.backward()
        torch.testing.assert_close(given["p"].grad, twin["p"].grad)
    assert counter.frame_count == first


def test_micro_batches_have_the_gradients_of_one_batch() -> None:
    loss = build(fit=fit_term(weight={"from": "w"}))
    whole, given = values(w=number(0.7)), values()
    loss(whole).total.backward()
    parts = [
        {"p": p, "y": y, "w": number(0.7)}
        for p, y in zip(given["p"].split((2, 4)), given["y"].split((2, 4)), strict=True)
    ]
    denominators = loss.denominators([{"y": part["y"]} for part in parts])
    for part in parts:
        loss(part, denominators=denominators).total.backward()
    torch.testing.assert_close(given["p"].grad, whole["p"].grad)


def test_a_weight_that_mixes_rows_is_warned_of_with_micro_batches() -> None:
    loss = build(fit=fit_term(weight={"from": "gate", "apply": ["mean"]}))
    with pytest.warns(ConfigWarning, match="'weight'.*'mean' mixes rows"):
        loss.denominators([values(), values()])


def test_gradients_of_terms_are_compared_with_the_steps_weight() -> None:
    loss = build(a=fit_term(weight={"from": "w"}), b=fit_term())
    given = values(w=number(0.25))
    found = lossreg.compare_gradients(loss, given, [given["p"]])
    assert (found.norms["a"] / found.norms["b"]).item() == pytest.approx(0.25)


RAMP = {"schedule": "linear", "start": 0.5, "end": 0.1, "steps": 2}


@pytest.mark.parametrize("weight", [1, 0.25, RAMP, {"from": "w"}], ids=str)
@pytest.mark.parametrize("others", [0, 1, 3])
def test_the_total_has_minus_a_maximised_term(weight: Any, others: int) -> None:
    fixed = {f"t{index}": {"type": "l1", "inputs": ["p", "y"]} for index in range(others)}
    loss = build(fit=fit_term(weight=weight, maximize=True), **fixed)
    given, twin = values(w=number(0.7)), values()
    out = loss(given)
    size = {"1": 1.0, "0.25": 0.25, str(RAMP): 0.5}.get(str(weight), 0.7)
    total = -size * mse(twin) + others * nn.functional.l1_loss(twin["p"], twin["y"])
    torch.testing.assert_close(out.total, total)
    assert out.weights["fit"].item() == pytest.approx(-size)
    torch.testing.assert_close(out.terms["fit"], mse(twin).detach())
    out.total.backward()
    total.backward()
    torch.testing.assert_close(given["p"].grad, twin["p"].grad)


def test_a_maximised_term_is_the_objective_of_a_negative_weight() -> None:
    loss = build(fit=fit_term(weight=0.25, maximize=True))
    with pytest.warns(ConfigWarning, match="maximised"):
        other = build(fit=fit_term(weight=-0.25))
    assert loss.fingerprint == other.fingerprint
    assert loss.weights == other.weights == {"fit": -0.25}


def test_a_maximised_term_in_a_group() -> None:
    loss = build(g={"weight": 2, "terms": {"fit": fit_term(weight=0.25, maximize=True)}})
    assert loss.weights == {"g/fit": -0.5}


# Self-adaptive PINNs: the weights of points climb where the residual is large.
@pytest.mark.parametrize("divide_by", ["entries", "rows", "kept", "kept_rows", {"number": "n"}])
@pytest.mark.parametrize("masked", [False, True])
def test_a_gradient_reaches_a_learned_sample_weight(divide_by: Any, masked: bool) -> None:
    term = fit_term(sample_weight={"from": "lam", "gradient": True}, divide_by=divide_by)
    if masked:
        term["mask"] = "valid"
    loss = build(fit=term)
    valid = torch.tensor([True, True, False, True, False, True])
    count = 4 if masked and divide_by in ("kept", "kept_rows") else 6
    given, twin = (
        values(lam=torch.arange(1.0, 7.0, dtype=torch.float64).requires_grad_(), n=6, valid=valid)
        for _ in range(2)
    )
    out = loss(given)
    squares = twin["lam"] * (twin["p"] - twin["y"]) ** 2
    total = (squares * valid if masked else squares).sum() / count
    torch.testing.assert_close(out.total, total)
    out.total.backward()
    total.backward()
    torch.testing.assert_close(given["lam"].grad, twin["lam"].grad)
    torch.testing.assert_close(given["p"].grad, twin["p"].grad)


def test_a_gradient_reaches_it_over_micro_batches_and_in_a_graph() -> None:
    term = fit_term(sample_weight={"from": "lam", "gradient": True}, divide_by="entries")
    loss = build(fit=term)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    whole, given = (
        values(lam=torch.ones(6, dtype=torch.float64, requires_grad=True)) for _ in range(2)
    )
    compiled(whole).total.backward()
    split = [each.split((2, 4)) for each in (given["p"], given["y"], given["lam"])]
    parts = [dict(zip(("p", "y", "lam"), part, strict=True)) for part in zip(*split, strict=True)]
    denominators = loss.denominators([{"y": part["y"], "lam": part["lam"]} for part in parts])
    for part in parts:
        loss(part, denominators=denominators).total.backward()
    torch.testing.assert_close(given["lam"].grad, whole["lam"].grad)
    torch.testing.assert_close(given["p"].grad, whole["p"].grad)


def test_the_warning_of_a_cut_gradient_names_both_ways() -> None:
    loss = build(fit=fit_term(sample_weight="lam", divide_by="entries"))
    given = values(lam=torch.ones(6, dtype=torch.float64, requires_grad=True))
    with pytest.warns(ConfigWarning, match=r"apply: \[detach\], or gradient: true") as caught:
        loss(given).total.backward()
    assert len(caught) == 1
    assert given["lam"].grad is None


@pytest.mark.parametrize("maximize", [False, True])
def test_a_number_below_0_is_warned_of_once(maximize: bool) -> None:
    loss = build(fit=fit_term(weight={"from": "w"}, maximize=maximize))
    given = values(w=number(-0.5))
    with pytest.warns(ConfigWarning, match=r"term 'fit', 'weight' \(path 'w'\): the number is be"):
        out = loss(given)
    assert loss(given).total == out.total == (0.5 if maximize else -0.5) * mse(given)


def test_a_number_below_0_is_warned_of_before_a_graph() -> None:
    loss = build(fit=fit_term(weight={"from": "w"}))
    loss.compile(backend="eager")
    with pytest.warns(ConfigWarning, match="turns the term's sign around"):
        loss(values(w=number(-0.5)))
