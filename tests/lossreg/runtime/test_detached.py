"""Where gradients stop, and the warning of a target that has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.nn import functional

import lossreg
from lossreg.errors import ConfigWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

FIT = {"type": "mse", "inputs": ["p", "y"]}
TRAINED = r"'target' \(path 'y'\): it requires a gradient, .* write detach: \[target\] to stop"


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def built(document: dict[str, Any]) -> lossreg.CompositeLoss:
    return lossreg.build(document)


def compiled(document: dict[str, Any]) -> lossreg.CompositeLoss:
    loss = lossreg.build(document)
    loss.compile(backend="aot_eager", fullgraph=True)
    return loss


HOW = pytest.mark.parametrize("make", [built, compiled])


def leaf(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    tensor = torch.randn(shape, generator=generator, dtype=torch.float64)
    return tensor.requires_grad_()


@HOW
def test_value_and_gradients_are_those_written_by_hand(make: Callable[..., Any]) -> None:
    document = {
        "frozen": ["teacher"],
        "terms": {
            "distil": {"type": "mse", "inputs": ["p", "teacher.y"]},
            "back": {"type": "l1", "inputs": ["q", "p"], "detach": ["target"], "weight": 0.5},
            "both": {"type": "l1", "inputs": ["p", "q"], "detach": []},
            "stopped": {"type": "smooth_l1", "inputs": ["p", "q"], "detach": ["input"]},
            "weighted": {
                "type": "mse",
                "inputs": ["q", "x"],
                "sample_weight": "teacher.w",
                "divide_by": "weights",
            },
        },
    }
    p, q, y = leaf(3, 4), leaf(3, 4, seed=1), leaf(3, 4, seed=2)
    w = leaf(3, 4, seed=3).detach().abs().requires_grad_()
    x = torch.zeros(3, 4, dtype=torch.float64)
    out = make(document)(p=p, q=q, x=x, teacher={"y": y, "w": w})
    by_hand = (
        functional.mse_loss(p, y.detach())
        + 0.5 * functional.l1_loss(q, p.detach())
        + functional.l1_loss(p, q)
        + functional.smooth_l1_loss(p.detach(), q)
        + (w.detach() * q**2).sum() / w.detach().sum()
    )
    torch.testing.assert_close(out.total, by_hand)
    expected = torch.autograd.grad(by_hand, [p, q])
    out.total.backward()
    torch.testing.assert_close((p.grad, q.grad), expected)
    assert y.grad is w.grad is None


@HOW
def test_a_frozen_list_is_detached_where_it_becomes_a_tensor(make: Callable[..., Any]) -> None:
    one, other = leaf(2, 3, seed=1), leaf(1, 3, seed=2)
    shown, hidden = leaf(2, 3, seed=3), leaf(1, 3, seed=4)
    target = {"from": "teacher.parts", "apply": ["cat", {"div": 2.0}]}
    fit = {"type": "mse", "inputs": [{"from": "parts", "apply": ["cat"]}, target]}
    loss = make({"frozen": ["teacher"], "terms": {"fit": fit}})
    total = loss({"parts": [one, other], "teacher": {"parts": [shown, hidden]}}).total
    expected = functional.mse_loss(torch.cat((one, other)), torch.cat((shown, hidden)) / 2)
    torch.testing.assert_close(total, expected)
    total.backward()
    assert one.grad is not None
    assert shown.grad is None
    assert hidden.grad is None


@HOW
def test_a_target_that_requires_a_gradient_is_warned_of_once(make: Callable[..., Any]) -> None:
    loss = make({"terms": {"fit": FIT}})
    with pytest.warns(ConfigWarning, match=TRAINED) as found:
        loss(p=leaf(3), y=leaf(3, seed=1))
    assert len(found) == 1
    loss(p=leaf(3), y=leaf(3, seed=1))  # warnings are errors


@HOW
@pytest.mark.parametrize(
    "document",
    [
        {"terms": {"fit": {**FIT, "detach": []}}},
        {"terms": {"fit": {**FIT, "detach": ["target"]}}},
        {"terms": {"fit": {**FIT, "detach": ["input"]}}},
        {"terms": {"g": {"detach": ["target"], "terms": {"fit": FIT}}}},
        {"terms": {"g": {"detach": [], "terms": {"fit": FIT}}}},
        {"frozen": ["y"], "terms": {"fit": FIT}},
        {"terms": {"fit": {"type": "mse", "inputs": ["p", {"from": "y", "apply": ["detach"]}]}}},
        {"terms": {"fit": {"type": "mse", "inputs": ["y", "x"]}}},
        {"terms": {"fit": {**FIT, "weight": 0}, "more": {"type": "mse", "inputs": ["y", "x"]}}},
    ],
)
def test_what_is_meant_is_not_warned_of(make: Callable[..., Any], document: dict[str, Any]) -> None:
    make(document)(p=leaf(3), y=leaf(3, seed=1), x=torch.zeros(3, dtype=torch.float64))


@HOW
def test_a_first_batch_without_gradients_does_not_use_up_the_warning(
    make: Callable[..., Any],
) -> None:
    loss = make({"terms": {"fit": FIT}})
    with torch.no_grad():
        loss(p=leaf(3), y=leaf(3, seed=1))
    with pytest.warns(ConfigWarning, match=TRAINED):
        loss(p=leaf(3), y=leaf(3, seed=1))


@pytest.mark.parametrize("checks", ["never", "first", "always"])
def test_it_is_warned_of_whatever_is_checked(checks: str) -> None:
    loss = lossreg.build({"checks": checks, "terms": {"fit": FIT}})
    with pytest.warns(ConfigWarning, match=TRAINED):
        loss(p=leaf(3), y=leaf(3, seed=1))
    loss(p=leaf(3), y=leaf(3, seed=1))


def test_a_detached_tensor_is_made_once_a_step() -> None:
    document = {
        "frozen": ["y"],
        "terms": {name: {"type": name, "inputs": ["p", "y"]} for name in ("mse", "l1")},
    }
    loss = lossreg.build(document)
    assert len(loss.terms._router.run({"p": leaf(2), "y": leaf(2)})) == 3  # p, y, y detached


def test_micro_batches_add_up_to_the_whole_batch() -> None:
    loss = lossreg.build({"terms": {"fit": {**FIT, "detach": ["target"], "mask": "m"}}})
    p, y = leaf(5), leaf(5, seed=1)
    m = torch.tensor([True, False, True, True, False])
    expected = torch.autograd.grad(loss(p=p, y=y, m=m).total, p)
    parts = [{"p": p[i], "y": y[i], "m": m[i]} for i in (slice(0, 3), slice(3, 5))]
    divisors = loss.denominators(parts)
    total = sum(loss(part, denominators=divisors).total for part in parts)
    torch.testing.assert_close(torch.autograd.grad(total, [p]), expected)
