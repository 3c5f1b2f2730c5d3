from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import lossreg
from parts import assert_parts_give_the_whole, rows
from properties import CONFIGS, assert_same_as_by_hand

CONFIG = CONFIGS / "vocoder_gan.yaml"


def step() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int, learns: bool = True) -> Tensor:
        numbers = torch.randn(shape, generator=generator, dtype=torch.float64)
        return numbers.requires_grad_(learns)

    # The real maps require a gradient as well: a discriminator gives them.
    sizes = [[(4, 9), (8, 5), (1, 3)], [(2, 3, 4), (1, 2, 2)]]
    maps = {
        name: [[drawn(6, *size) for size in layers] for layers in sizes]
        for name in ("real", "fake")
    }
    return {
        "maps": maps,
        "scores": {"real": drawn(6, 1, 5, 2), "fake": drawn(6, 1, 5, 2)},
        "mel": {"fake": drawn(6, 4, 7), "real": drawn(6, 4, 7, learns=False)},
    }


def discriminator(values: dict[str, Any]) -> Tensor:
    scores = values["scores"]
    return (1 - scores["real"]).square().mean() + scores["fake"].square().mean()


def generator(values: dict[str, Any]) -> Tensor:
    mel = (values["mel"]["fake"] - values["mel"]["real"]).abs().mean()
    pairs = [
        (fake, real.detach())
        for layers in zip(values["maps"]["fake"], values["maps"]["real"], strict=True)
        for fake, real in zip(*layers, strict=True)
    ]
    features = torch.stack([(fake - real).abs().mean() for fake, real in pairs]).sum()
    return (1 - values["scores"]["fake"]).square().mean() + 2 * features + 45 * mel


FORMULAS = {"discriminator": discriminator, "generator": generator}


@pytest.mark.parametrize("name", FORMULAS)
def test_each_objective_equals_its_formula(name: str) -> None:
    losses = lossreg.build_objectives(CONFIG)
    assert list(losses) == list(FORMULAS)
    assert_same_as_by_hand(losses[name], step, FORMULAS[name])


@pytest.mark.parametrize("name", FORMULAS)
def test_micro_batches_equal_the_formula(name: str) -> None:
    def cut(values: dict[str, Any]) -> list[dict[str, Any]]:
        return rows(values, [1, 3, 2])

    loss = lossreg.build_objectives(CONFIG)[name]
    whole = step()
    batches = [{"mel": {"real": part["mel"]["real"]}} for part in cut(whole)]
    assert loss.denominators(batches).values.tolist()[0] == 6
    assert_parts_give_the_whole(loss, step, cut, FORMULAS[name], known=("mel",))


def test_the_log_does_not_depend_on_the_layers() -> None:
    loss = lossreg.build_objectives(CONFIG)["generator"]
    assert list(loss(step()).terms) == ["fool", "features/l1", "mel"]
    layers = [name for name in loss.terms(step(), elements=True) if "[" in name]
    assert layers == [f"features/l1[{place}]" for place in ("0][0", "0][1", "0][2", "1][0", "1][1")]


def test_real_maps_do_not_learn_from_the_generators_objective() -> None:
    values = step()
    lossreg.build_objectives(CONFIG)["generator"](values).total.backward()
    maps = values["maps"]
    assert all(map_.grad is None for layers in maps["real"] for map_ in layers)
    assert all(map_.grad.any() for layers in maps["fake"] for map_ in layers)
