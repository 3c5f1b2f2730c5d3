"""What the looks that losses share find, and what they let pass."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lossreg.plugin import (
    Problem,
    aligned_weight,
    normalised_logits,
    several_classes,
    unnormalised,
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_problem_is_certain_unless_it_says_otherwise() -> None:
    assert Problem("input", "expected this, found that") == (
        "input",
        "expected this, found that",
        True,
    )


@pytest.mark.parametrize(
    ("shape", "dim", "where"),
    [
        ((2, 1), 1, " at dimension 1"),
        ((2, 1, 8, 8), 1, " at dimension 1"),
        ((1,), 1, ""),
        ((5, 2, 1), -1, " at dimension 2"),
        ((1,), -1, ""),
    ],
)
def test_one_class_is_nothing_to_choose(shape: tuple[int, ...], dim: int, where: str) -> None:
    found = several_classes("scores", torch.zeros(shape), "Is it mse?", dim=dim)
    assert found is not None
    assert found == (
        "scores",
        (
            f"expected at least two classes{where}, found one, {shape}: there is nothing to "
            "choose, whatever the model gives. Is it mse?"
        ),
        True,
    )


@pytest.mark.parametrize(
    ("shape", "dim"),
    [((2, 2), 1), ((1, 2), 1), ((1, 2, 1), 1), ((2,), 1), ((), 1), ((0, 3), 1), ((1, 1, 3), -1)],
)
def test_several_classes_pass(shape: tuple[int, ...], dim: int) -> None:
    assert several_classes("scores", torch.zeros(shape), "Is it mse?", dim=dim) is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(4, 3), (4, 100), (2, 3, 4, 5), (4, 2)])
def test_probabilities_are_no_logits(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    found = normalised_logits("input", normal(*shape).to(dtype).softmax(1), "use nll")
    assert found is not None
    assert (found.argument, found.certain) == ("input", False)
    assert "expected logits, found what looks like probabilities" in found.message
    assert found.message.endswith("use nll")


@pytest.mark.parametrize(
    "logits",
    [
        normal(4, 3),
        normal(4, 3).sigmoid(),  # from 0 to 1, as an untrained network's may be
        normal(4, 3).log_softmax(1),
        normal(4, 3, 5).softmax(-1),  # along another dimension
        normal(4, 3).softmax(1) * 2,
        normal(4, 3).softmax(1) - 0.01,
        normal(4, 3).softmax(1) + 0.001,
        torch.zeros(4, 3),
        torch.ones(4, 1),
        torch.zeros(0, 3),
        torch.tensor(1.0),
        torch.tensor([[0.25, 0.75], [0.5, 0.6]]),
        torch.tensor([[1.5, -0.5]]),
        torch.tensor([[0.25, 0.75], [math.nan, 1.0]]),
        torch.tensor([[0.25, 0.75]], dtype=torch.bfloat16),  # by chance
    ],
)
def test_logits_are_not_suspected(logits: Tensor) -> None:
    assert normalised_logits("input", logits, "use nll") is None


def test_probabilities_of_0_and_1_are_suspected() -> None:
    assert normalised_logits("input", torch.eye(3), "") is not None


def test_a_single_row_of_probabilities_is_suspected() -> None:
    assert normalised_logits("input", torch.tensor([[0.25, 0.75]]), "") is not None
    assert normalised_logits("input", torch.tensor([0.25, 0.75]), "") is not None


def test_rows_that_were_masked_do_not_acquit_probabilities() -> None:
    filled = normal(4, 3).softmax(1)
    filled[2] = 0
    assert normalised_logits("input", filled, "") is not None


@pytest.mark.parametrize("dim", [1, -1])
def test_logits_are_no_log_probabilities(dim: int) -> None:
    found = unnormalised("input", torch.full((4, 3), -0.5), "use cross_entropy", dim=dim)
    assert found == (
        "input",
        (
            "expected log-probabilities, found classes whose probabilities add up to 1.82, not 1; "
            "use cross_entropy"
        ),
        False,
    )
    assert unnormalised("input", torch.full((3,), -0.5), "", dim=dim) is not None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(4, 3), (64, 1000), (2, 3, 4, 5), (3,)])
def test_log_probabilities_are_not_suspected(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    log_probs = normal(*shape).log_softmax(min(1, len(shape) - 1)).to(dtype)
    assert unnormalised("input", log_probs, "") is None
    # Some of the classes: what is left out would make the sum whole.
    assert unnormalised("input", log_probs.narrow(min(1, len(shape) - 1), 0, 2), "") is None


def test_rows_that_were_masked_are_not_suspected() -> None:
    filled = normal(4, 3).log_softmax(1)
    filled[2] = 0
    assert unnormalised("input", filled, "") is None
    assert unnormalised("input", torch.zeros(0, 3), "") is None
    assert unnormalised("input", torch.tensor(0.0), "") is None


LIST = torch.tensor([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("weight", "shape"),
    [
        (None, (2, 5)),
        (LIST, (3,)),
        (LIST, (2, 3)),
        (LIST, (3, 3)),  # rows are no classes
        (LIST, (2, 5, 3)),
        (LIST, (3, 5, 3)),
        (LIST, (2, 8, 8, 3)),
        (torch.tensor([2.0]), (2, 3, 8, 8)),
        (torch.tensor(2.0), (2, 3)),
        (torch.ones(3, 1, 1), (2, 3, 8, 3)),
        (torch.ones(8, 3), (2, 3, 8, 3)),
        (torch.ones(2, 3, 8, 3), (2, 3, 8, 3)),
        (torch.ones(4, 1), (4, 3)),
    ],
)
def test_a_weight_where_torch_puts_it_passes(weight: Tensor | None, shape: tuple[int, ...]) -> None:
    assert aligned_weight("weight", weight, "input", torch.zeros(shape)) is None


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 4), "found (2, 4)"),
        ((3, 2), "found (3, 2)"),
        ((2, 1), "found (2, 1)"),  # torch would make columns of it
        ((4,), "found (4,)"),
        ((), "found ()"),
        ((2, 3, 8, 8), "[{permute: [0, 2, 3, 1]}, {flatten: {end: -2}}] if the classes are at"),
        ((2, 3, 8, 3), "[{permute: [0, 2, 3, 1]}, {flatten: {end: -2}}] if the classes are at"),
        ((2, 3, 5), "[{permute: [0, 2, 1]}, {flatten: {end: -2}}] if the classes are at"),
        ((2, 8, 3, 3), "dimension 1, or [{flatten: {end: -2}}] if they are last"),
        ((2, 8, 8, 5), "torch aligns them with the last dimension, found (2, 8, 8, 5)"),
    ],
)
def test_one_number_a_class_is_refused_where_classes_are_not_last(
    shape: tuple[int, ...], message: str
) -> None:
    found = aligned_weight("pos_weight", LIST, "input", torch.zeros(shape))
    assert found is not None
    assert (found.argument, found.certain) == ("input", True)
    assert "expected a last dimension of 3, because 'pos_weight' has 3 numbers" in found.message
    assert found.message.endswith(message) or message in found.message
    assert ("permute" in found.message) == (3 in shape[1:-1])


@pytest.mark.parametrize(
    ("weight", "shape"),
    [
        ((8, 3), (2, 3, 8, 4)),
        ((8, 3), (3,)),
        ((2, 3), (2, 1)),
        ((2, 1, 3), (2, 5, 4)),
        ((1, 1), (3,)),  # more dimensions than the loss, which torch refuses as well
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(
    weight: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    found = aligned_weight("weight", torch.ones(weight), "input", torch.zeros(shape))
    assert found == (
        "input",
        f"expected a shape that 'weight' {weight} fits on the right, found {shape}",
        True,
    )


def test_the_remedy_weighs_classes() -> None:
    # What the message says to write, against a weight of the shape C 1 1.
    logits, target = normal(2, 3, 4, 5), normal(2, 3, 4, 5, seed=1).sigmoid()
    function = torch.nn.functional.binary_cross_entropy_with_logits
    expected = function(logits, target, pos_weight=LIST.reshape(3, 1, 1))
    rows = [each.permute(0, 2, 3, 1).flatten(end_dim=-2) for each in (logits, target)]
    torch.testing.assert_close(function(*rows, pos_weight=LIST), expected)
    assert aligned_weight("pos_weight", LIST, "input", rows[0]) is None
