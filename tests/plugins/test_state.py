"""What a built-in keeps as state is what torch's module keeps."""

from __future__ import annotations

import pytest
import torch

import lossreg
from built_ins import BUILT_INS, built_in
from lossreg.plugin.fields import holds_weights

REGISTRY = lossreg.Registry.installed()
MODULES = {loss: built_in(loss).torch for loss in BUILT_INS}
WEIGHTS = [
    (loss, name)
    for loss, module in MODULES.items()
    if module is not None
    for name, field in REGISTRY[loss].config.model_fields.items()
    if holds_weights(field)
]
NUMBERS = [1.0, 2.0, 0.5]


@pytest.mark.parametrize(("loss", "name"), WEIGHTS)
def test_weights_may_be_a_list_or_a_tensor_that_is_kept(loss: str, name: str) -> None:
    weight = torch.tensor(NUMBERS, dtype=torch.float64)
    kept, made = (
        lossreg.create(loss, **{name: written}).state_dict()[name] for written in (weight, NUMBERS)
    )
    assert (kept.dtype, made.dtype) == (torch.float64, torch.float32)
    assert kept.tolist() == made.tolist() == NUMBERS


@pytest.mark.parametrize("loss", [loss for loss, module in MODULES.items() if module is not None])
def test_the_keys_are_torchs(loss: str) -> None:
    module = MODULES[loss]
    assert module is not None
    weights = [{name: torch.tensor(NUMBERS)} for owner, name in WEIGHTS if owner == loss]
    for params in ({}, *weights):
        keys = lossreg.create(loss, **params).state_dict().keys()
        assert keys == module(**params).state_dict().keys()
