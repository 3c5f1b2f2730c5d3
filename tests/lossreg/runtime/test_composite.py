"""A composite is the weighted sum of its terms, whatever stands in one."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossreg
from composites import LEARNED, build, fit_term, step
from fake_distributions import Site, plugin
from lossreg.errors import ConfigError, ConfigWarning, InputError
from properties import assert_bit_identical

ORACLES = {
    "fit": ("mse", {}, nn.MSELoss(), 1.0),
    "abs": ("l1", {"reduction": "sum"}, nn.L1Loss(reduction="sum"), 0.3),
    "smooth": ("smooth_l1", {"beta": 0.5}, nn.SmoothL1Loss(beta=0.5), 1e-3),
    "margin": ("soft_margin", {}, nn.SoftMarginLoss(), 0.7),
    "robust": ("smooth_l1", {"beta": 2.0}, nn.SmoothL1Loss(beta=2.0), 12.1),
}


def one_term_each(count: int, **weights: float) -> lossreg.CompositeLoss:
    """The first oracles as a composite; each reads `p_<name>` and `y_<name>`."""
    return build(
        **{
            name: {
                "type": kind,
                "weight": weights.get(name, weight),
                "params": params,
                "inputs": [f"p_{name}", f"y_{name}"],
            }
            for name, (kind, params, _, weight) in list(ORACLES.items())[:count]
        }
    )


def batch(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = {}
    for name in ORACLES:
        p = torch.randn(4, 3, generator=generator, dtype=torch.float64).to(dtype)
        values[f"p_{name}"] = p.requires_grad_()
        y = torch.randn(4, 3, generator=generator, dtype=torch.float64).to(dtype)
        values[f"y_{name}"] = y.sign() if name == "margin" else y
    return values


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_it_equals_the_sum_written_by_hand(count: int, dtype: torch.dtype) -> None:
    values, twins = batch(dtype), batch(dtype)
    out = one_term_each(count)(values)
    out.total.backward()

    expected = torch.zeros((), dtype=dtype)
    size = 0.0
    for name, (_, _, oracle, weight) in list(ORACLES.items())[:count]:
        raw = oracle(twins[f"p_{name}"], twins[f"y_{name}"])
        expected = expected + weight * raw
        size += abs(weight * raw.item())
        assert_bit_identical(out.terms[name], raw.detach())
        assert_bit_identical(out.weights[name], torch.tensor(weight, dtype=dtype))
    expected.backward()

    assert out.total.dtype == dtype
    assert out.total.shape == ()
    assert abs(out.total - expected) <= count * torch.finfo(dtype).eps * size
    for name in list(ORACLES)[:count]:
        found, wanted = values[f"p_{name}"].grad, twins[f"p_{name}"].grad
        assert found is not None
        assert wanted is not None
        assert_bit_identical(found, wanted)


def test_each_term_attached_has_the_gradient_of_its_oracle() -> None:
    values, twins = batch(), batch()
    raw = one_term_each(5).terms(values)
    assert list(raw) == list(ORACLES)
    for name, (_, _, oracle, _) in ORACLES.items():
        raw[name].backward()
        oracle(twins[f"p_{name}"], twins[f"y_{name}"]).backward()
        assert_bit_identical(values[f"p_{name}"].grad, twins[f"p_{name}"].grad)


def test_terms_may_share_their_tensors() -> None:
    values = step()
    loss = build(a=fit_term(weight=2.0), b={**fit_term(), "type": "l1"}, c=fit_term(weight=0.5))
    out = loss(values)
    out.total.backward()
    # mse = (0 + 4) / 2 = 2, l1 = (0 + 2) / 2 = 1; d mse = (0, 2), d l1 = (0, 1/2)
    assert out.total.item() == 2 * 2 + 1 + 0.5 * 2
    assert values["p"].grad.tolist() == [0.0, 2 * 2 + 0.5 + 0.5 * 2]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("others", [1, 2, 4])
def test_a_weight_of_0_leaves_the_term_out_of_the_graph(others: int, first: bool) -> None:
    values = batch()
    values["p_smooth"].data.fill_(float("nan"))
    weights = {name: 2.0 + i for i, name in enumerate(list(ORACLES)[:others])}
    weights.pop("smooth", None)
    order = {"smooth": 0.0, **weights} if first else {**weights, "smooth": 0.0}
    loss = build(
        **{
            name: {"type": "l1", "weight": weight, "inputs": [f"p_{name}", f"y_{name}"]}
            for name, weight in order.items()
        }
    )
    out = loss(values)
    out.total.backward()

    expected = sum(
        weight * nn.L1Loss()(values[f"p_{name}"], values[f"y_{name}"]).item()
        for name, weight in weights.items()
    )
    assert out.total.item() == pytest.approx(expected, rel=1e-6)
    assert list(out.terms) == list(order)
    assert out.terms["smooth"].isnan()
    assert out.weights["smooth"] == 0
    assert values["p_smooth"].grad is None
    (gradient,) = torch.autograd.grad(loss.terms(values)["smooth"], values["p_smooth"])
    assert gradient.shape == values["p_smooth"].shape
    assert loss.terms(values, weighted=True)["smooth"] == 0
    for name, weight in weights.items():
        # Each of the 12 entries is weighted by its sign over 12.
        assert values[f"p_{name}"].grad.abs().sum().item() == pytest.approx(weight)


def test_with_weights_of_0_only_the_total_is_a_constant_0() -> None:
    with pytest.warns(ConfigWarning):
        loss = build(a=fit_term(weight=0), b=fit_term(weight=0.0))
    out = loss(step())
    assert_bit_identical(out.total, torch.tensor(0.0))
    assert not out.total.requires_grad
    assert {name: value.item() for name, value in out.terms.items()} == {"a": 2.0, "b": 2.0}


def test_a_term_of_negative_weight_is_maximised() -> None:
    values = step()
    with pytest.warns(ConfigWarning):
        loss = build(a=fit_term(weight=-0.5))
    out = loss(values)
    out.total.backward()
    assert out.total.item() == -1.0
    assert values["p"].grad.tolist() == [0.0, -1.0]


def test_a_disabled_term_is_not_there() -> None:
    loss = build(a=fit_term(), b={**fit_term(), "enabled": False, "inputs": ["nowhere", "y"]})
    out = loss(step())
    assert list(out.terms) == list(out.weights) == list(loss.terms.names) == ["a"]
    assert [name for name, _ in loss.terms.named_children()] == ["a"]


def test_values_come_as_keywords_as_a_mapping_or_as_an_object() -> None:
    loss, values = build(a=fit_term()), step()
    for out in (loss(**values), loss(values), loss(SimpleNamespace(**values))):
        assert out.total.item() == 2.0


def test_values_and_keywords_at_once_are_an_error() -> None:
    with pytest.raises(TypeError, match="as one mapping or as keywords, not both"):
        build(a=fit_term())(step(), p=torch.ones(2))


def test_a_tensor_may_be_called_values() -> None:
    loss = build(a=fit_term(inputs=["tensors", "values"]))
    assert loss(tensors=torch.zeros(2), values=torch.ones(2)).total.item() == 1.0


ATTRIBUTES = ["forward", "keys", "type", "half", "training", "names", "_modules", "0", "a-b"]


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_term_may_have_the_name_of_an_attribute(name: str, site: Site) -> None:
    source = plugin("learned", build="Learned()", head=LEARNED)
    site.add("acme", {"learned": "acme_learned"}, {"acme_learned": source})
    loss = build(**{name: {"type": "learned", "inputs": ["p", "y"]}})
    # scale * |p - y| = 2 * (0, 2), whose mean is 2
    assert loss(step()).total.item() == 2.0
    assert list(loss.state_dict()) == [f"terms.{name}.scale"]
    loss.load_state_dict({f"terms.{name}.scale": torch.tensor(3.0)})
    for twin in (loss, copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert twin.eval()(step()).terms[name].item() == 3.0
    loss.train().half().float()
    assert name in repr(loss)


def test_constants_add_nothing_to_the_state() -> None:
    term = {
        "type": "cross_entropy",
        "weight": 0.1,
        "inputs": ["logits", "labels"],
        "params": {"weight": [1.0, 3.0]},
    }
    assert list(build(a=term, b=fit_term()).state_dict()) == []
    assert list(lossreg.create("cross_entropy", weight=[1.0, 3.0]).state_dict()) == ["weight"]


def test_hooks_of_a_terms_module_run() -> None:
    loss = build(a=fit_term())
    seen: list[float] = []
    loss.get_submodule("terms.a").register_forward_hook(
        lambda _module, _arguments, value: seen.append(value.item())
    )
    loss(step())
    assert seen == [2.0]


def test_a_missing_tensor_is_an_error_of_its_term() -> None:
    with pytest.raises(InputError, match=r"term 'a', input 'target'.*there is no 'y'") as raised:
        build(a=fit_term())(p=torch.ones(2))
    assert (raised.value.term, raised.value.argument, raised.value.path) == ("a", "target", "y")


@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_what_a_loss_refuses_is_an_error_of_its_term(weight: float) -> None:
    term = {"type": "cross_entropy", "weight": weight, "inputs": ["logits", "labels"]}
    loss = build(fine=fit_term(), a=term)
    with pytest.raises(InputError) as raised:
        loss(step(logits=torch.ones(2, 3), labels=torch.tensor([0, 1, 2, 0])))
    assert raised.value.term == "a"
    assert str(raised.value) == (
        "term 'a', 'target' (path 'labels'): expected a shape that fits (2, 3) of 'input', "
        "found (4,); torch would broadcast or refuse it"
    )


def test_without_checks_what_a_loss_refuses_is_an_error_of_its_term() -> None:
    term = {"type": "cross_entropy", "inputs": ["logits", "labels"]}
    loss = lossreg.build({"checks": "never", "terms": {"a": term}})
    with pytest.raises(InputError) as raised:
        loss(step(logits=torch.ones(2, 3), labels=torch.tensor([0, 1, 2, 0])))
    assert raised.value.term == "a"
    owner = f"lossreg {version('lossreg')}, lossreg_losses.cross_entropy"
    assert str(raised.value).startswith(f"term 'a': cross_entropy ({owner}) refused its inputs: ")
    assert str(raised.value).endswith(
        "they were 'input' from 'logits' (2, 3) torch.float32; "
        "'target' from 'labels' (4,) torch.int64"
    )


def test_running_out_of_memory_is_no_fault_of_the_tensors(site: Site) -> None:
    head = """
        import torch


        class Huge(torch.nn.Module):
            def forward(self, input, target):
                raise torch.OutOfMemoryError("too much")
    """
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": plugin("odd", build="Huge()", head=head)})
    with pytest.raises(torch.OutOfMemoryError):
        build(a={"type": "odd", "inputs": ["p", "y"]})(step())


def test_it_shows_terms_and_weights() -> None:
    assert "a=0.5, b=1" in repr(build(a=fit_term(weight=0.5), b=fit_term()))


def test_a_groups_denominator_needs_losses_with_a_sum(site: Site) -> None:
    site.add("acme", {"whole": "acme_whole"}, {"acme_whole": plugin("whole")})
    term = {"type": "whole", "inputs": ["p", "y"]}
    with pytest.raises(ConfigError, match=r"'whole' has no sum") as caught:
        build(group={"divide_by": {"number": "n"}, "terms": {"one": term, "other": fit_term()}})
    assert [(each.code, each.path) for each in caught.value.diagnostics] == [
        ("LR213", "terms.group.terms.one")
    ]


def test_a_mask_that_keeps_everything_does_not_change_a_given_denominators_value() -> None:
    generator = torch.Generator().manual_seed(0)
    values = {
        "log_probs": torch.randn(12, 3, 5, generator=generator).log_softmax(-1),
        "targets": torch.randint(1, 5, (3, 4), generator=generator),
        "input_lengths": torch.full((3,), 12),
        "target_lengths": torch.tensor([4, 2, 3]),
        "all": torch.ones(3),
        "n": 7.0,
    }
    term = {"type": "ctc", "divide_by": {"number": "n"}}
    plain, masked = build(term=term)(values), build(term={**term, "mask": "all"})(values)
    assert_bit_identical(plain.total, masked.total)
    # The mean is of each sequence's loss over its length, divided by 3; here, by 7.
    del values["all"], values["n"]
    mean = build(term={"type": "ctc"})(values).total
    torch.testing.assert_close(plain.total, mean * 3 / 7)


def test_a_masked_entrys_sample_weight_may_be_nan() -> None:
    values = step(m=torch.tensor([True, False]), w=torch.tensor([2.0, torch.nan]))
    values["p"] = torch.tensor([3.0, 5.0], requires_grad=True)
    out = build(fit=fit_term(mask="m", sample_weight="w", divide_by="weights"))(values)
    out.total.backward()
    assert out.total == 4
    assert values["p"].grad.tolist() == [4.0, 0.0]


def test_none_is_a_missing_tensor() -> None:
    loss = build(fit=fit_term(), other={**fit_term(), "inputs": ["q", "y"], "optional": True})
    assert loss(step(q=None)).total == 2
    with pytest.raises(InputError, match="expected a tensor at 'p', found a NoneType"):
        loss(step(p=None))


@pytest.mark.parametrize("terms", [1, 2, 3, 4])
def test_a_validation_step_without_an_optional_tensor_does_not_spoil_training(terms: int) -> None:
    each = {f"t{index}": fit_term(weight=0.5) for index in range(terms)}
    loss = build(**each, other=fit_term(inputs=["q", "y"], optional=True))
    with torch.inference_mode():
        loss(step())
    for values in (step(), step(q=torch.ones(2))):
        out = loss(values)
        out.total.backward()
        assert out.total == terms
        assert values["p"].grad.tolist() == [0.0, terms]


@pytest.mark.parametrize("terms", [1, 2, 3])
def test_a_first_step_in_a_function_transform_leaves_nothing_behind(terms: int) -> None:
    each = {f"t{index}": fit_term(weight=0.5) for index in range(terms)}
    loss = build(**each, other=fit_term(inputs=["q", "y"], optional=True))
    given = step()

    def total(p: Tensor) -> Tensor:
        return loss({**given, "p": p}).total

    p = given["p"].detach()
    for _ in range(2):
        hessian = torch.func.hessian(total)(p)
        assert hessian.tolist() == [[0.5 * terms, 0.0], [0.0, 0.5 * terms]]
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert twin(given).total == terms


def test_a_nan_in_a_weight_or_a_denominator_is_shown() -> None:
    loss = lossreg.build(
        {
            "checks": "never",
            "terms": {"fit": fit_term(sample_weight="w", divide_by={"number": "n"})},
        }
    )
    with pytest.raises(lossreg.NonFiniteError, match=r"'sample_weight' at 'w': .* 1 nan") as caught:
        loss(step(w=torch.tensor([1.0, torch.nan]), n=3))
    assert "'divide_by' at 'n': 3" in str(caught.value)


HABITS: dict[str, tuple[Callable[[lossreg.CompositeLoss, dict[str, Tensor]], Any], str]] = {
    "out.backward()": (lambda loss, v: loss(v).backward(), "write out.total.backward"),
    "out.item()": (lambda loss, v: loss(v).item(), "write out.total.item"),
    "out['total']": (lambda loss, v: loss(v)["total"], "write out.total"),
    "out['fit']": (lambda loss, v: loss(v)["fit"], r"write out.terms\['fit'\]"),
    "loss(p, y)": (lambda loss, v: loss(v["p"], v["y"]), "tensors by name"),
    "loss(p)": (lambda loss, v: loss(v["p"]), "tensors by name"),
}


@pytest.mark.parametrize(("written", "remedy"), HABITS.values(), ids=HABITS)
def test_what_anyone_writes_first_is_answered_with_what_to_write(
    written: Callable[[lossreg.CompositeLoss, dict[str, Tensor]], Any], remedy: str
) -> None:
    loss = lossreg.build({"terms": {"fit": {"type": "mse", "inputs": ["p", "y"]}}})
    with pytest.raises((AttributeError, TypeError), match=remedy):
        written(loss, {"p": torch.zeros(2, requires_grad=True), "y": torch.ones(2)})
