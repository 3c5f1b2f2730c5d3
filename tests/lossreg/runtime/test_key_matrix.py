"""Each key of a term in whatever a term can be in: equal to the term alone, or a stated error."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import lossreg
from lossreg.config.grammar import COMPOSITE, TERM
from lossreg.errors import ConfigError, InputError

DOUBLE = torch.float64
ROWS = 4
FIT = {"type": "mse", "inputs": ["p", "y"]}
RAMP = {"schedule": "linear", "start": 1.0, "end": 3.0, "steps": 4}


class Sample(NamedTuple):
    """A term that uses a key.

    Attributes:
        key: The key.
        term: The term.
        root: Keys of the composite that it needs.
    """

    key: str
    term: dict[str, Any]
    root: Mapping[str, Any] = MappingProxyType({})


TALL = {"type": "cross_entropy", "inputs": ["tall", "labels"]}
SAMPLES = {
    "inputs with transforms": Sample(
        "inputs", {"type": "mse", "inputs": [{"from": "p", "apply": [{"sub": "y"}, "abs"]}, "y"]}
    ),
    "inputs with a schedule": Sample(
        "inputs", {"type": "mse", "inputs": [{"from": "p", "apply": [{"mul": RAMP}]}, "y"]}
    ),
    "inputs with a constant": Sample("inputs", {"type": "mse", "inputs": ["p", {"constant": 0.5}]}),
    "params": Sample(
        "params", {"type": "smooth_l1", "inputs": ["p", "y"], "params": {"beta": 0.5}}
    ),
    "weight": Sample("weight", {**FIT, "weight": 0.5}),
    "weight that is scheduled": Sample("weight", {**FIT, "weight": RAMP}),
    "weight of the step": Sample("weight", {**FIT, "weight": {"from": "gain"}}),
    "weight that is learned": Sample("weight", {**FIT, "weight": {"learned": "log_variance"}}),
    "maximize": Sample("maximize", {**FIT, "maximize": True}),
    "class_dim": Sample("class_dim", {**TALL, "class_dim": -1}),
    "detach": Sample("detach", {**FIT, "detach": ["target"]}),
    "mask": Sample("mask", {**FIT, "mask": "valid"}),
    "mask with dims": Sample("mask", {**FIT, "mask": {"from": "columns", "dims": [1]}}),
    "sample_weight": Sample(
        "sample_weight", {**FIT, "sample_weight": "importance", "divide_by": "weights"}
    ),
    "sample_weight with a gradient": Sample(
        "sample_weight",
        {
            **FIT,
            "sample_weight": {"from": "importance", "gradient": True},
            "divide_by": "entries",
        },
    ),
    "ignore": Sample("ignore", {**FIT, "ignore": 9}),
    "divide_by rows": Sample("divide_by", {**FIT, "divide_by": "rows"}),
    "divide_by kept_rows": Sample("divide_by", {**FIT, "mask": "valid", "divide_by": "kept_rows"}),
    "divide_by another": Sample("divide_by", {**FIT, "divide_by": {"entries": "y"}}),
    "within_row": Sample(
        "within_row", {**FIT, "mask": "valid", "divide_by": "rows", "within_row": "mean"}
    ),
    "optional": Sample("optional", {**FIT, "optional": True}),
    "enabled": Sample("enabled", {**FIT, "enabled": True}),
    "active": Sample("active", {**FIT, "active": {"until_step": 9, "every_steps": 2}}),
    "frozen": Sample("frozen", FIT, {"frozen": ["y"]}),
    "derive": Sample(
        "derive",
        {"type": "mse", "inputs": ["error", "y"]},
        {"derive": {"error": {"from": "p", "apply": [{"sub": "y"}]}}},
    ),
    "checks": Sample("checks", FIT, {"checks": "always"}),
    "on_nonfinite": Sample("on_nonfinite", FIT, {"on_nonfinite": "ignore"}),
}
SETTINGS = ("optional", "denominators", "compile", "resume", "group", "each", "active")
# What cannot be: the code of the error when the file is read, or a part of the one at the step.
REFUSED = {
    ("weight that is learned", "group"): "LR215",
    # Its shape is that of the prediction, which nothing knows before the model runs.
    ("inputs with a constant", "denominators"): "write divide_by: {rows: path}",
}


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def step() -> dict[str, Any]:
    valid = random(ROWS, 3, seed=2) > -0.3
    y = random(ROWS, 3, seed=1)
    return {
        "p": random(ROWS, 3, seed=0),
        "y": y.masked_fill(y > 1, 9.0),
        "tall": random(ROWS, 2, 5, seed=3),
        "labels": torch.tensor([[0, 4], [1, 1], [2, 3], [4, 0]]),
        "valid": valid,
        "columns": torch.tensor([True, False, True]),
        "importance": random(ROWS, 3, seed=4).exp(),
        "gain": torch.tensor(2.5, dtype=DOUBLE),
    }


ROWLESS = ("columns", "gain")


def leaves(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.clone().requires_grad_() if name in ("p", "tall", "importance") else value
        for name, value in values.items()
    }


def built(terms: dict[str, Any], root: Mapping[str, Any]) -> lossreg.CompositeLoss:
    return lossreg.build({**root, "terms": terms}).double()


def value_of(loss: lossreg.CompositeLoss, values: Any, *, scale: float = 1.0) -> list[Tensor]:
    """The total and the gradients of everything that has one."""
    total = loss(values).total
    wanted = [
        value
        for value in _tensors(values)
        if value.requires_grad
        and torch.autograd.grad(total, value, retain_graph=True, allow_unused=True)[0] is not None
    ]
    gradients = torch.autograd.grad(total, wanted) if wanted else ()
    return [part.detach() / scale for part in (total, *gradients)]


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    inner = values.values() if isinstance(values, dict) else values
    return [tensor for value in inner for tensor in _tensors(value)]


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def as_optional(sample: Sample, expected: list[Tensor]) -> None:
    loss = built({"t": {**sample.term, "optional": True}, "other": FIT}, sample.root)
    plain = built({"other": FIT}, {"on_nonfinite": "raise"})
    values = step()
    both, alone = loss(values).total, plain(values).total
    torch.testing.assert_close(both - alone, expected[0])
    needed = {"cross_entropy": "tall"}.get(sample.term["type"])
    if needed is not None:
        missing = {name: value for name, value in values.items() if name != needed}
        torch.testing.assert_close(loss(missing).total, alone)


def with_denominators(sample: Sample, expected: list[Tensor]) -> None:
    loss, values = built({"t": sample.term}, sample.root), leaves(step())
    parts = [
        {name: value if name in ROWLESS else value[rows] for name, value in values.items()}
        for rows in (slice(0, 1), slice(1, ROWS))
    ]
    known = [
        {name: value for name, value in part.items() if name not in ("p", "tall")} for part in parts
    ]
    denominators = loss.denominators(known)
    total = torch.stack([loss(part, denominators=denominators).total for part in parts]).sum()
    torch.testing.assert_close(total.detach(), expected[0], rtol=1e-12, atol=1e-14)


def compiled(sample: Sample, expected: list[Tensor]) -> None:
    loss = built({"t": sample.term}, sample.root)
    torch._dynamo.reset()
    loss.compile(backend="aot_eager", fullgraph=True)
    assert_same(value_of(loss, leaves(step())), expected)


def resumed(sample: Sample, _: list[Tensor]) -> None:
    loss = built({"t": sample.term}, sample.root)
    for _ in range(2):
        loss(step())
        loss.step()
    again = built({"t": sample.term}, sample.root)
    again.load_state_dict(copy.deepcopy(loss.state_dict()))
    assert_same(value_of(again, leaves(step())), value_of(loss, leaves(step())))


def grouped(sample: Sample, expected: list[Tensor]) -> None:
    root = dict(sample.root)
    if "frozen" in root:
        root["frozen"] = [f"deep.{path}" for path in root["frozen"]]
    if "derive" in root:
        root["derive"] = {"error": {"from": "deep.p", "apply": [{"sub": "deep.y"}]}}
    loss = built({"g": {"from": "deep", "weight": 2.0, "terms": {"t": sample.term}}}, root)
    assert list(loss(deep=step()).terms) == ["g/t"]
    assert_same(value_of(loss, {"deep": leaves(step())}, scale=2.0), expected)


def repeated(sample: Sample, expected: list[Tensor]) -> None:
    shared = {"gain", "y", "labels", "valid", "columns", "importance"}
    if "derive" in sample.root:
        shared |= {"p"}

    def inside(value: Any) -> Any:
        if isinstance(value, str):
            return f"item.{value}" if value in ("p", "tall") and value not in shared else value
        if isinstance(value, list):
            return [inside(child) for child in value]
        if isinstance(value, dict):
            return {key: inside(child) for key, child in value.items()}
        return value

    term = inside(sample.term)
    if "derive" in sample.root:
        term["inputs"] = ["error", "item.y"]
    group = {"each": {"over": {"item": "items"}, "combine": "mean"}, "terms": {"t": term}}
    loss = built({"g": group}, sample.root)
    values = leaves(step())
    outside = {name: value for name, value in values.items() if name in shared}
    element = {name: value for name, value in values.items() if name not in shared}
    if "derive" in sample.root:
        element = {"y": values["y"]}
    total = loss({**outside, "items": [element]}).total
    torch.testing.assert_close(total.detach(), expected[0], rtol=1e-12, atol=1e-14)


def timed(sample: Sample, expected: list[Tensor]) -> None:
    times = {"until_step": 1, **sample.term.get("active", {}), "from_step": 0}
    times["until_step"] = 1
    loss = built({"t": {**sample.term, "active": times}}, sample.root)
    assert_same(value_of(loss, leaves(step())), expected)
    loss.step()
    out = loss(step())
    assert out.total == 0
    assert (out.terms["t"], out.weights["t"]) == (0, 0)


RUNS: dict[str, Callable[[Sample, list[Tensor]], None]] = {
    "optional": as_optional,
    "denominators": with_denominators,
    "compile": compiled,
    "resume": resumed,
    "group": grouped,
    "each": repeated,
    "active": timed,
}


def test_every_key_of_the_grammar_is_in_the_matrix() -> None:
    keys = {sample.key for sample in SAMPLES.values()}
    assert keys == (TERM.keys.keys() - {"type"}) | (COMPOSITE.keys.keys() - {"terms"})
    assert RUNS.keys() == set(SETTINGS)


@pytest.mark.filterwarnings("ignore::lossreg.ConfigWarning")
@pytest.mark.parametrize(
    ("name", "setting"),
    [
        pytest.param(
            name,
            setting,
            # Compiling takes a second; most keys are compiled in tests of their own.
            marks=[pytest.mark.nightly] * (setting == "compile" and " " not in name),
        )
        for name in SAMPLES
        for setting in SETTINGS
    ],
)
def test_a_key_means_the_same_wherever_its_term_is(name: str, setting: str) -> None:
    sample = SAMPLES[name]
    alone = value_of(built({"t": sample.term}, sample.root), leaves(step()))
    assert math.isfinite(alone[0])
    refusal = REFUSED.get((name, setting))
    if refusal is None:
        RUNS[setting](sample, alone)
        return
    with pytest.raises((ConfigError, InputError)) as raised:
        RUNS[setting](sample, alone)
    assert refusal in str(raised.value)
