"""Inputs that are lists of tensors, or numbers: as the module is called by hand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

import lossreg
from lossreg.config import examine
from lossreg.errors import ConfigError, InputError
from made_up import a_loss, an_input, one_graph, registry_of

if TYPE_CHECKING:
    from collections.abc import Sequence

DOUBLE = torch.float64


class Levels(nn.Module):
    """Deep supervision: the mean over levels, each against its own target or against one."""

    def forward(self, levels: Sequence[Tensor], target: Tensor, scale: float = 1.0) -> Tensor:
        losses = [(level.mean(-1) - target).abs().mean() for level in levels]
        return scale * torch.stack(losses).mean()


class OnlyLists(nn.Module):
    def forward(self, levels: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
        pairs = zip(levels, targets, strict=False)
        return torch.stack([((level - target) ** 2).mean() for level, target in pairs]).sum()


class Warmed(nn.Module):
    """As DINO: the teacher's temperature falls with the epoch, and the centre moves."""

    center: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(3, dtype=DOUBLE))

    def forward(self, student: Tensor, teacher: Tensor, epoch: float | Tensor) -> Tensor:
        temperature = 0.04 + 0.01 * epoch
        targets = ((teacher - self.center) / temperature).softmax(-1).detach()
        self.center = 0.9 * self.center + 0.1 * teacher.detach().mean(0)
        return -(targets * (student / 0.1).log_softmax(-1)).sum(-1).mean()


LEVELS = a_loss(
    Levels,
    an_input("levels", "N *", gradient=True, holds="list"),
    an_input("target", "N", counted=True),
    an_input("scale", "...", holds="number", domain="non-negative", optional=True),
    name="levels",
)
ONLY = a_loss(
    OnlyLists,
    an_input("levels", "N C", gradient=True, holds="list"),
    an_input("targets", "N C", domain="probability", holds="list"),
    name="only_lists",
)
WARMED = a_loss(
    Warmed,
    an_input("student", "N C", gradient=True),
    an_input("teacher", "N C"),
    an_input("epoch", dtype="int", holds="number"),
    name="warmed",
)
REGISTRY = registry_of(LEVELS, ONLY, WARMED)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=DOUBLE).requires_grad_()


def build(kind: str, inputs: Any, **keys: Any) -> lossreg.CompositeLoss:
    config = {name: keys.pop(name) for name in ("derive", "frozen") if name in keys}
    term = {"type": kind, "inputs": inputs, **keys}
    return lossreg.build({"terms": {"t": term}, **config}, registry=REGISTRY)


def batch() -> dict[str, Any]:
    levels = [numbers(4, 3), numbers(4, 5, seed=1), numbers(4, 2, seed=2)]
    return {
        "out": {"levels": levels},
        "all": numbers(3, 4, 6, seed=4),
        "y": numbers(4, seed=3).detach(),
        "s": 2,
    }


LISTS: dict[str, tuple[Any, Any]] = {
    "at a path": ("out.levels", lambda values: values["out"]["levels"]),
    "of paths": (
        ["out.levels[2]", {"from": "out.levels[0]", "apply": [{"mul": 2}]}],
        lambda values: [values["out"]["levels"][2], 2 * values["out"]["levels"][0]],
    ),
    "of one path": (["out.levels[1]"], lambda values: values["out"]["levels"][1:2]),
    "from a tensor": ({"from": "all", "apply": ["unbind"]}, lambda values: values["all"].unbind()),
}
SCALES: dict[str, tuple[Any, float | None]] = {
    "left out": (None, None),
    "a path": ("s", 2),
    "a constant": ({"constant": 0.5}, 0.5),
    "of a tensor": ({"from": "y", "apply": ["sum"]}, None),
}


def leaves(values: dict[str, Any]) -> list[Tensor]:
    return [*values["out"]["levels"], values["all"]]


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("form", LISTS)
def test_a_list_and_a_number_reach_the_loss(form: str, scale: str, compiles: bool) -> None:
    (written, taken), (path, factor) = LISTS[form], SCALES[scale]
    inputs = {"levels": written, "target": "y"}
    loss = build("levels", inputs if path is None else {**inputs, "scale": path})
    forward = one_graph(loss) if compiles else loss
    values, twins = batch(), batch()
    actual = forward(values).total
    if scale == "of a tensor":
        factor = twins["y"].sum()
    extra = () if factor is None else (factor,)
    expected = Levels()(taken(twins), twins["y"], *extra)
    torch.testing.assert_close(actual, expected, rtol=1e-14, atol=0)
    actual.backward()
    expected.backward()
    for leaf, twin in zip(leaves(values), leaves(twins), strict=True):
        assert (leaf.grad is None) == (twin.grad is None)
        if twin.grad is not None:
            torch.testing.assert_close(leaf.grad, twin.grad, rtol=1e-14, atol=0)


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize("make", [int, torch.tensor], ids=["python", "0-d"])
def test_an_epoch_is_the_current_one(make: Any, compiles: bool) -> None:
    loss, module = build("warmed", ["s", "t", "epoch"]).double(), Warmed()
    forward = one_graph(loss) if compiles else loss
    for epoch in range(4):
        student, teacher = numbers(5, 3, seed=epoch), numbers(5, 3, seed=10 + epoch).detach()
        expected = module(student, teacher, make(epoch))
        actual = forward({"s": student, "t": teacher, "epoch": make(epoch)}).total
        torch.testing.assert_close(actual, expected, rtol=1e-13, atol=0)
        wanted = torch.autograd.grad(expected, student)[0]
        torch.testing.assert_close(
            torch.autograd.grad(actual, student)[0], wanted, rtol=1e-13, atol=0
        )


def test_a_constant_number_may_follow_a_schedule() -> None:
    ramp = {"schedule": "linear", "start": 1.0, "end": 3.0, "steps": 2}
    loss = build("levels", {"levels": "out.levels", "target": "y", "scale": {"constant": ramp}})
    values = batch()
    plain = Levels()(values["out"]["levels"], values["y"])
    for factor in (1.0, 2.0, 3.0):
        torch.testing.assert_close(loss(values).total, plain * factor)
        loss.step()


def test_a_loss_of_lists_only() -> None:
    loss = build("only_lists", ["a", "b"])
    values = {"a": [numbers(2, 3), numbers(4, 3)], "b": [numbers(2, 3), numbers(4, 3, seed=1)]}
    values["b"] = [tensor.detach() for tensor in values["b"]]
    torch.testing.assert_close(loss(values).total, OnlyLists()(values["a"], values["b"]))
    with pytest.raises(InputError, match=r"'targets' .*: expected probabilities .* 3.* at \[1\]"):
        build("only_lists", ["a", "b"])({**values, "b": [values["b"][0], 3 + values["b"][1]]})


@pytest.mark.parametrize(
    "keys",
    [{"detach": ["levels"]}, {"frozen": ["out"]}, {"frozen": ["out"], "detach": ["levels"]}],
    ids=["detach", "frozen", "both"],
)
@pytest.mark.parametrize("form", ["at a path", "of paths"])
def test_a_gradient_stops_at_a_list(form: str, keys: dict[str, Any]) -> None:
    scale = {"from": "w", "apply": ["sum"]}
    loss = build("levels", {"levels": LISTS[form][0], "target": "y", "scale": scale}, **keys)
    values = {**batch(), "w": numbers(2, seed=8)}
    total = loss(values).total
    total.backward()
    torch.testing.assert_close(
        total, Levels()(LISTS[form][1](values), values["y"], values["w"].sum())
    )
    assert values["w"].grad is not None
    assert all(leaf.grad is None for leaf in leaves(values))


def test_a_list_in_each_element_of_a_group() -> None:
    group = {
        "each": {"over": {"o": "outs"}, "combine": "sum"},
        "terms": {"t": {"type": "levels", "inputs": {"levels": "o.levels", "target": "y"}}},
    }
    loss = lossreg.build({"terms": {"g": group}}, registry=REGISTRY)
    values, other = batch(), batch()
    outs = [{"levels": values["out"]["levels"]}, {"levels": other["out"]["levels"][:1]}]
    expected = sum(Levels()(out["levels"], values["y"]) for out in outs)
    torch.testing.assert_close(loss({"outs": outs, "y": values["y"]}).total, expected)


def test_derived_tensors_make_a_list_or_a_number() -> None:
    derive = {"half": {"from": "out.levels[0]", "apply": [{"mul": 0.5}]}, "n": {"from": "y"}}
    derive["n"]["apply"] = ["sum"]
    inputs = {"levels": ["half", "out.levels[1]"], "target": "y", "scale": "n"}
    loss, values = build("levels", inputs, derive=derive), batch()
    first, second, _ = values["out"]["levels"]
    expected = Levels()([first * 0.5, second], values["y"], values["y"].sum())
    torch.testing.assert_close(loss(values).total, expected)
    with pytest.raises(ConfigError, match="'levels' is a list of tensors, and a derived name is"):
        build("levels", {"levels": "half", "target": "y"}, derive={"half": derive["half"]})


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no list": (
        {"out": {"levels": torch.ones(4, 3)}},
        "expected a list of tensors at 'out.levels'",
    ),
    "empty": ({"out": {"levels": []}}, "expected a list of tensors at .* found a list of 0"),
    "of numbers": ({"out": {"levels": [1.0]}}, "expected a list of tensors at"),
    "a shape": (
        {"out": {"levels": [torch.ones(4, 3), torch.tensor(1.0)]}},
        r"'levels' .*: expected the shape N \* of each tensor in the list, found \(\) at \[1\]",
    ),
    "a dtype": (
        {"out": {"levels": [torch.ones(4, 3), torch.ones(4, 3, dtype=torch.int64)]}},
        r"'levels' .*: expected a floating-point tensor, found torch.int64 at \[1\]",
    ),
    "no number": ({"s": "two"}, "'scale': expected a number at 's', found a str"),
    "a bool": ({"s": True}, "'scale': expected a number at 's', found a bool"),
    "several": ({"s": torch.ones(2)}, r"'scale' .*: expected one number, found a tensor \(2,\)"),
    "negative": ({"s": -1.5}, "'scale' .*: expected no negative value, found -1.5"),
    "missing": ({"s": None}, "'scale'.*expected a number at 's'"),
}


@pytest.mark.parametrize(("wrong", "message"), FAULTS.values(), ids=FAULTS)
def test_wrong_values_are_reported(wrong: dict[str, Any], message: str) -> None:
    loss = build("levels", {"levels": "out.levels", "target": "y", "scale": "s"})
    with pytest.raises(InputError, match=message):
        loss({**batch(), **wrong})


def test_a_whole_number_is_one() -> None:
    values = {"s": numbers(5, 3), "t": numbers(5, 3).detach()}
    for epoch in (0.5, torch.tensor(0.5)):
        with pytest.raises(InputError, match=r"'epoch' .*: expected a whole number, found"):
            build("warmed", ["s", "t", "e"])({**values, "e": epoch})


WRONG: dict[str, tuple[str, str]] = {
    "no list of paths": (
        "levels, inputs: {levels: {from: a, apply: [exp]}, target: y}",
        "LR211 expected a list at the end, and 'exp' gives a tensor; go on with unbind",
    ),
    "an empty list": (
        "levels, inputs: {levels: [], target: y}",
        "LR206 expected at least one path, found an empty list",
    ),
    "a list for a tensor": (
        "levels, inputs: {levels: a, target: [y, z]}",
        "LR206 expected a path such as heads.seg.logits, found a list",
    ),
    "a constant list": (
        "levels, inputs: {levels: {constant: 1}, target: y}",
        "LR206 'levels' cannot be a constant: it is a list of tensors; write a path",
    ),
    "a bare number": (
        "warmed, inputs: [s, t, 3]",
        "LR206 expected a path, found 3; write {constant: 3}",
    ),
    "a fraction": (
        "warmed, inputs: [s, t, {constant: 0.5}]",
        "LR202 expected a whole number, found 0.5",
    ),
    "below the domain": (
        "levels, inputs: {levels: a, target: y, scale: {constant: -1}}",
        "LR202 expected a number of at least 0 (non-negative), found -1",
    ),
    "a detached number": (
        "warmed, inputs: [s, t, e], detach: [epoch]",
        "LR106 'epoch' is a number, so it has no gradient to stop; remove it here",
    ),
    "classes in a list": (
        "only_lists, inputs: [a, b], class_dim: -1",
        "LR213 'class_dim' does not reach into the list 'levels'; permute its tensors",
    ),
}


@pytest.mark.parametrize(("term", "message"), WRONG.values(), ids=WRONG)
def test_wrong_inputs_are_located(term: str, message: str) -> None:
    text = f"terms: {{t: {{type: {term}}}}}"
    found = examine(text.encode(), registry=REGISTRY).diagnostics
    assert [f"{one.code} {one.message}" for one in found] == [message]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"holds": "dict"}, "holds must be 'tensor', 'list' or 'number', not 'dict'"),
        ({"holds": "list", "counted": True}, "only a tensor can be counted, and 'x' is a list"),
        ({"holds": "number", "gradient": True}, "'x' is a number, which has no gradient"),
    ],
)
def test_what_an_input_holds_is_checked(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        an_input("x", **fields)
