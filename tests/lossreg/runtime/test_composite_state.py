"""What a composite learns, logs and keeps, in every precision."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch

import lossreg
from composites import LEARNED, build, fit_term, step
from fake_distributions import Site, plugin
from properties import assert_bit_identical


@pytest.fixture
def learned(site: Site) -> lossreg.CompositeLoss:
    """A composite with one constant term and one with a parameter."""
    source = plugin("learned", build="Learned()", head=LEARNED)
    site.add("acme", {"learned": "acme_learned"}, {"acme_learned": source})
    return build(fit=fit_term(), own={"type": "learned", "weight": 0.5, "inputs": ["p", "y"]})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_moving_to_a_dtype_does_not_round_the_weights(dtype: torch.dtype) -> None:
    loss = build(a=fit_term(weight=0.1), b=fit_term(weight=0.7)).to(dtype)
    exact = torch.tensor([0.1, 0.7])
    for _ in range(2):
        assert torch.equal(torch.stack(list(loss(step()).weights.values())), exact)
    values = {"p": torch.zeros(2, dtype=torch.float64), "y": torch.ones(2, dtype=torch.float64)}
    assert loss(values).weights["a"].item() == 0.1


@pytest.mark.parametrize("how", ["eager", "compiled"])
@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("place", [0, 1, -1])
def test_one_term_in_float64_makes_a_total_in_float64(count: int, place: int, how: str) -> None:
    loss = build(**{f"t{i}": fit_term(weight=0.1, inputs=[f"p{i}", f"y{i}"]) for i in range(count)})
    if how == "compiled":
        torch._dynamo.reset()
        loss.compile(backend="aot_eager", fullgraph=True)
    values, expected = {}, 0.0
    for i in range(count):
        dtype = torch.float64 if i == place % count else torch.float32
        values[f"p{i}"] = torch.tensor([1 / 3], dtype=dtype, requires_grad=True)
        values[f"y{i}"] = torch.zeros(1, dtype=dtype)
        expected += 0.1 * values[f"p{i}"].square().item()
    out = loss(values)
    assert out.total.dtype == torch.float64
    assert abs(out.total.item() - expected) <= 4 * torch.finfo(torch.float64).eps * expected
    assert all(weight.item() == 0.1 for weight in out.weights.values())


def test_terms_of_half_precision_are_summed_in_float32() -> None:
    values = {"p": torch.tensor([1.5], dtype=torch.bfloat16), "y": torch.zeros(1).bfloat16()}
    for terms in (["a"], ["a", "b", "c"]):
        out = build(**{name: fit_term(weight=0.1) for name in terms})(values)
        assert out.total.dtype == torch.float32
        assert out.total.item() == pytest.approx(len(terms) * 0.225, rel=1e-6)


def test_weights_follow_the_terms_to_their_device() -> None:
    loss = build(a=fit_term(weight=0.1), b=fit_term(weight=0.7))
    out = loss({name: value.to("meta") for name, value in step().items()})
    assert out.total.device.type == out.weights["a"].device.type == "meta"
    assert loss(step()).weights["a"].item() == pytest.approx(0.1)


def test_what_is_logged_is_detached_and_a_copy() -> None:
    loss = build(a=fit_term(weight=0.5), b=fit_term())
    out = loss(step())
    assert out.total.requires_grad
    assert not any(each.requires_grad for each in (*out.terms.values(), *out.weights.values()))
    out.weights["a"].fill_(9)
    out.terms["a"].fill_(9)
    out.total.backward()
    assert loss(step()).weights["a"].item() == 0.5


def test_the_log_has_flat_keys() -> None:
    logged = build(a=fit_term(weight=0.5), b=fit_term())(step()).log_dict("train/")
    assert {name: value.item() for name, value in logged.items()} == {
        "train/loss/total": 3.0,
        "train/loss/a": 2.0,
        "train/weighted/a": 1.0,
        "train/weight/a": 0.5,
        "train/loss/b": 2.0,
        "train/weighted/b": 2.0,
        "train/weight/b": 1.0,
    }
    assert not any(value.requires_grad or value.dim() for value in logged.values())
    assert "loss/total" in build(a=fit_term())(step()).log_dict()


def test_a_loss_with_parameters_is_trained_with_them(learned: lossreg.CompositeLoss) -> None:
    ((name, scale),) = learned.named_parameters()
    assert name == "terms.own.scale"
    learned(step()).total.backward()
    # d/ds 0.5 * mean(s * (0, 2)) = 0.5
    assert scale.grad.item() == 0.5


def test_it_copies_pickles_and_loads(learned: lossreg.CompositeLoss) -> None:
    with torch.no_grad():
        dict(learned.named_parameters())["terms.own.scale"].fill_(5.0)
    expected = learned(step()).total.detach()
    for twin in (copy.deepcopy(learned), pickle.loads(pickle.dumps(learned))):
        assert_bit_identical(twin(step()).total.detach(), expected)
    file = io.BytesIO()
    torch.save(learned.state_dict(), file)
    file.seek(0)
    fresh = build(fit=fit_term(), own={"type": "learned", "weight": 0.5, "inputs": ["p", "y"]})
    fresh.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert_bit_identical(fresh(step()).total.detach(), expected)


def test_evaluating_moves_nothing(learned: lossreg.CompositeLoss) -> None:
    before = copy.deepcopy(learned.state_dict())
    expected = learned(step()).total
    learned.eval()
    assert not any(module.training for module in learned.modules())
    assert torch.equal(learned(step()).total, expected)
    learned.train()
    assert all(module.training for module in learned.modules())
    assert learned.state_dict() == before


@pytest.mark.usefixtures("learned")
def test_two_terms_of_one_loss_are_two_modules() -> None:
    term = {"type": "learned", "inputs": ["p", "y"]}
    assert len(list(build(a=term, b=term).parameters())) == 2
