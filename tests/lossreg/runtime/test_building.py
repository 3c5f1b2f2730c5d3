"""One loss as a plain module, and what a builder is given."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossreg
from composites import build
from lossreg.errors import ConfigError
from lossreg.plugin import (
    ClassWeights,
    Field,
    LossConfig,
    LossDefinition,
    LossInput,
    Reduction,
    hookimpl,
    to_tensor,
)
from lossreg.registry import Registry
from properties import assert_bit_identical


def registry_of(name: str, config: type[Any], build: Callable[[Any], nn.Module]) -> Registry:
    """A registry with one made-up classification loss."""
    definition = LossDefinition(
        name=name,
        config=config,
        build=build,
        inputs=(
            LossInput(name="x", meaning="logits", shape="N C", gradient=True),
            LossInput(name="y", meaning="class indices", dtype="int", shape="N", counted=True),
        ),
        unreduced="N",
        summary="made up",
    )
    module = ModuleType(f"acme_{name}")
    vars(module)["lossreg_losses"] = hookimpl(lambda: [definition], specname="lossreg_losses")
    return Registry([]).with_plugins(module)


def test_a_builder_is_given_class_weights_as_a_tensor() -> None:
    class Config(LossConfig):
        reduction: Reduction = "mean"
        weight: ClassWeights | None = Field(None, description="A number a class.")

    def build(config: Config) -> nn.Module:
        assert isinstance(config.weight, Tensor)
        return nn.CrossEntropyLoss(weight=config.weight, reduction=config.reduction)

    registry = registry_of("plain", Config, build)
    params = {"weight": [1.0, 3.0]}
    values = {"x": torch.zeros(2, 2), "y": torch.tensor([0, 0])}
    assert list(lossreg.create("plain", registry=registry, **params).state_dict()) == ["weight"]
    loss = lossreg.build({"terms": {"fit": {"type": "plain", "params": params}}}, registry=registry)
    # For denominators the loss is built once more, without its reduction.
    found = loss(values, denominators=loss.denominators([values])).total
    assert_bit_identical(found, loss(values).total)


@pytest.mark.parametrize("weight", [[1.0, 3.0], torch.tensor([1.0, 3.0])], ids=["list", "tensor"])
def test_class_weights_that_a_builder_hands_to_a_child_are_no_state(weight: object) -> None:
    class Config(LossConfig):
        weight: ClassWeights | None = Field(None, description="A number a class.")

    def build(config: Config) -> nn.Module:
        return Wrapped(nn.CrossEntropyLoss(weight=to_tensor(config.weight)))

    class Wrapped(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
            value: Tensor = self.inner(logits, labels)
            return value

    registry = registry_of("wrapped", Config, build)
    term = {"type": "wrapped", "params": {"weight": weight}}
    loss = lossreg.build({"terms": {"fit": term}}, registry=registry)
    assert loss.state_dict() == {}
    inner = loss.terms.fit.inner
    assert torch.equal(inner.weight, torch.tensor([1.0, 3.0]))
    assert loss.double().terms.fit.inner.weight.dtype == torch.float64
    assert list(loss.buffers()) == []


def test_class_weights_work_and_move_inside_a_composite() -> None:
    term = {"type": "cross_entropy", "params": {"weight": [1.0, 3.0]}}
    values = {"input": torch.randn(4, 2), "target": torch.tensor([0, 1, 1, 0])}
    loss = build(a=term)
    oracle = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]))
    assert_bit_identical(loss(values).terms["a"], oracle(**values))
    values["input"] = values["input"].double()
    assert_bit_identical(loss.double()(values).terms["a"], oracle.double()(**values))


def test_create_gives_torchs_module() -> None:
    module = lossreg.create("smooth_l1", beta=0.5, reduction="sum")
    assert type(module) is nn.SmoothL1Loss
    assert (module.beta, module.reduction) == (0.5, "sum")


@pytest.mark.parametrize(
    ("name", "params", "path", "expected"),
    [
        ("smooth_l1", {"bet": 1.0}, "smooth_l1.bet", "did you mean 'beta'?"),
        ("smooth_l1", {"beta": -1.0}, "smooth_l1.beta", "expected a number of at least 0"),
        ("smooth_l1", {"beta": True}, "smooth_l1.beta", "expected a number, found true"),
        ("cross_entropy", {"weight": [-1.0]}, "cross_entropy.weight[0]", "no negative number"),
        ("mse", {"size_average": True}, "mse.size_average", "write 'reduction: mean'"),
    ],
)
def test_create_refuses_what_a_config_would(
    name: str, params: dict[str, Any], path: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        lossreg.create(name, **params)
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.path == path
    assert expected in diagnostic.message


def test_create_tells_all_faults_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        lossreg.create("smooth_l1", beta=-1.0, reduction="average", gamma=2)
    assert len(raised.value.diagnostics) == 3


def test_create_of_an_unknown_loss_suggests_one() -> None:
    with pytest.raises(lossreg.UnknownLossError, match="did you mean 'smooth_l1'"):
        lossreg.create("smoth_l1")
