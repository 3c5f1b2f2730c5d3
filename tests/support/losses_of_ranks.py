"""What ranks hold of losses that look at other ranks, or that have parameters of their own."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

import lossreg
from lossreg.plugin import LossConfig, LossDefinition, LossInput, hookimpl

ROWS, WIDTH = 6, 4


class Towers(nn.Module):
    """Two embeddings, always the same at first."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.one = nn.Linear(WIDTH, 3).double()
            self.other = nn.Linear(WIDTH, 3).double()

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"input1": self.one(x), "input2": self.other(y)}


def pairs(rank: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rank)
    x, y = torch.randn(2, ROWS, WIDTH, generator=generator, dtype=torch.float64)
    return x, y


def contrast(**params: Any) -> lossreg.CompositeLoss:
    return lossreg.build({"terms": {"t": {"type": "info_nce", "params": params}}}).double()


def pairs_of_all_ranks_are_chosen_from(rank: int, world: int) -> None:
    every = [torch.cat(side) for side in zip(*map(pairs, range(world)), strict=True)]
    for own_view in (False, True):
        inner, whole = Towers(), Towers()
        model = DistributedDataParallel(inner)
        loss = contrast(gather=True, own_view=own_view)
        total = loss(model(*pairs(rank))).total
        total.backward()
        expected = contrast(own_view=own_view)(whole(every[0], every[1])).total
        expected.backward()
        mean = total.detach() / world
        distributed.all_reduce(mean)
        torch.testing.assert_close(mean, expected.detach(), rtol=1e-12, atol=1e-12)
        for found, wanted in zip(inner.parameters(), whole.parameters(), strict=True):
            torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-10, atol=1e-12)


def without_gather_a_rank_chooses_among_its_own(rank: int, world: int) -> None:
    model = Towers()
    total = contrast()(model(*pairs(rank))).total
    gathered = contrast(gather=True)(model(*pairs(rank))).total
    assert (total == gathered) == (world == 1)


class Centres(nn.Module):
    """Squared distances from a centre that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(3))

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return (input - self.centre).square().mean()


class CentresConfig(LossConfig):
    """A loss without parameters in YAML."""


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    return [
        LossDefinition(
            name="centres",
            config=CentresConfig,
            build=lambda _: Centres(),
            inputs=(LossInput(name="input", meaning="vectors", shape="N D", gradient=True),),
            summary="made up",
        )
    ]


class WithCentres(nn.Module):
    """A layer, and a loss that has a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, 3)
        registry = lossreg.Registry.installed().with_plugins(sys.modules[__name__])
        self.loss = lossreg.build({"terms": {"t": {"type": "centres"}}}, registry=registry)

    def forward(self, x: Tensor) -> Tensor:
        return self.loss(input=self.layer(x)).total


def a_losss_own_parameters_outside_ddp_are_warned_of(_: int, world: int) -> None:
    x = torch.ones(2, WIDTH)
    DistributedDataParallel(WithCentres())(x).backward()  # warnings are errors
    with torch.no_grad():
        WithCentres()(x)
    evaluated = WithCentres().eval()
    evaluated(x)
    model = WithCentres()
    if world == 1:
        model(x)
        return
    outside = "the parameter 'centre' of the loss of 't' is outside of the forward pass of Dist"
    with pytest.warns(lossreg.ConfigWarning, match=outside):
        model(x)
    model(x)
    compiled = WithCentres()
    compiled.loss.compile(backend="eager")
    with pytest.warns(lossreg.ConfigWarning, match=outside):
        compiled(x)
    frozen = WithCentres()
    frozen.loss.requires_grad_(requires_grad=False)
    frozen(x)


LOSSES_HELD = (
    pairs_of_all_ranks_are_chosen_from,
    without_gather_a_rank_chooses_among_its_own,
    a_losss_own_parameters_outside_ddp_are_warned_of,
)
