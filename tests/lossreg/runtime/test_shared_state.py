"""The unreduced form of a loss shares the state of its module."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lossreg.runtime.reduction import share_state

# lossreg and torch warn of kl_div's mean.
pytestmark = [
    pytest.mark.filterwarnings("ignore::lossreg.errors.ConfigWarning"),
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning:torch"),
]


class Inner(nn.Linear):
    """A child that has a reduction besides its parameters."""

    def __init__(self, reduction: str) -> None:
        super().__init__(2, 2)
        self.reduction = reduction


class Finer(Inner):
    """A child of a narrower type, as a builder may choose for one reduction."""


def around(**children: nn.Module | None) -> nn.Module:
    """A module with these children."""
    outer = nn.Module()
    for name, child in children.items():
        outer.add_module(name, child)
    return outer


def test_a_child_of_the_same_type_keeps_its_reduction_and_shares_the_rest() -> None:
    for kind in (Inner, Finer):
        module, twin = around(inner=Inner("mean")), around(inner=kind("none"))
        own = twin.inner
        share_state(twin, module)
        assert twin.inner is own
        assert own.reduction == "none"
        assert own.weight is module.inner.weight
        module.inner.weight = nn.Parameter(torch.ones(2, 2))  # a later change is shared too
        assert own.weight is module.inner.weight


@pytest.mark.parametrize(
    "own",
    [nn.Identity(), nn.Linear(2, 2), nn.Bilinear(2, 2, 2), nn.Sequential(nn.ReLU()), None],
    ids=lambda own: type(own).__name__,
)
def test_a_child_of_another_type_is_replaced_by_the_module_s(own: nn.Module | None) -> None:
    # Shared, it would compute something else with the module's parameters, or with none of them.
    module, twin = around(inner=Inner("mean")), around(inner=own)
    share_state(twin, module)
    assert twin.inner is module.inner
    assert torch.equal(twin.inner(torch.ones(1, 2)), module.inner(torch.ones(1, 2)))


def test_a_child_that_only_the_module_has_is_the_twin_s_as_well() -> None:
    module, twin = around(inner=Inner("mean")), around()
    share_state(twin, module)
    assert twin.inner is module.inner


@pytest.mark.parametrize("kind", ["parameter", "buffer"])
def test_what_only_the_twin_has_is_not_lost_without_a_word(kind: str) -> None:
    module, twin = around(inner=nn.Module()), around(inner=nn.Module())
    if kind == "parameter":
        twin.inner.register_parameter("extra", nn.Parameter(torch.ones(2)))
    else:
        twin.inner.register_buffer("extra", torch.ones(2))
    with pytest.raises(TypeError, match="it has 'extra', which the loss with its reduction does"):
        share_state(twin, module)


def test_weights_that_a_hook_computes_are_shared() -> None:
    module, twin = (around(inner=nn.Linear(2, 2, bias=False)).eval() for _ in range(2))
    nn.utils.spectral_norm(module.inner)  # its weight is an attribute, and no parameter any more
    share_state(twin, module)
    own, values = twin.inner, torch.ones(1, 2)
    assert own is not module.inner
    assert torch.equal(own(values), module.inner(values))
