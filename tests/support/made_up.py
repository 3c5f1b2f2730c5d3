"""Losses that a test makes up, as an installed plugin would provide them."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch

from lossreg.plugin import LossConfig, LossDefinition, LossInput, Reduction, hookimpl
from lossreg.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


class Reduced(LossConfig):
    reduction: Reduction = "mean"


class Whole(LossConfig):
    """Of a loss that gives one number and has no reductions."""


def one_graph(loss: nn.Module) -> Any:
    torch.compiler.reset()  # torch stops compiling code of which there are several graphs
    return torch.compile(loss, backend="aot_eager", fullgraph=True)


def registry_of(*definitions: LossDefinition) -> Registry:
    module = ModuleType("acme_losses")
    vars(module)["lossreg_losses"] = hookimpl(lambda: definitions, specname="lossreg_losses")
    return Registry([]).with_plugins(module)


def a_loss(
    module: Callable[..., nn.Module], *inputs: LossInput, name: str = "made_up", **fields: Any
) -> LossDefinition:
    """A loss; with `config`, its parameters go to the module as keywords."""
    fields = {"config": Whole, "summary": "made up", **fields}
    return LossDefinition(
        name=name,
        build=lambda config: module(**config.model_dump()),
        inputs=inputs,
        **fields,
    )


def an_input(name: str, shape: str = "N *", **fields: Any) -> LossInput:
    return LossInput(name=name, meaning="made up", shape=shape, **fields)
