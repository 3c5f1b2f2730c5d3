"""Optional inputs, and losses that are called by keyword: as the module is called by hand."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossreg
from lossreg.errors import ConfigError, InputError
from made_up import Reduced, a_loss, an_input, one_graph, registry_of

DOUBLE = torch.float64


class Scaled(nn.Module):
    """A squared error over a variance, or against a bias; both may be left out."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(
        self,
        input: Tensor,  # noqa: A002
        target: Tensor,
        var: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        error = input - target if bias is None else input + bias - target
        loss = error**2 if var is None else error**2 / var + var.log()
        if self.reduction == "none":
            return loss
        return loss.mean() if self.reduction == "mean" else loss.sum()


class ByKeyword(Scaled):
    def forward(  # type: ignore[override]
        self,
        *,
        input: Tensor,  # noqa: A002
        target: Tensor,
        var: Tensor | None = None,
    ) -> Tensor:
        return super().forward(input, target, var)


SCALED = a_loss(
    Scaled,
    an_input("input", gradient=True),
    an_input("target", counted=True),
    an_input("var", domain="non-negative", gradient=True, optional=True, fill=1.0),
    an_input("bias", "...", gradient=True, optional=True),
    config=Reduced,
    unreduced="N *",
)
KEYWORD = a_loss(
    ByKeyword,
    *SCALED.inputs[:3],
    name="by_keyword",
    config=Reduced,
    unreduced="N *",
    call="keyword",
)
REGISTRY = registry_of(SCALED, KEYWORD)


def numbers(*shape: int, seed: int = 0, low: float = -1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(*shape, generator=generator, dtype=DOUBLE) * 2 + low
    return values.requires_grad_()


def batch(rows: int = 6) -> dict[str, Any]:
    values = {"p": numbers(rows, 3), "v": numbers(rows, 3, seed=2, low=0.5)}
    return {**values, "b": numbers(3, seed=3), "y": numbers(rows, 3, seed=1).detach()}


def build(inputs: Any, name: str = "made_up", **keys: Any) -> lossreg.CompositeLoss:
    term = {"type": name, "inputs": inputs, **keys}
    return lossreg.build({"terms": {"t": term}}, registry=REGISTRY)


FORMS: dict[str, tuple[Any, dict[str, str]]] = {
    "none, by name": ({"input": "p", "target": "y"}, {}),
    "none, by position": (["p", "y"], {}),
    "the first": (["p", "y", "v"], {"var": "v"}),
    "both": (["p", "y", "v", "b"], {"var": "v", "bias": "b"}),
    "the second only": ({"input": "p", "target": "y", "bias": "b"}, {"bias": "b"}),
}


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize(("inputs", "optional"), FORMS.values(), ids=FORMS)
def test_what_is_left_out_is_not_passed(
    inputs: Any, optional: dict[str, str], compiles: bool
) -> None:
    values, twins = batch(), batch()
    loss = build(inputs)
    forward = one_graph(loss) if compiles else loss
    actual = forward(values).total
    extra = {name: twins[path] for name, path in optional.items()}
    expected = Scaled()(twins["p"], twins["y"], **extra)
    torch.testing.assert_close(actual, expected, rtol=1e-14, atol=0)
    actual.backward()
    expected.backward()
    for name in ("p", "v", "b"):
        assert (values[name].grad is None) == (twins[name].grad is None)
        if twins[name].grad is not None:
            torch.testing.assert_close(values[name].grad, twins[name].grad, rtol=1e-14, atol=0)


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize("names", [("input", "target"), ("input", "target", "var")])
def test_a_loss_may_take_its_inputs_by_keyword_only(names: tuple[str, ...], compiles: bool) -> None:
    paths = {"input": "p", "target": "y", "var": "v"}
    loss, values = build({name: paths[name] for name in names}, "by_keyword"), batch()
    forward = one_graph(loss) if compiles else loss
    expected = ByKeyword()(**{name: values[paths[name]] for name in names})
    torch.testing.assert_close(forward(values).total, expected, rtol=1e-14, atol=0)


def test_without_inputs_only_those_that_every_term_needs_are_looked_up() -> None:
    values = batch()
    named = {"input": values["p"], "target": values["y"], "var": "not a tensor"}
    loss = lossreg.build({"terms": {"t": {"type": "made_up"}}}, registry=REGISTRY)
    torch.testing.assert_close(loss(named).total, Scaled()(values["p"], values["y"]))


def test_what_is_written_is_needed_in_each_batch() -> None:
    loss, values = build(["p", "y", "v"]), batch()
    del values["v"]
    with pytest.raises(InputError, match=r"input 'var' \(path 'v'\): there is no 'v'"):
        loss(values)
    loss = build(["p", "y", "v"], optional=True)
    with pytest.raises(InputError, match="every term is optional"):
        loss(values)


@pytest.mark.parametrize("name", ["made_up", "by_keyword"])
def test_masks_and_weights_reduce_with_the_inputs_that_there_are(name: str) -> None:
    values = batch()
    keep = torch.tensor([True, False, True, True, False, True])
    soiled = {**values, "m": keep, "w": torch.arange(6.0, dtype=DOUBLE)}
    for path in ("p", "v"):
        soiled[path] = values[path].detach().clone()
        soiled[path][~keep] = torch.nan
    entries = Scaled("none")(values["p"], values["y"], values["v"])
    loss = build({"input": "p", "target": "y", "var": "v"}, name, mask="m")
    torch.testing.assert_close(loss(soiled).total, entries[keep].mean())
    loss = build(["p", "y", "v"], name, sample_weight="w", divide_by="weights")
    weight = soiled["w"][:, None].expand(6, 3)
    torch.testing.assert_close(
        loss({**values, "w": soiled["w"]}).total, (entries * weight).sum() / weight.sum()
    )


def test_an_optional_input_of_unknown_shape_is_not_filled() -> None:
    values = batch()
    keep = torch.tensor([True, False, True, True, False, True])
    loss = build({"input": "p", "target": "y", "bias": "b"}, mask="m")
    expected = Scaled("none")(values["p"], values["y"], bias=values["b"])[keep].mean()
    torch.testing.assert_close(loss({**values, "m": keep}).total, expected)


@pytest.mark.parametrize("inputs", [["p", "y"], ["p", "y", "v"]])
def test_micro_batches_add_up(inputs: list[str]) -> None:
    values, whole, loss = batch(7), batch(7), build(inputs)
    parts = [{name: values[name][rows] for name in "pyv"} for rows in (slice(0, 2), slice(2, 7))]
    denominators = loss.denominators([{"y": part["y"]} for part in parts])
    total = sum(loss(part, denominators=denominators).total for part in parts)
    expected = Scaled()(*(whole[name] for name in inputs))
    torch.testing.assert_close(total, expected, rtol=1e-13, atol=0)
    assert isinstance(total, Tensor)
    total.backward()
    expected.backward()
    torch.testing.assert_close(values["p"].grad, whole["p"].grad, rtol=1e-13, atol=0)


def test_an_optional_input_is_checked_as_any_other() -> None:
    values = batch()
    with pytest.raises(InputError, match=r"'var' \(path 'v'\): expected a shape that fits"):
        build(["p", "y", "v"])({**values, "v": values["v"][:, :2]})
    with pytest.raises(InputError, match=r"'var' \(path 'v'\): expected no negative value"):
        build(["p", "y", "v"])({**values, "v": -values["v"]})


def test_a_gradient_stops_at_an_optional_input() -> None:
    values = batch()
    build(["p", "y", "v"], detach=["var"])(values).total.backward()
    assert values["p"].grad is not None
    assert values["v"].grad is None


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "too few": ({"inputs": ["p"]}, "LR106.*expected 2 to 4 paths for input, target, var, bias"),
    "too many": ({"inputs": [*"pyvbw"]}, "LR106.*expected 2 to 4 paths .* found 5"),
    "one is missing": ({"inputs": {"input": "p", "var": "v"}}, "LR102.*'target'.* is missing"),
    "misspelt": (
        {"inputs": {"input": "p", "target": "y", "biass": "v"}},
        "LR106.*unknown input of 'made_up'; did you mean 'bias'",
    ),
    "detached, but left out": (
        {"inputs": ["p", "y"], "detach": ["var"]},
        "LR106.*'var' is not among the term's inputs, so it has no gradient to stop; write it",
    ),
}


@pytest.mark.parametrize(("term", "message"), WRONG.values(), ids=WRONG)
def test_wrong_inputs_are_located(term: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        build(**{"inputs": None, **term})
    (diagnostic,) = raised.value.diagnostics
    assert re.search(message, f"{diagnostic.code} {diagnostic.message}")


def test_a_definition_needs_an_input_and_a_known_way_to_be_called() -> None:
    with pytest.raises(ValueError, match="must have an input that is not optional"):
        a_loss(Scaled, an_input("input", optional=True))
    with pytest.raises(ValueError, match="call must be 'position' or 'keyword', not 'names'"):
        a_loss(Scaled, an_input("input"), call="names")
