"""Losses of a whole set that take the term's mask themselves, beside the same module by hand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

import lossreg
from lossreg.config import examine
from lossreg.errors import InputError
from lossreg.plugin import LossInput
from made_up import Reduced, a_loss, an_input, one_graph, registry_of

if TYPE_CHECKING:
    from collections.abc import Callable

DOUBLE = torch.float64


class Dice(nn.Module):
    """Soft dice of classes; `valid` says which pixels count."""

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
        p = logits.softmax(1)
        y = nn.functional.one_hot(target, logits.shape[1]).movedim(-1, 1).to(p)
        if valid is not None:
            assert valid.shape == target.shape
            assert valid.dtype == torch.bool
            p, y = p * valid[:, None], y * valid[:, None]
        return 1 - 2 * (p * y).sum() / (p + y).sum()


class Overlap(nn.Module):
    """Of indicators, with a mask of one channel, in floating point."""

    def forward(self, input: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:  # noqa: A002
        if mask is None:
            mask = torch.ones_like(input[:, :1])
        assert mask.dtype == input.dtype
        assert mask.shape == (input.shape[0], 1, *input.shape[2:])
        return 1 - (input * target * mask).sum() / ((input + target) * mask).sum()


DICE = a_loss(
    Dice,
    an_input("logits", "N C *", gradient=True),
    an_input("target", "N *", dtype="int", domain="class index"),
    an_input("valid", "N *", dtype="float or int", optional=True),
    name="dice",
    mask="valid",
)
OVERLAP = a_loss(
    Overlap,
    an_input("input", "N C *", gradient=True),
    an_input("target", "N C *", domain="zero or one"),
    an_input("mask", "N 1 *", optional=True),
    name="overlap",
    mask="mask",
    call="keyword",
)
REGISTRY = registry_of(DICE, OVERLAP)


def batch() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, generator=generator, dtype=DOUBLE).requires_grad_()
    labels = torch.randint(3, (2, 4, 4), generator=generator)
    valid = torch.rand(2, 4, 4, generator=generator) < 0.7
    return {"p": logits, "y": labels, "m": valid, "n": torch.tensor([True, False])}


def build(kind: str, **keys: Any) -> lossreg.CompositeLoss:
    term = {"type": kind, "inputs": ["p", "y"], **keys}
    return lossreg.build({"terms": {"t": term}}, registry=REGISTRY)


def kept(values: dict[str, Any]) -> Tensor:
    return values["y"] != 255


def rows(values: dict[str, Any]) -> Tensor:
    mask: Tensor = values["n"][:, None, None].expand(2, 4, 4)
    return mask


MASKS: dict[str, tuple[dict[str, Any], Callable[[dict[str, Any]], Tensor]]] = {
    "a mask": ({"mask": "m"}, lambda values: values["m"]),
    "of rows": ({"mask": "n"}, rows),
    "of a place": ({"mask": {"from": "n", "dims": [0]}}, rows),
    "ignore": ({"ignore": 255}, kept),
    "both": ({"mask": "m", "ignore": 255}, lambda values: values["m"] & kept(values)),
}


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize(("keys", "valid"), MASKS.values(), ids=MASKS)
def test_the_loss_gets_the_mask(
    keys: dict[str, Any], valid: Callable[[dict[str, Any]], Tensor], compiles: bool
) -> None:
    values, twins, loss = batch(), batch(), build("dice", **keys)
    for step in (values, twins):
        step["y"][0, :2, 1] = 255 if "ignore" in keys else 1
    mask = valid(values)
    clean = twins["y"].where(twins["y"] != 255, 0)
    forward = one_graph(loss) if compiles else loss
    with torch.no_grad():
        values["p"][:, 1][~mask] = 7.0 if compiles else torch.nan
    actual = forward(values).total
    expected = Dice()(twins["p"], clean, mask)
    torch.testing.assert_close(actual, expected, rtol=1e-13, atol=0)
    actual.backward()
    expected.backward()
    torch.testing.assert_close(values["p"].grad, twins["p"].grad, rtol=1e-12, atol=1e-15)


def test_without_a_mask_it_is_not_passed() -> None:
    values = batch()
    expected = Dice()(values["p"], values["y"])
    torch.testing.assert_close(build("dice")(values).total, expected)
    own = build("dice", inputs=["p", "y", "m"])
    expected = Dice()(values["p"], values["y"], values["m"])
    torch.testing.assert_close(own(values).total, expected)


@pytest.mark.parametrize(("channels", "path"), [(1, "w"), (None, "m")], ids=["whole", "squeezed"])
def test_a_mask_of_one_channel_is_in_the_dtype_of_the_first_input(
    channels: int | None, path: str
) -> None:
    values = batch()
    values["y"] = nn.functional.one_hot(values["y"], 3).movedim(-1, 1).double()
    values["w"] = values["m"][:, None]
    mask: Any = path if channels else {"from": path, "dims": [0, 2, 3]}
    actual = build("overlap", mask=mask)(values).total
    expected = Overlap()(values["p"], values["y"], mask=values["w"].double())
    torch.testing.assert_close(actual, expected)


def test_a_mask_that_does_not_fit_is_refused() -> None:
    values = batch()
    with pytest.raises(InputError, match=r"'mask' .*the leading dimensions of the mask that it"):
        build("dice", mask="m")({**values, "m": values["m"][:, :2]})
    with pytest.raises(InputError, match=r"'target' .*: expected class indices from 0 to 2"):
        build("dice", mask="m")({**values, "y": values["y"] + 7 * values["m"]})


WRONG: dict[str, tuple[str, str]] = {
    "weights": (
        "dice, inputs: [p, y], sample_weight: w",
        "LR213 'dice' returns one number, so 'sample_weight' does not apply",
    ),
    "two masks": (
        "dice, inputs: [p, y, m], mask: m",
        "LR215 'mask' goes to the input 'valid', which the term's inputs have already; remove one",
    ),
    "no target of its shape": (
        "overlap, inputs: [p, y], ignore: 255",
        "LR213 'overlap' has a target that does not match it entry by entry, so 'ignore' cannot",
    ),
    "a divisor": (
        "dice, inputs: [p, y], mask: m, divide_by: kept",
        "LR213 'dice' returns one number, so 'divide_by' can only be {rows: path}",
    ),
}


@pytest.mark.parametrize(("term", "message"), WRONG.values(), ids=WRONG)
def test_what_the_loss_cannot_take_is_located(term: str, message: str) -> None:
    text = f"terms: {{t: {{type: {term}}}}}"
    found = examine(text.encode(), registry=REGISTRY).diagnostics
    assert [f"{one.code} {one.message}"[: len(message)] for one in found] == [message]


@pytest.mark.parametrize(
    ("argument", "fields", "message"),
    [
        (an_input("valid"), {}, "must name an optional input that is a tensor of one shape, not"),
        (an_input("other", optional=True), {}, "must name an optional input"),
        (an_input("valid", "...", optional=True), {}, "'valid' has the shape '...'"),
        (an_input("valid", "N | N C", optional=True), {}, "'valid' has the shape 'N | N C'"),
        (an_input("valid", optional=True), {"config": Reduced}, "without reduction 'none'"),
    ],
)
def test_a_definition_says_which_input_takes_a_mask(
    argument: LossInput, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        a_loss(Dice, an_input("logits"), argument, mask="valid", **fields)
