"""Poisson negative log-likelihood."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
import properties
from built_ins import RefusedAlone
from lossreg.testing import LossContract
from oracles import Draw, Example, entrywise

TORCH = nn.PoissonNLLLoss
REFUSED_BY_LOSSREG_ALONE: RefusedAlone = {
    "eps": (lambda eps: eps < 0, "A negative number, which makes small rates nan"),
}

REDUCTIONS = ("mean", "sum", "none")


def make_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.rand(3, 4, generator=generator) + 0.1,  # good as rate and as logarithm
        "target": torch.randint(0, 6, (3, 4), generator=generator).float(),
    }


def example(draw: Draw) -> Example:
    shape = draw.shape()
    params = draw.maybe(log_input=False, full=True, eps=1e-4)
    counts = draw.labels(6, *shape).to(draw.dtype)
    tensors = {"input": draw.uniform(*shape), "target": counts}
    return entrywise(
        lambda t, r: F.poisson_nll_loss(**t, reduction=r, **params),
        tensors,
        ("input",),
        **params,
    )


class TestPoissonNLL(LossContract):
    loss = "poisson_nll"
    torch_free = True
    inert = {"eps": "the input is a logarithm"}  # noqa: RUF012  (the suite declares it)

    def batch(self) -> dict[str, Tensor]:
        return make_batch()


class TestPoissonNLLOfRates(TestPoissonNLL):
    params = {"log_input": False}  # noqa: RUF012  (the suite declares it)
    inert = {}  # noqa: RUF012


def test_value_by_hand() -> None:
    count = torch.tensor([3.0])
    # rate 2: 2 - 3 log 2.  In full, Stirling's approximation of log 3! is added:
    # 3 log 3 - 3 + log(2 pi 3) / 2
    plain = 2 - 3 * math.log(2)
    stirling = 3 * math.log(3) - 3 + math.log(2 * math.pi * 3) / 2
    found = [
        lossreg.create("poisson_nll")(torch.tensor([math.log(2)]), count),
        lossreg.create("poisson_nll", log_input=False, eps=0)(torch.tensor([2.0]), count),
        lossreg.create("poisson_nll", full=True)(torch.tensor([math.log(2)]), count),
    ]
    torch.testing.assert_close(torch.stack(found), torch.tensor([plain, plain, plain + stirling]))


def test_full_adds_nothing_to_counts_of_zero_and_one() -> None:
    rate, count = torch.tensor([0.5, 0.5]), torch.tensor([0.0, 1.0])
    plain, full = (lossreg.create("poisson_nll", full=full) for full in (False, True))
    assert torch.equal(full(rate, count), plain(rate, count))


def test_eps_keeps_a_rate_of_zero_finite() -> None:
    rate, count = torch.tensor([0.0, 0.0]), torch.tensor([0.0, 1.0])
    # 0 - 0 log 1e-8 = 0;  0 - 1 log 1e-8 = 8 log 10
    loss = lossreg.create("poisson_nll", log_input=False, reduction="none")
    torch.testing.assert_close(loss(rate, count), torch.tensor([0.0, 8 * math.log(10)]))


def test_the_best_rate_is_the_count() -> None:
    count = torch.tensor([1.0, 2.0, 5.0])
    log_rate = count.log().requires_grad_()
    lossreg.create("poisson_nll")(log_rate, count).backward()
    torch.testing.assert_close(log_rate.grad, torch.zeros(3))


@pytest.mark.parametrize("dtype", properties.FLOAT_DTYPES, ids=str)
def test_same_as_torch(dtype: torch.dtype) -> None:
    for reduction, log_input, full, eps in itertools.product(
        REDUCTIONS, (True, False), (False, True), (0.0, 1e-8, 0.1)
    ):
        reference = nn.PoissonNLLLoss(log_input=log_input, full=full, eps=eps, reduction=reduction)
        properties.assert_same_as_torch(
            "poisson_nll",
            reference,
            make_batch(),
            dtype=dtype,
            reduction=reduction,
            log_input=log_input,
            full=full,
            eps=eps,
        )


def test_integer_targets_are_as_good() -> None:
    batch = make_batch()
    batch["target"] = batch["target"].long()
    properties.assert_same_as_torch("poisson_nll", nn.PoissonNLLLoss(full=True), batch, full=True)


def test_a_negative_rate_is_refused() -> None:
    tensors = {"input": torch.tensor([1.0, -5.0]), "target": torch.tensor([2.0, 1.0])}
    said = properties.refusal("poisson_nll", tensors, params={"log_input": False})
    assert "'input' (path 'input'): expected rates of at least 0" in said
    assert "found -5" in said
    assert "softplus" in said
    properties.assert_no_fault("poisson_nll", tensors)  # a logarithm may be negative


def test_a_rate_of_0_and_a_negative_one_under_a_mask_are_taken() -> None:
    tensors = {"input": torch.tensor([0.0, -5.0]), "target": torch.tensor([2.0, 1.0])}
    tensors["m"] = torch.tensor([True, False])
    properties.assert_no_fault("poisson_nll", tensors, params={"log_input": False}, mask="m")
