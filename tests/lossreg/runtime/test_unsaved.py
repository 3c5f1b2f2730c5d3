"""What no state_dict holds: class weights come back from the config, other buffers are missed."""

from __future__ import annotations

import copy
import pickle
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import lossreg
from lossreg.errors import StateError
from lossreg.plugin import (
    ClassWeights,
    Field,
    LossConfig,
    LossDefinition,
    LossInput,
    hookimpl,
    to_tensor,
)
from lossreg.registry import Registry
from properties import assert_bit_identical

WEIGHTS = [0.2, 1.0, 5.0]
# Each loss that takes class weights, and its inputs.
TERMS: dict[str, dict[str, Any]] = {
    "nll": {"params": {"weight": WEIGHTS}, "inputs": ["x", "y"]},
    "cross_entropy": {"params": {"weight": WEIGHTS}, "inputs": ["x", "y"]},
    "bce_with_logits": {"params": {"pos_weight": WEIGHTS}, "inputs": ["x", "p"]},
    "multi_margin": {"params": {"weight": WEIGHTS}, "inputs": ["x", "y"]},
    "multilabel_soft_margin": {"params": {"weight": WEIGHTS}, "inputs": ["x", "p"]},
}
MASKED = {
    name: {**term, "sample_weight": "w", "divide_by": "weights"} for name, term in TERMS.items()
}


def build(terms: dict[str, Any] | None = None, **options: Any) -> lossreg.CompositeLoss:
    wanted = TERMS if terms is None else terms
    named = {name: {"type": name, **wanted[name]} for name in wanted}
    return lossreg.build({"terms": named, **options})


def values(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, generator=generator).to(dtype).log_softmax(1)
    y = torch.tensor([0, 1, 2, 0])
    labels = nn.functional.one_hot(y, 3).to(dtype)
    return {"x": x.requires_grad_(), "y": y, "p": labels, "w": torch.ones(4, dtype=dtype)}


def held(loss: lossreg.CompositeLoss) -> list[Tensor]:
    modules: Any = loss.terms
    names = {name: next(iter(term["params"])) for name, term in TERMS.items()}
    return [getattr(getattr(modules, name), field) for name, field in names.items()]


def on_meta() -> lossreg.CompositeLoss:
    with torch.device("meta"):
        return build()


def loaded(loss: lossreg.CompositeLoss, **options: Any) -> lossreg.CompositeLoss:
    loss.load_state_dict(build().state_dict(), **options)
    return loss


ROUNDTRIPS = {
    "to_empty": lambda: build().to_empty(device="cpu"),
    "to_empty and a state": lambda: loaded(build().to_empty(device="cpu")),
    "meta, then to_empty": lambda: on_meta().to_empty(device="cpu"),
    "meta, then to_empty and a state": lambda: loaded(on_meta().to_empty(device="cpu")),
    "meta, then a state assigned": lambda: loaded(on_meta(), assign=True),
    "to meta and back": lambda: build().to("meta").to_empty(device="cpu"),
    "inside a model": lambda: nn.ModuleList([on_meta()]).to_empty(device="cpu")[0],
    "half and back": lambda: build().half().float(),
    "bfloat16 and back": lambda: build().bfloat16().float(),
    "double and back": lambda: build().double().float(),
    "the terms alone": lambda: half_terms(build()),
    "a copy": lambda: copy.deepcopy(build().half()).float(),
    "pickled": lambda: pickle.loads(pickle.dumps(build().half())).float(),
}


def half_terms(loss: lossreg.CompositeLoss) -> lossreg.CompositeLoss:
    loss.terms.half().float()
    return loss


@pytest.mark.parametrize("roundtrip", ROUNDTRIPS)
def test_class_weights_come_back_from_the_config(roundtrip: str) -> None:
    loss, expected = ROUNDTRIPS[roundtrip](), build()(values())
    out = loss(values())
    for name in TERMS:
        assert_bit_identical(out.terms[name], expected.terms[name])
    for weight in held(loss):
        assert_bit_identical(weight, torch.tensor(WEIGHTS))
    whole = loss(values(), denominators=loss.denominators([values()]))
    torch.testing.assert_close(whole.total, expected.total)


@pytest.mark.parametrize("terms", [TERMS, MASKED], ids=["plain", "sample weights"])
def test_class_weights_are_exact_in_float64(terms: dict[str, Any]) -> None:
    loss = build(terms).double()
    for weight in held(loss):
        assert weight.tolist() == WEIGHTS
    given = values(torch.float64)
    expected = nn.NLLLoss(torch.tensor(WEIGHTS, dtype=torch.float64))(given["x"], given["y"])
    torch.testing.assert_close(loss(given).terms["nll"], expected.detach(), rtol=1e-15, atol=0)


def test_the_unreduced_form_moves_with_its_loss() -> None:
    loss, given = build(), values()
    before = loss(given, denominators=loss.denominators([given])).total
    loss.double()
    precise = values(torch.float64)
    after = loss(precise, denominators=loss.denominators([precise])).total
    assert after.dtype == torch.float64
    torch.testing.assert_close(after.float(), before)


def test_class_weights_follow_the_tensors_to_their_device() -> None:
    loss = build(checks="never")  # which would read values
    moved = {name: each.to("meta") for name, each in values().items()}
    assert loss(moved).total.is_meta
    assert loss(values()).total.item() == build()(values()).total.item()


def test_a_tensor_of_class_weights_keeps_its_own_values() -> None:
    weight = torch.tensor(WEIGHTS, dtype=torch.float64)
    term = {"type": "nll", "params": {"weight": weight}}
    loss = lossreg.build({"terms": {"t": term}}).half().double()
    assert_bit_identical(loss.terms.t.weight, weight)


def test_nothing_derived_is_a_buffer() -> None:
    ramp = {"schedule": "linear", "start": 0.0, "end": 1.0, "steps": 10}
    loss = build({**TERMS, "nll": {**TERMS["nll"], "weight": ramp}})
    loss(values())
    assert list(loss.buffers()) == []
    assert list(loss.state_dict()) == ["progress._extra_state"]


@pytest.mark.parametrize(
    "average",
    [
        {"multi_avg_fn": get_ema_multi_avg_fn(0.5)},
        {"avg_fn": lambda old, new, _: 0.9 * old + 0.1 * new},
    ],
    ids=["ema", "by hand"],
)
@pytest.mark.parametrize("terms", [1, 2, 4])
def test_an_averaged_copy_has_one_answer(average: dict[str, Any], terms: int) -> None:
    ramp = {"schedule": "linear", "start": 0.0, "end": 1.0, "steps": 10}
    weighted = {"nll": {**TERMS["nll"], "weight": ramp}}
    weighted |= {name: TERMS[name] for name in list(TERMS)[1:terms]}
    model = nn.ModuleDict({"net": nn.Linear(2, 2), "loss": build(weighted)})
    averaged = AveragedModel(model, use_buffers=True, **average)
    for _ in range(4):
        model["loss"].step()
        averaged.update_parameters(model)
    loss = averaged.module["loss"]
    eager = loss(values())
    loss.compile(backend="aot_eager", fullgraph=True)
    compiled = loss(values())
    assert loss.weights["nll"] == eager.weights["nll"].item() == compiled.weights["nll"].item() == 0
    torch.testing.assert_close(compiled.total, eager.total)
    assert_bit_identical(loss.terms.nll.weight, torch.tensor(WEIGHTS))


class Kernel(nn.Module):
    """Has a buffer that no state holds, as a window or a kernel, and a copy of class weights."""

    def __init__(self, weight: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.tensor([1.0, 2.0, 3.0]), persistent=False)
        self.register_buffer("weight", None if weight is None else weight.clone())

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        entries = (x - y).abs() * self.kernel
        return (entries if self.weight is None else entries * self.weight).mean()


class KernelConfig(LossConfig):
    weight: ClassWeights | None = Field(None, description="A number a class.")


def build_kernel(config: KernelConfig) -> nn.Module:
    return Kernel(to_tensor(config.weight))


def kernel(**fields: Any) -> lossreg.CompositeLoss:
    definition = LossDefinition(
        name="kernel",
        config=KernelConfig,
        build=build_kernel,
        inputs=tuple(LossInput(name=name, meaning=name, shape="N C") for name in ("x", "p")),
        summary="made up",
    )
    module = ModuleType("acme_kernel")
    vars(module)["lossreg_losses"] = hookimpl(lambda: [definition], specname="lossreg_losses")
    registry = Registry([]).with_plugins(module)
    return lossreg.build({"terms": {"t": {"type": "kernel", **fields}}}, registry=registry)


LOST = r"^term 't': its buffer 'kernel' lost its values, by `to_empty` or on the meta device, and"


def meta_kernel() -> lossreg.CompositeLoss:
    with torch.device("meta"):
        return kernel()


LOSING = {
    "to_empty": lambda: kernel().to_empty(device="cpu"),
    "built on meta": meta_kernel,
    "meta, then to_empty": lambda: meta_kernel().to_empty(device="cpu"),
    "to meta and back": lambda: kernel().to("meta").to_empty(device="cpu"),
    "moved after that": lambda: kernel().to_empty(device="cpu").double(),
    "a copy": lambda: copy.deepcopy(kernel().to_empty(device="cpu")),
    "pickled": lambda: pickle.loads(pickle.dumps(kernel().to_empty(device="cpu"))),
    "inside a model": lambda: nn.ModuleList([kernel()]).to_empty(device="cpu")[0],
}


@pytest.mark.parametrize("losing", LOSING)
def test_a_buffer_that_no_state_holds_is_missed_by_name(losing: str) -> None:
    loss = LOSING[losing]()
    for _ in range(2):
        with pytest.raises(StateError, match=LOST):
            loss(values())
    with pytest.raises(StateError, match=LOST):
        loss.terms(values())
    loss.compile(backend="aot_eager")
    with pytest.raises(StateError, match=LOST):
        loss(values())


@pytest.mark.parametrize("losing", [name for name in LOSING if "meta" not in name])
def test_a_buffer_that_was_filled_again_is_as_good_as_new(losing: str) -> None:
    loss, given = LOSING[losing](), values()
    loss.terms.t.kernel.copy_(torch.tensor([1.0, 2.0, 3.0]))
    expected = kernel()(given).total
    torch.testing.assert_close(loss(given).total.to(expected), expected)
    torch.testing.assert_close(loss(given).total.to(expected), expected)


def test_a_move_that_keeps_values_loses_no_buffer() -> None:
    loss, given = kernel(), values()
    expected = loss(given).total
    for move in (nn.Module.double, nn.Module.float, nn.Module.cpu, nn.Module.share_memory):
        move(loss)
    assert_bit_identical(loss(given).total, expected)


def test_a_builders_own_copy_of_class_weights_comes_from_the_config_as_well() -> None:
    loss = kernel(params={"weight": WEIGHTS}).half().double()
    assert loss.terms.t.weight.tolist() == WEIGHTS
    assert [name for name, _ in loss.named_buffers()] == ["terms.t.kernel"]


def test_a_buffer_that_only_looks_like_class_weights_stays_one() -> None:
    loss = kernel(params={"weight": [1.0, 2.0, 3.0]})
    assert [name for name, _ in loss.named_buffers()] == ["terms.t.kernel"]
