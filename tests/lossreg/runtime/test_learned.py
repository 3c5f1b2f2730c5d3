"""Weights that are learned, against the same in torch by hand, in float64."""

from __future__ import annotations

import copy
import io
import math
import warnings
from typing import Any

import pytest
import torch
import torch._dynamo.testing
from torch import Tensor, nn

import lossreg
from composites import build, fit_term
from lossreg import ConfigWarning, NonFiniteError, StateError
from lossreg.runtime.learned import LearnedWeights

FORMS = {"log_variance": 1.0, "kendall": 0.5}


def learned(form: str = "log_variance", **fields: Any) -> dict[str, Any]:
    return fit_term(weight={"learned": form, **fields})


def values(rows: int = 6, seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    p, y = torch.randn(2, rows, generator=generator, dtype=torch.float64)
    return {"p": p.requires_grad_(), "y": y}


def parameter(loss: lossreg.CompositeLoss, name: str) -> nn.Parameter:
    return dict(loss.named_parameters())[f"weighting.learned.{name}"]


def by_hand(s: Tensor, raw: Tensor, half: float) -> Tensor:
    return half * (torch.exp(-s) * raw + s)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("initial", [0.0, -1.5, 0.25])
@pytest.mark.parametrize("others", [0, 1, 3])
def test_value_and_gradients_are_those_of_the_formula(
    form: str, initial: float, others: int
) -> None:
    fixed = {f"t{index}": {"type": "l1", "inputs": ["p", "y"]} for index in range(others)}
    loss = build(fit=learned(form, initial=initial), **fixed).double()
    given, twin = values(), values()
    out = loss(given)
    out.total.backward()
    s = torch.tensor([initial], dtype=torch.float64, requires_grad=True)
    raw = nn.functional.mse_loss(twin["p"], twin["y"])
    absolute = nn.functional.l1_loss(twin["p"], twin["y"])
    total = by_hand(s, raw, FORMS[form]).sum() + others * absolute
    total.backward()
    torch.testing.assert_close(out.total, total)
    torch.testing.assert_close(given["p"].grad, twin["p"].grad)
    torch.testing.assert_close(parameter(loss, "fit").grad, s.grad)


def test_the_output_has_the_weight_and_what_is_added() -> None:
    loss = build(a=learned(initial=0.5), b=learned("kendall", initial=2.0)).double()
    out = loss(values())
    names = ["a", "b", "regularizer/a", "regularizer/b"]
    assert list(out.terms) == list(out.weights) == names
    assert out.weights["a"].item() == pytest.approx(math.exp(-0.5), rel=1e-15)
    assert out.weights["b"].item() == pytest.approx(0.5 * math.exp(-2.0), rel=1e-15)
    assert (out.terms["regularizer/a"].item(), out.terms["regularizer/b"].item()) == (0.5, 1.0)
    assert not any(value.requires_grad for value in (*out.terms.values(), *out.weights.values()))
    added = sum(out.weights[name] * out.terms[name] for name in names)
    torch.testing.assert_close(added, out.total.detach())
    logged = out.log_dict("train/")
    assert logged["train/regularizer/b"].item() == 1.0
    assert [key for key in logged if "regularizer" in key] == [
        "train/regularizer/a",
        "train/regularizer/b",
    ]
    assert loss.weights == pytest.approx({"a": math.exp(-0.5), "b": 0.5 * math.exp(-2.0)})


def test_weighted_terms_add_up_to_the_total() -> None:
    loss = build(a=learned(initial=0.5), b=fit_term(weight=0.3)).double()
    given = values()
    weighted = loss.terms(given, weighted=True)
    assert list(weighted) == ["a", "b", "regularizer/a"]
    sum(weighted.values()).backward()  # type: ignore[union-attr]
    found = parameter(loss, "a").grad
    loss.zero_grad()
    loss(given).total.backward()
    torch.testing.assert_close(parameter(loss, "a").grad, found)
    assert list(loss.terms(given)) == ["a", "b"]


def test_an_optimizer_reaches_the_formulas_optimum() -> None:
    loss = build(a=learned(initial=1.0))
    step = {"p": torch.tensor([3.0, 1.0]), "y": torch.ones(2)}  # L = 2, so exp(-s)·2 = 1
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.2)
    for _ in range(60):
        optimizer.zero_grad()
        loss(step).total.backward()
        optimizer.step()
        loss.step()
    assert parameter(loss, "a").item() == pytest.approx(math.log(2), abs=1e-4)


def test_an_absent_term_adds_nothing() -> None:
    rare = {**learned(initial=0.7), "inputs": ["q", "y"], "optional": True}
    loss = build(rare=rare, fit=fit_term()).double()
    out = loss(values())
    assert list(out.terms) == ["rare", "fit", "regularizer/rare"]
    assert out.terms["regularizer/rare"] == out.weights["regularizer/rare"] == 0
    torch.testing.assert_close(out.total.detach(), out.terms["fit"])
    out.total.backward()
    assert parameter(loss, "rare").grad is None
    weighted = loss.terms(values(), weighted=True)
    assert weighted["regularizer/rare"] == 0


@pytest.mark.parametrize("sizes", [(6,), (2, 4), (1, 2, 3)])
def test_micro_batches_add_the_regularizer_once(sizes: tuple[int, ...]) -> None:
    loss = build(a=learned(initial=0.5), b=learned("kendall")).double()
    whole = values(sum(sizes))
    expected = loss(whole)
    expected.total.backward()
    wanted = {name: each.grad.clone() for name, each in loss.named_parameters()}  # type: ignore[union-attr]
    loss.zero_grad()
    given = values(sum(sizes))
    parts = [
        {"p": p, "y": y}
        for p, y in zip(given["p"].split(sizes), given["y"].split(sizes))  # noqa: B905
    ]
    denominators = loss.denominators([{"y": part["y"]} for part in parts])
    outs = [loss(part, denominators=denominators) for part in parts]
    sum(out.total for out in outs).backward()  # type: ignore[union-attr]
    for name, each in loss.named_parameters():
        torch.testing.assert_close(each.grad, wanted[name])
    torch.testing.assert_close(given["p"].grad, whole["p"].grad)
    for name, number in expected.terms.items():
        torch.testing.assert_close(sum(out.terms[name] for out in outs), number)
    weighted = [loss.terms(part, weighted=True, denominators=denominators) for part in parts]
    total = sum(sum(each.values()) for each in weighted)
    torch.testing.assert_close(total, expected.total)


def test_a_term_in_some_micro_batches_adds_its_regularizer_once() -> None:
    rare = {**learned(initial=0.5), "inputs": ["p", "rare"], "optional": True}
    loss = build(rare=rare, fit=fit_term()).double()
    first, second, third = (values(3, seed) for seed in range(3))
    for part in (first, third):
        part["rare"] = part["y"] + 1
    parts = [first, second, third]
    targets = [{key: part[key] for key in part if key != "p"} for part in parts]
    denominators = loss.denominators(targets)
    for part in parts:
        loss(part, denominators=denominators).total.backward()
    s = parameter(loss, "rare")
    p, y = (torch.cat([first[key], third[key]]) for key in ("p", "rare"))
    raw = nn.functional.mse_loss(p, y)
    assert s.grad is not None
    assert s.grad.item() == pytest.approx((1 - math.exp(-0.5) * raw).item(), rel=1e-12)


def test_one_graph_serves_every_value_of_the_parameter() -> None:
    loss = build(a=learned(initial=0.5), b=learned("kendall"), c=fit_term(weight=0.3)).double()
    twin = copy.deepcopy(loss)
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(loss, backend=counter, fullgraph=True)
    for number in (0.5, -1.0, 3.0):
        for each in (loss, twin):
            with torch.no_grad():
                parameter(each, "a").fill_(number)
            each.zero_grad()
        given, same = values(), values()
        found, expected = compiled(given), twin(same)
        torch.testing.assert_close(found.total, expected.total)
        assert list(found.terms) == list(expected.terms)
        for name, value in expected.terms.items():
            torch.testing.assert_close(found.terms[name], value)
            torch.testing.assert_close(found.weights[name], expected.weights[name])
        found.total.backward()
        expected.total.backward()
        torch.testing.assert_close(given["p"].grad, same["p"].grad)
        for name in ("a", "b"):
            torch.testing.assert_close(parameter(loss, name).grad, parameter(twin, name).grad)
    assert counter.frame_count == 1


def test_micro_batches_of_a_graph() -> None:
    loss = build(a={**learned(initial=0.5), "divide_by": {"rows": "y"}})
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    parts = [{"p": torch.rand(3), "y": torch.zeros(3)} for _ in range(2)]
    denominators = loss.denominators(parts)
    for part in parts:
        found, expected = (each(part, denominators=denominators) for each in (compiled, loss))
        torch.testing.assert_close(found.total, expected.total)
        assert found.terms["regularizer/a"].item() == 0.25


@pytest.mark.parametrize("name", ["training", "forward", "half", "_learned", "watch"])
def test_a_term_may_have_any_name(name: str) -> None:
    loss = build(**{name: learned(initial=1.0)})
    loss.train()
    assert list(loss.state_dict()) == [f"weighting.learned.{name}"]
    loss.eval().double()(values()).total.backward()
    assert parameter(loss, name).grad is not None


def test_the_key_of_a_term_in_a_group() -> None:
    loss = build(heads={"terms": {"seg": learned()}})
    assert list(loss.state_dict()) == ["weighting.learned.heads/seg"]
    out = loss(values())
    assert "regularizer/heads/seg" in out.log_dict()


@pytest.mark.parametrize("move", ["half", "bfloat16", "float", "double"])
def test_half_precision_keeps_the_parameter(move: str) -> None:
    loss = build(a=learned(initial=1 / 3))
    exact = torch.tensor([1 / 3])
    getattr(loss, move)()
    s = parameter(loss, "a")
    assert s.dtype == (torch.float64 if move == "double" else torch.float32)
    torch.testing.assert_close(s.detach().float(), exact, rtol=0, atol=0)
    assert isinstance(s, nn.Parameter)
    half = {"p": torch.ones(2, dtype=torch.bfloat16, requires_grad=True), "y": torch.zeros(2)}
    half["y"] = half["y"].bfloat16()
    total = loss(half).total
    assert total.dtype == torch.float32
    total.backward()
    assert s.grad is not None


def test_after_meta_a_reset_gives_the_initial_values() -> None:
    loss = build(a=learned(initial=2.0), b=learned()).to("meta").to_empty(device="cpu")
    for module in loss.modules():
        if isinstance(module, LearnedWeights):
            module.reset_parameters()
    assert [each.item() for each in loss.parameters()] == [2.0, 0.0]


def test_a_copy_learns_by_itself() -> None:
    loss = build(a=learned())
    file = io.BytesIO()
    torch.save(loss, file)
    file.seek(0)
    for twin in (copy.deepcopy(loss), torch.load(file, weights_only=False)):
        with torch.no_grad():
            parameter(twin, "a").fill_(3.0)
        assert parameter(loss, "a").item() == 0.0
        assert twin.weights["a"] == pytest.approx(math.exp(-3))


def test_a_checkpoint_goes_on_with_the_same_weight() -> None:
    loss, twin = build(a=learned(), b=fit_term()), build(a=learned(), b=fit_term())
    with torch.no_grad():
        parameter(loss, "a").fill_(1.25)
    twin.load_state_dict(loss.state_dict())
    assert twin(values()).weights["a"] == loss(values()).weights["a"]


def test_a_state_of_another_objective_is_refused_in_words() -> None:
    loss = build(a=learned())
    for other in (
        build(a=learned("kendall")),
        build(a=learned(), b=fit_term()),
        build(a=fit_term(weight=2)),
    ):
        with pytest.raises(StateError, match="the state's learned weights belong to another") as e:
            other.load_state_dict(loss.state_dict())
        assert "accept_state()" in str(e.value)


def test_an_accepted_state_takes_what_there_is() -> None:
    loss = build(a=learned(), b=learned())
    with torch.no_grad():
        parameter(loss, "a").fill_(1.5)
    other = build(a=learned("kendall"), c=learned(initial=0.75))
    other.accept_state()
    other.load_state_dict(loss.state_dict())
    assert (parameter(other, "a").item(), parameter(other, "c").item()) == (1.5, 0.75)


def test_a_state_without_learned_weights_leaves_the_initial_ones() -> None:
    loss = build(a=learned(initial=0.75))
    with pytest.warns(ConfigWarning, match="made under another objective"):
        loss.load_state_dict(build(a=fit_term()).state_dict())
    assert parameter(loss, "a").item() == 0.75


def test_a_parameter_that_nothing_trains_is_warned_of_once() -> None:
    loss = build(a=learned(), b=learned())
    for _ in range(100):
        loss.step()
    with torch.no_grad():
        parameter(loss, "b").add_(0.1)
    with pytest.warns(ConfigWarning, match=r"learned weight of 'a' has not changed in 100 calls"):
        loss.step()
    for _ in range(300):
        loss.step()


def test_a_parameter_that_is_trained_is_not_warned_of() -> None:
    loss = build(a=learned())
    for count in range(300):
        if count == 50:
            with torch.no_grad():
                parameter(loss, "a").data.add_(0.1)
        loss.step()


def test_a_loaded_state_begins_the_count_again() -> None:
    loss = build(a=learned())
    state = copy.deepcopy(loss.state_dict())
    state["weighting.learned.a"].fill_(1.0)
    for _ in range(90):
        loss.step()
    loss.load_state_dict(state)
    for _ in range(100):
        loss.step()
    with pytest.warns(ConfigWarning, match="has not changed"):
        loss.step()


def test_evaluation_does_not_count_steps() -> None:
    loss = build(a=learned()).eval()
    for _ in range(300):
        loss.step()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -1000.0])
def test_a_parameter_that_is_not_finite_is_named(number: float) -> None:
    loss = build(a=learned(), b=fit_term(weight=0.5))
    with torch.no_grad():
        parameter(loss, "a").fill_(number)
    with pytest.raises(NonFiniteError, match=r"(weight|regularizer) of term 'a'") as error:
        loss(values())
    assert error.value.term == "a"


def test_without_ranks_nothing_is_said_of_them() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(a=learned()).double()(values()).total.backward()


def test_gradients_of_terms_are_compared_with_the_current_weight() -> None:
    loss = build(a=learned(initial=1.0), b=fit_term()).double()
    given = values()
    found = lossreg.compare_gradients(loss, given, [given["p"]])
    assert list(found.norms) == ["a", "b"]
    assert (found.norms["a"] / found.norms["b"]).item() == pytest.approx(math.exp(-1.0))


def test_outside_its_time_a_term_adds_no_regularizer() -> None:
    late = {**learned(initial=0.7), "active": {"from_step": 1}}
    loss = build(late=late, fit=fit_term()).double()
    out = loss(values())
    assert out.terms["regularizer/late"] == 0
    torch.testing.assert_close(out.total.detach(), out.terms["fit"])
    loss.step()
    parts = [values(3, seed) for seed in range(2)]
    denominators = loss.denominators(parts)
    outs = [loss(part, denominators=denominators) for part in parts]
    assert sum(out.terms["regularizer/late"].item() for out in outs) == pytest.approx(0.7)
