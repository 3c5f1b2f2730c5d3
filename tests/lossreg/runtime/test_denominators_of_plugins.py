"""Micro-batches of a loss that has parameters, buffers, children and hooks of its own."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

import lossreg
from lossreg.errors import InputError
from micro_batches import (
    CASES,
    DOUBLE,
    ROWS,
    SPLITS,
    accumulate,
    build,
    micro_batches,
    random,
)

if TYPE_CHECKING:
    from fake_distributions import Site
    from lossreg.runtime.denominators import Denominators

# lossreg and torch warn of kl_div's mean.
pytestmark = [
    pytest.mark.filterwarnings("ignore::lossreg.errors.ConfigWarning"),
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning"),
]


SCALED = """
    import torch
    from torch import nn
    from lossreg.plugin import LossConfig, LossDefinition, LossInput, Reduction, hookimpl


    class Config(LossConfig):
        reduction: Reduction = "mean"


    class Scaled(nn.Module):
        '''Learns its scale, has a buffer and a child that reduces.'''

        def __init__(self, reduction):
            super().__init__()
            self.scale = nn.Parameter(torch.rand(()))
            self.register_buffer("calls", torch.zeros(()))
            KEEPS
            self.error = nn.L1Loss(reduction=reduction)
            self.layer = nn.Linear(2, 2)
            self.drop = nn.Dropout(1.0)

        def forward(self, input, target):
            self.calls += 1
            return self.error(self.scale * self.layer(self.drop(input)), target)


    def build(config):
        return Scaled(config.reduction)


    @hookimpl
    def lossreg_losses():
        inputs = (
            LossInput(name="input", meaning="predictions", shape="N D", gradient=True),
            LossInput(name="target", meaning="values", shape="N D", counted=COUNTED),
        )
        return [
            LossDefinition(
                name="scaled", config=Config, build=build, inputs=inputs, summary="made up",
                unreduced="N D",
            )
        ]
"""


def third_party(
    site: Site, *, keeps: str = "self.reduction = reduction", counted: bool = True, **term: Any
) -> lossreg.CompositeLoss:
    source = textwrap.dedent(SCALED).replace("KEEPS", keeps).replace("COUNTED", str(counted))
    site.add("acme", {"scaled": "acme_scaled"}, {"acme_scaled": source})
    return lossreg.build({"terms": {"t": {"type": "scaled", **term}}}).double().eval()


THIRD = {"input": random(ROWS, 2), "target": random(ROWS, 2, seed=1)}


def third_gradients(
    loss: lossreg.CompositeLoss, sizes: list[int] | None
) -> tuple[list[Tensor], Denominators | None]:
    loss.zero_grad()
    denominators = None
    if sizes is None:
        loss(THIRD).total.backward()
    else:
        batches = micro_batches(THIRD, sizes)
        denominators = loss.denominators([{"target": each["target"]} for each in batches])
        accumulate(loss, batches, denominators)
    return [each.grad.clone() for each in loss.parameters() if each.grad is not None], denominators


def assert_micro_batches_fit(loss: lossreg.CompositeLoss) -> None:
    expected, _ = third_gradients(loss, None)
    found, denominators = third_gradients(loss, SPLITS[4])
    assert denominators is not None
    assert denominators.values.tolist() == [ROWS * 2]
    assert len(found) == len(expected) == 3
    for each, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(each, wanted, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("keeps", ["self.reduction = reduction", "pass"])
def test_a_loss_with_parameters_of_its_own(site: Site, keeps: str) -> None:
    loss = third_party(site, keeps=keeps)
    state = torch.random.get_rng_state()
    assert_micro_batches_fit(loss)
    # The unreduced form is built on the way, and draws nothing from the run's random numbers.
    assert torch.equal(torch.random.get_rng_state(), state)
    assert list(loss.state_dict()) == [
        f"terms.t.{name}" for name in ("scale", "calls", "layer.weight", "layer.bias")
    ]
    (module,) = loss.terms.children()
    assert module.calls == 1 + 4

    with torch.no_grad():
        module.scale.fill_(3.0)
        module.layer.weight.fill_(0.5)
    assert_micro_batches_fit(loss)
    loss.load_state_dict({name: torch.ones_like(e) for name, e in loss.state_dict().items()})
    assert_micro_batches_fit(loss)
    assert_micro_batches_fit(loss.to(torch.float32).to(DOUBLE))
    module.layer.weight = nn.Parameter(torch.rand(2, 2, dtype=DOUBLE))
    assert_micro_batches_fit(loss)


def test_copies_made_afterwards_share_with_themselves_alone(site: Site) -> None:
    loss = third_party(site)
    assert_micro_batches_fit(loss)
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        with torch.no_grad():
            for each in twin.parameters():
                each.add_(1.0)
        before = [each.clone() for each in loss.parameters()]
        assert_micro_batches_fit(twin.to(torch.float32).to(DOUBLE))
        assert all(map(torch.equal, before, loss.parameters()))
    assert_micro_batches_fit(loss)


THIRD_X = [random(20, 2, seed=seed) for seed in (5, 6)]


def test_hooks_and_modes_are_those_of_the_loss(site: Site) -> None:
    loss = third_party(site)
    (module,) = loss.terms.children()
    seen: list[str] = []
    batches = micro_batches(THIRD, [20, 4])
    module.register_full_backward_hook(lambda *_: seen.append("back"))
    batches[0]["input"].requires_grad_()
    denominators = loss.denominators(batches)
    module.register_forward_pre_hook(lambda *_: seen.append("before"))
    module.register_forward_hook(lambda *_: seen.append("after"))
    module.layer.register_forward_hook(lambda *_: seen.append("layer"))
    accumulate(loss, batches[:1], denominators)
    assert seen == ["before", "layer", "after", "back"]

    quiet = loss(batches[0], denominators=denominators).total
    loss.train()  # everything is dropped, so that the input is no matter
    dropped = [loss({**batches[0], "input": x}, denominators=denominators).total for x in THIRD_X]
    assert dropped[0] == dropped[1] != quiet
    assert torch.equal(loss.eval()(batches[0], denominators=denominators).total, quiet)


@pytest.mark.parametrize("extra", [{"mask": "m"}, {"sample_weight": "m", "divide_by": "weights"}])
def test_without_a_counted_input_a_mask_of_all_dimensions_tells(
    site: Site, extra: dict[str, str]
) -> None:
    loss = third_party(site, counted=False, **extra)
    mask = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert loss.denominators([{"m": mask}]).values.tolist() == [3.0]
    rows = torch.tensor([1.0, 2.0])
    batch = {"input": torch.ones(2, 2).double(), "target": torch.zeros(2, 2).double(), "m": rows}
    with pytest.raises(InputError, match=r"expected the loss's shape \(2, 2\), because denomin"):
        loss(batch, denominators=loss.denominators([batch]))


def test_without_a_counted_input_ignored_targets_tell(site: Site) -> None:
    loss = third_party(site, counted=False, ignore="nan")
    target = torch.tensor([[1.0, math.nan], [0.0, 2.0]])
    assert loss.denominators([{"target": target}]).values.tolist() == [3.0]
    plain = lossreg.build({"terms": {"t": {"type": "scaled"}}})
    with pytest.raises(InputError, match=r"write divide_by: \{rows: path\}"):
        plain.denominators([{"target": target}])


def test_a_loss_that_reads_more_than_what_counts_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = build(CASES["l1"])
    (term,) = loss.terms._terms
    count = lossreg.plugin.Denominator(count=lambda _, inputs: inputs["input"])
    monkeypatch.setattr(term, "definition", dataclasses.replace(term.definition, denominator=count))
    with pytest.raises(InputError, match="term 't': counting what 'l1' divides by failed: KeyErr"):
        loss.denominators([{"target": torch.ones(2)}])
