"""Masks and sample weights that name their dimensions, or have all of them with sizes of 1."""

from __future__ import annotations

import re
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.nn import functional

import lossreg
from lossreg.errors import ConfigError, InputError
from lossreg.plugin import LossDefinition, hookimpl
from lossreg.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

SHAPE = (4, 3, 2, 5)
INPUTS = {"inputs": ["p", "y"]}


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def kept(*shape: int) -> Tensor:
    return normal(*shape, seed=7) > -0.5


# A tensor and its dims: the tensor in the shape of the unreduced loss, by hand.
PLACES: dict[str, tuple[tuple[int, ...], list[int] | None, tuple[int, ...], tuple[int, ...]]] = {
    "rows and places": ((4, 2, 5), [0, 2, 3], (0, 1, 2), (4, 1, 2, 5)),
    "the last one": ((5,), [-1], (0,), (1, 1, 1, 5)),
    "in another order": ((5, 4), [3, 0], (1, 0), (4, 1, 1, 5)),
    "of mixed signs": ((2, 4), [-2, 0], (1, 0), (4, 1, 2, 1)),
    "all of them": ((3, 4, 5, 2), [1, 0, 3, 2], (1, 0, 3, 2), SHAPE),
    "all of them with a 1": ((1, 4, 5, 2), [1, 0, 3, 2], (1, 0, 3, 2), (4, 1, 2, 5)),
    "a channel of 1": ((4, 1, 2, 5), None, (0, 1, 2, 3), (4, 1, 2, 5)),
    "a row of 1": ((1, 1, 2, 1), None, (0, 1, 2, 3), (1, 1, 2, 1)),
    "leading": ((4, 3), None, (0, 1), (4, 3, 1, 1)),
}


def whole(tensor: Tensor, order: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    return tensor.permute(order).reshape(shape).expand(SHAPE)


def route(path: str, dims: list[int] | None) -> Any:
    return path if dims is None else {"from": path, "dims": dims}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", PLACES)
def test_value_gradient_and_divisor_are_those_written_by_hand(name: str, compiled: bool) -> None:
    sizes, dims, order, shape = PLACES[name]
    mask, weight = kept(*sizes), normal(*sizes, seed=3).abs()
    p, y = normal(*SHAPE).requires_grad_(), normal(*SHAPE, seed=1)
    m, w = whole(mask, order, shape), whole(weight, order, shape)
    by_hand = ((p - y).abs() * w)[m].sum() / w[m].sum()
    # A nan under the mask reaches nothing.
    spoilt = torch.where(m, p.detach(), torch.nan).requires_grad_()
    term = {"type": "l1", **INPUTS, "mask": route("m", dims), "sample_weight": route("w", dims)}
    term["divide_by"] = "weights"
    loss = lossreg.build({"terms": {"fit": term}})
    if compiled:
        loss.compile(backend="aot_eager", fullgraph=True)
    total = loss(p=spoilt, y=y, m=mask, w=weight).total
    torch.testing.assert_close(total, by_hand)
    torch.testing.assert_close(
        torch.autograd.grad(total, spoilt), torch.autograd.grad(by_hand, p), equal_nan=False
    )
    divisor = loss.denominators([{"y": y, "m": mask, "w": weight}]).values
    torch.testing.assert_close(divisor, w[m].sum().reshape(1))


def test_micro_batches_add_up_to_the_whole_batch() -> None:
    term = {
        "type": "mse",
        **INPUTS,
        "mask": route("m", [0, 2]),
        "sample_weight": "w",
        "divide_by": "weights",
    }
    loss = lossreg.build({"terms": {"fit": term}})
    p, y = normal(*SHAPE).requires_grad_(), normal(*SHAPE, seed=1)
    m, w = kept(4, 2), normal(4, 1, 1, 5, seed=3).abs()
    expected = torch.autograd.grad(loss(p=p, y=y, m=m, w=w).total, p)
    parts = [{"p": p[i], "y": y[i], "m": m[i], "w": w[i]} for i in (slice(0, 1), slice(1, 4))]
    divisors = loss.denominators(parts)
    total = sum(loss(part, denominators=divisors).total for part in parts)
    torch.testing.assert_close(torch.autograd.grad(total, [p]), expected)


def test_classes_are_not_a_dimension_of_the_unreduced_loss() -> None:
    logits, labels = normal(4, 6, 2, 5).requires_grad_(), torch.arange(40).reshape(4, 2, 5) % 6
    columns, weight = kept(5), normal(2, seed=3).abs()
    term = {
        "type": "cross_entropy",
        **INPUTS,
        "mask": route("m", [2]),
        "sample_weight": {"from": "w", "dims": [1]},
        "ignore": 3,
        "divide_by": "weights",
    }
    loss = lossreg.build({"terms": {"fit": term}})
    entries = functional.cross_entropy(logits, labels, reduction="none")
    keep = columns.expand(4, 2, 5) & (labels != 3)
    w = weight[:, None].expand(4, 2, 5)
    total = loss(p=logits, y=labels, m=columns, w=weight).total
    torch.testing.assert_close(total, (entries * w)[keep].sum() / w[keep].sum())


def test_rows_are_counted_where_anything_is_kept() -> None:
    term = {
        "type": "kl_div",
        **INPUTS,
        "mask": {"from": "m", "dims": [-1, 0]},
        "params": {"reduction": "batchmean"},
    }
    p, y = normal(4, 3).log_softmax(-1), normal(4, 3, seed=1).softmax(-1)
    m = torch.tensor([[1, 0, 0, 1], [0, 0, 0, 1], [0, 0, 1, 0]]).bool()
    total = lossreg.build({"terms": {"fit": term}})(p=p, y=y, m=m).total
    entries = functional.kl_div(p, y, reduction="none")
    torch.testing.assert_close(total, entries[m.T].sum() / 3)


FAULTS: dict[str, tuple[list[int] | None, tuple[int, ...], str]] = {
    "beyond": (
        [4],
        (4,),
        "expected dims from -4 to 3 for an unreduced loss of (4, 3, 2, 5), found 4",
    ),
    "twice": ([0, -4], (4, 4), "-4 is the dimension 0 of the unreduced loss (4, 3, 2, 5)"),
    "another size": (
        [0, 3],
        (4, 2),
        "expected (4, 5), the dimensions [0, 3] of the unreduced loss (4, 3, 2, 5), found (4, 2)",
    ),
    "another number": ([0, 3], (4,), "expected (4, 5), the dimensions [0, 3]"),
    "a size of 1 among some": ([0, 3], (4, 1), "expected (4, 5), the dimensions [0, 3]"),
    "a size of 1 among leading ones": (None, (4, 1), "expected the leading dimensions of"),
    "neither 1 nor the size": (None, (4, 1, 2, 2), "expected the leading dimensions of"),
}


@pytest.mark.parametrize("key", ["mask", "sample_weight"])
@pytest.mark.parametrize("name", FAULTS)
def test_what_does_not_fit_is_an_error(name: str, key: str) -> None:
    dims, sizes, message = FAULTS[name]
    loss = lossreg.build(
        {"terms": {"fit": {"type": "mse", **INPUTS, "divide_by": "kept", key: route("m", dims)}}}
    )
    with pytest.raises(InputError, match=rf"'{key}' \(path 'm'\): .*{re.escape(message)[12:]}"):
        loss(p=normal(*SHAPE), y=normal(*SHAPE), m=torch.ones(sizes))


@pytest.mark.parametrize("key", ["mask", "sample_weight"])
def test_the_message_says_what_to_write(key: str) -> None:
    loss = lossreg.build(
        {"terms": {"fit": {"type": "mse", **INPUTS, "divide_by": "kept", key: "m"}}}
    )
    words = f"found (4, 2, 5); if it has the dimensions [0, 2, 3], write {key}: {{from: ..., dims: "
    with pytest.raises(InputError, match=re.escape(f"{words}[0, 2, 3]}}")):
        loss(p=normal(*SHAPE), y=normal(*SHAPE), m=torch.ones(4, 2, 5))
    # Several places fit: a guess would be one too many.
    with pytest.raises(InputError, match=r"found \(2,\)$"):
        loss(p=normal(4, 2, 2), y=normal(4, 2, 2), m=torch.ones(2))


def test_dims_count_in_the_fingerprint() -> None:
    terms = [{"type": "mse", "mask": route("m", dims)} for dims in (None, [0], [1])]
    prints = {lossreg.build({"terms": {"fit": term}}).fingerprint for term in terms}
    assert len(prints) == 3


def test_a_loss_of_unknown_shape_refuses_dims() -> None:
    definition = LossDefinition.from_module(
        torch.nn.MSELoss, name="unshaped", reductions=("mean", "sum", "none")
    )
    module = ModuleType("acme_unshaped")
    vars(module)["lossreg_losses"] = hookimpl(lambda: [definition], specname="lossreg_losses")
    registry = Registry([]).with_plugins(module)
    term = {"type": "unshaped", "inputs": ["p", "y"], "sample_weight": {"from": "w", "dims": [1]}}
    with pytest.raises(ConfigError, match="does not declare the shape of its unreduced loss"):
        lossreg.build({"terms": {"fit": term}}, registry=registry)
