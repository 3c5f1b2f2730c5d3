"""Connectionist temporal classification."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
import properties
from lossreg.testing import LossContract
from oracles import Draw, Example

TORCH = nn.CTCLoss
# There are 5 classes in the batch.
BEYOND_THE_BATCH = {"blank": lambda blank: 5 <= blank < 2**63}

REDUCTIONS = ("mean", "sum", "none")
# torch has no bfloat16 kernel for this loss.
DTYPES = (torch.float32, torch.float64)


def make_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "log_probs": torch.randn(8, 3, 5, generator=generator).log_softmax(-1),
        "targets": torch.tensor([[1, 2, 3], [3, 3, 1], [2, 1, 1]]),
        "input_lengths": torch.tensor([8, 7, 6]),
        "target_lengths": torch.tensor([3, 3, 2]),
    }


def example(draw: Draw) -> Example:
    n, c, s = draw.rows(4), draw.rng.randint(2, 4), draw.rng.randint(1, 3)
    t = 2 * s + draw.rng.randint(1, 3)
    params = draw.maybe(blank=c - 1, zero_infinity=True)
    blank = params.get("blank", 0)
    if "zero_infinity" in params:
        t = draw.rng.randint(2, t)  # too few steps for some targets
    return Example(
        params=params,
        tensors={
            "log_probs": draw.normal(t, n, c).log_softmax(-1),
            "targets": draw.labels(c - 1, n, s) + (blank == 0),
            "input_lengths": torch.full((n,), t) - draw.labels(2, n),
            "target_lengths": draw.labels(s + 1, n),
        },
        leaves=("log_probs",),
        counted=("target_lengths",),
        loss=lambda t, r: F.ctc_loss(*t.values(), reduction=r, **params),
        shape=(n,),
        axes={"log_probs": ((1,), math.nan)},
        scales=lambda t: 1 / t["target_lengths"].clamp(min=1).to(draw.dtype),
    )


def paths(labels: Tensor, count: int, steps: int, blank: int) -> list[tuple[int, ...]]:
    """All paths of so many steps that read as the first labels."""
    wanted = labels[:count].tolist()
    return [
        path
        for path in itertools.product({*wanted, blank}, repeat=steps)
        if [label for label, _ in itertools.groupby(path) if label != blank] == wanted
    ]


SYMBOLS_IN_WORDS = {r"\Pi": paths}


class TestCTC(LossContract):
    loss = "ctc"
    torch_free = True
    inert = {"zero_infinity": "all targets fit their inputs"}  # noqa: RUF012  (the suite declares it)

    def batch(self) -> dict[str, Tensor]:
        return make_batch()


def uniform(steps: int, classes: int) -> Tensor:
    """One sequence of log-probabilities, equal for all classes: T N C."""
    return torch.full((steps, 1, classes), -math.log(classes))


def lengths(*numbers: int) -> Tensor:
    return torch.tensor(numbers)


def test_value_by_hand() -> None:
    # Classes blank and a, each of probability 1/2, in two steps. Three of the four paths read
    # "a": a-, -a and aa. So the loss is -log 3/4, and the label sequence has length 1.
    value = lossreg.create("ctc")(uniform(2, 2), torch.tensor([[1]]), lengths(2), lengths(1))
    torch.testing.assert_close(value, torch.tensor(-math.log(3 / 4)))


def test_the_mean_divides_each_loss_by_its_length_then_by_the_batch() -> None:
    # Classes blank, a and b, each of probability 1/3, in two steps. One of the nine paths reads
    # "ab", two a step longer: log 9. Half of it, for length 2, is log 3.
    arguments = (uniform(2, 3), torch.tensor([[1, 2]]), lengths(2), lengths(2))
    whole, mean = (lossreg.create("ctc", reduction=reduction) for reduction in ("sum", "mean"))
    torch.testing.assert_close(whole(*arguments), torch.tensor(math.log(9)))
    torch.testing.assert_close(mean(*arguments), torch.tensor(math.log(3)))


def test_a_target_too_long_is_infinity_or_on_request_zero() -> None:
    # A repeated label needs a blank between: "aa" takes three steps.
    arguments = (torch.tensor([[1, 1]]), lengths(2), lengths(2))
    log_probs = uniform(2, 2).requires_grad_()
    assert lossreg.create("ctc")(log_probs, *arguments) == math.inf
    value = lossreg.create("ctc", zero_infinity=True)(log_probs, *arguments)
    (gradient,) = torch.autograd.grad(value, log_probs)
    assert value == 0
    assert not gradient.any()


def test_the_blank_is_any_class() -> None:
    # With blank 1, class 0 is the label: the same three of four paths.
    loss = lossreg.create("ctc", blank=1)
    value = loss(uniform(2, 2), torch.tensor([[0]]), lengths(2), lengths(1))
    torch.testing.assert_close(value, torch.tensor(-math.log(3 / 4)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_same_as_torch(dtype: torch.dtype) -> None:
    for reduction, blank, zero_infinity in itertools.product(REDUCTIONS, (0, 4), (False, True)):
        reference = nn.CTCLoss(blank=blank, reduction=reduction, zero_infinity=zero_infinity)
        properties.assert_same_as_torch(
            "ctc",
            reference,
            make_batch(),
            dtype=dtype,
            reduction=reduction,
            blank=blank,
            zero_infinity=zero_infinity,
        )


def test_zero_infinity_is_torchs_for_a_batch_with_a_target_too_long() -> None:
    batch = make_batch()
    batch["input_lengths"] = torch.tensor([8, 2, 6])
    for reduction, zero_infinity in itertools.product(REDUCTIONS, (False, True)):
        reference = nn.CTCLoss(reduction=reduction, zero_infinity=zero_infinity)
        properties.assert_same_as_torch(
            "ctc", reference, batch, reduction=reduction, zero_infinity=zero_infinity
        )


def test_targets_one_after_another_are_as_good_as_padded_ones() -> None:
    padded, joined = make_batch(), make_batch()
    joined["targets"] = torch.tensor([1, 2, 3, 3, 3, 1, 2, 1])
    properties.assert_same_as_torch("ctc", nn.CTCLoss(), joined)
    loss = lossreg.create("ctc")
    assert torch.equal(loss(*joined.values()), loss(*padded.values()))


def test_the_blank_alone_is_refused() -> None:
    batch = make_batch()
    batch["log_probs"] = batch["log_probs"][..., :1] * 0
    said = properties.refusal("ctc", batch)
    assert "'log_probs' (path 'log_probs'): expected at least two classes at dimension 2" in said
    assert "One class is the blank" in said


def test_logits_that_are_all_negative_are_warned_of() -> None:
    batch = make_batch()
    batch["log_probs"] = batch["log_probs"] / 10
    said = properties.suspicion("ctc", batch)
    assert "expected log-probabilities, found classes whose probabilities add up to" in said
    properties.assert_no_fault("ctc", make_batch())


def test_an_infinite_value_names_the_row_that_has_too_few_steps() -> None:
    loss = lossreg.build({"terms": {"fit": {"type": "ctc"}}})
    values = {
        "log_probs": torch.randn(3, 2, 5).log_softmax(-1),
        "targets": torch.tensor([[1, 2, 3, 4], [1, 2, 0, 0]]),
        "input_lengths": torch.tensor([3, 3]),
        "target_lengths": torch.tensor([4, 2]),
    }
    with pytest.raises(lossreg.NonFiniteError) as raised:
        loss(values)
    assert "Row 0 has 3 steps for 4 labels" in str(raised.value)
    assert "'target_lengths' at 'target_lengths': (2,) torch.int64 from 2 to 4" in str(raised.value)
