"""Classes elsewhere than at dimension 1: `class_dim`, and what is said without it."""

from __future__ import annotations

import re
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.nn import functional

import lossreg
from lossreg.errors import ConfigError, InputError
from lossreg.plugin import LossConfig, LossDefinition, LossInput, Reduction, hookimpl
from lossreg.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def labels(classes: int, *shape: int) -> Tensor:
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(3))


def soft(*shape: int) -> Tensor:
    return normal(*shape, seed=4).softmax(-1)


def term(name: str = "cross_entropy", class_dim: int = -1, **fields: Any) -> dict[str, Any]:
    return {"type": name, "inputs": ["p", "y"], "class_dim": class_dim, **fields}


def build(written: dict[str, Any]) -> lossreg.CompositeLoss:
    return lossreg.build({"terms": {"fit": written}})


# A term, its tensors, and the same by hand.
CASES: dict[str, tuple[dict[str, Any], Tensor, Tensor, Any]] = {
    "tokens": (
        term(),
        normal(2, 6, 9),
        labels(9, 2, 6),
        lambda p, y: functional.cross_entropy(p.movedim(-1, 1), y),
    ),
    "as many tokens as words": (
        term(params={"ignore_index": 3}),
        normal(2, 9, 9),
        labels(9, 2, 9),
        lambda p, y: functional.cross_entropy(p.movedim(-1, 1), y, ignore_index=3),
    ),
    "probabilities": (
        term(params={"label_smoothing": 0.1}),
        normal(2, 9, 9),
        soft(2, 9, 9),
        lambda p, y: functional.cross_entropy(
            p.movedim(-1, 1), y.movedim(-1, 1), label_smoothing=0.1
        ),
    ),
    "an image": (
        term("nll2d", 3),
        normal(2, 4, 4, 4).log_softmax(-1),
        labels(4, 2, 4, 4),
        lambda p, y: functional.nll_loss(p.permute(0, 3, 1, 2).contiguous(), y),
    ),
    "rows": (term(), normal(5, 4), labels(4, 5), functional.cross_entropy),
    "columns": (
        term("multi_margin", 0),
        normal(4, 4),
        labels(4, 4),
        lambda p, y: functional.multi_margin_loss(p.T, y),
    ),
    "lists of classes": (
        term("multilabel_margin", 0),
        normal(3, 3),
        torch.tensor([[2, 1, 0], [-1, 0, -1], [-1, -1, -1]]),
        lambda p, y: functional.multilabel_margin_loss(p.T.contiguous(), y.T.contiguous()),
    ),
    "a single example": (
        term(),
        normal(4),
        torch.tensor(2),
        functional.cross_entropy,
    ),
    "the default": (
        term(class_dim=1),
        normal(2, 9, 6),
        labels(9, 2, 6),
        functional.cross_entropy,
    ),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_are_those_written_by_hand(name: str, compiled: bool) -> None:
    written, p, y, by_hand = CASES[name]
    p = p.clone().requires_grad_()
    loss = build(written)
    if compiled:
        loss.compile(backend="aot_eager", fullgraph=True)
    total, expected = loss(p=p, y=y).total, by_hand(p, y)
    torch.testing.assert_close(total, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(torch.autograd.grad(total, p), torch.autograd.grad(expected, p))


@pytest.mark.parametrize("target", [labels(9, 4, 9), soft(4, 9, 9)], ids=["indices", "soft"])
def test_masks_and_weights_have_the_shape_of_the_labels(target: Tensor) -> None:
    p = normal(4, 9, 9).requires_grad_()
    mask, weight = normal(4, 9, seed=5) > 0, normal(9, seed=6).abs()
    written = term(mask="m", sample_weight={"from": "w", "dims": [1]}, divide_by="weights")
    loss = build(written)
    y = target if target.dim() == 2 else target.movedim(-1, 1)
    entries = functional.cross_entropy(p.movedim(-1, 1), y, reduction="none")
    w = weight.expand(4, 9)[mask]
    expected = (entries[mask] * w).sum() / w.sum()
    # A nan under the mask reaches nothing.
    spoilt = torch.where(mask[..., None], p.detach(), torch.nan).requires_grad_()
    total = loss(p=spoilt, y=target, m=mask, w=weight).total
    torch.testing.assert_close(total, expected)
    gradient = torch.autograd.grad(total, spoilt)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, p))
    cuts = (slice(0, 1), slice(1, 4))
    parts = [{"p": spoilt[i], "y": target[i], "m": mask[i], "w": weight} for i in cuts]
    divisors = loss.denominators([{k: v for k, v in part.items() if k != "p"} for part in parts])
    shares = sum(loss(part, denominators=divisors).total for part in parts)
    torch.testing.assert_close(torch.autograd.grad(shares, [spoilt]), gradient)


EXPECTED_AT_1 = "The classes of 'input' are expected at dimension 1"
MESSAGES: dict[str, tuple[dict[str, Any], tuple[int, ...], Tensor, str]] = {
    "last": (
        term(class_dim=1),
        (2, 6, 9),
        labels(9, 2, 6),
        (
            "expected a shape that fits (2, 6, 9) of 'input', found (2, 6); torch would broadcast "
            f"or refuse it. {EXPECTED_AT_1}; if they are last, write class_dim: -1 in the term"
        ),
    ),
    "probabilities last, labels of fewer": (
        term(class_dim=1),
        (2, 6, 9),
        soft(2, 5, 9),
        f"found (2, 5, 9); torch would broadcast or refuse it. {EXPECTED_AT_1}",
    ),
    "nowhere": (
        term(class_dim=1),
        (2, 6, 9),
        labels(9, 3),
        f"found (3,); torch would broadcast or refuse it. {EXPECTED_AT_1}",
    ),
    "at dimension 1 after all": (
        term(),
        (2, 9, 6),
        labels(9, 2, 6),
        "class_dim: -1 moved the classes of 'input' to dimension 1; without it they fit",
    ),
    "moved, but nowhere": (
        term(),
        (2, 6, 9),
        labels(9, 3),
        (
            "fits (2, 9, 6) of 'input', found (3,); torch would broadcast or refuse it. "
            "class_dim: -1 moved the classes of 'input' to dimension 1"
        ),
    ),
    "beyond": (
        term(class_dim=3),
        (2, 6, 9),
        labels(9, 2, 6),
        "'class_dim' of (2, 6, 9) torch.float64 failed: Dimension out of range",
    ),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", MESSAGES)
def test_what_does_not_fit_says_where_classes_are_expected(name: str, compiled: bool) -> None:
    written, sizes, y, message = MESSAGES[name]
    loss = build(written)
    if compiled:
        loss.compile(backend="aot_eager", fullgraph=True)
    end = "" if name == "beyond" else "$"
    with pytest.raises(InputError, match=re.escape(message) + end):
        loss(p=normal(*sizes), y=y)


def test_only_another_dimension_counts_in_the_fingerprint() -> None:
    plain = {"type": "cross_entropy", "inputs": ["p", "y"]}
    prints = [build(each).fingerprint for each in (plain, term(class_dim=1), term(), term("nll"))]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_a_tensor_is_moved_once_a_step() -> None:
    loss = lossreg.build({"terms": {"a": term(), "b": term(params={"reduction": "sum"})}})
    tensors = loss.terms._router.run({"p": normal(2, 3, 4), "y": labels(4, 2, 3)})
    assert [tuple(tensor.shape) for tensor in tensors] == [(2, 3, 4), (2, 4, 3), (2, 3), (2, 3)]


class Config(LossConfig):
    reduction: Reduction = "mean"


@pytest.mark.parametrize("classes", [1, 3])
def test_a_target_of_one_channel_or_of_each_class_is_moved_as_well(classes: int) -> None:
    definition = LossDefinition(
        name="soft",
        config=Config,
        build=lambda config: torch.nn.BCEWithLogitsLoss(reduction=config.reduction),
        inputs=(
            LossInput(name="input", meaning="logits", shape="N C *", gradient=True),
            LossInput(name="target", meaning="indicators", shape=("N 1 *", "N C *")),
        ),
        unreduced="N C *",
        summary="made up",
    )
    module = ModuleType("acme_soft")
    vars(module)["lossreg_losses"] = hookimpl(lambda: [definition], specname="lossreg_losses")
    registry = Registry([]).with_plugins(module)
    p, y = normal(2, 5, classes), soft(2, 5, classes)
    loss = lossreg.build({"terms": {"fit": term("soft", class_dim=-1)}}, registry=registry)
    seen = loss.terms._router.run({"p": p, "y": y})
    assert [tuple(tensor.shape) for tensor in seen if tensor is not p and tensor is not y] == [
        (2, classes, 5)
    ] * 2
    with pytest.raises(InputError, match=r"expected the shape N 1 \* or N C \*, found \(2,\)"):
        loss(p=p, y=y[:, 0, 0])


@pytest.mark.parametrize("key", ["mask", "sample_weight"])
def test_an_unreduced_loss_with_classes_takes_no_masks_beside_it(key: str) -> None:
    definition = LossDefinition(
        name="focal",
        config=Config,
        build=lambda config: torch.nn.BCEWithLogitsLoss(reduction=config.reduction),
        inputs=(
            LossInput(name="input", meaning="logits", shape="N C *", gradient=True),
            LossInput(name="target", meaning="indicators", shape="N C *", counted=True),
        ),
        unreduced="N C *",
        summary="made up",
    )
    module = ModuleType("acme_focal")
    vars(module)["lossreg_losses"] = hookimpl(lambda: [definition], specname="lossreg_losses")
    registry = Registry([]).with_plugins(module)
    p, y = normal(2, 3, 4), soft(2, 3, 4)
    loss = lossreg.build({"terms": {"fit": term("focal")}}, registry=registry)
    expected = functional.binary_cross_entropy_with_logits(p, y)
    torch.testing.assert_close(loss(p=p, y=y).total, expected)
    message = f"the unreduced loss of 'focal' has the classes as well, so beside '{key}' permute"
    with pytest.raises(ConfigError, match=message):
        lossreg.build({"terms": {"fit": term("focal", **{key: "m"})}}, registry=registry)
