"""Gaussian negative log-likelihood."""

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
from lossreg.errors import NonFiniteError
from lossreg.testing import LossContract
from oracles import Draw, Example, entrywise

TORCH = nn.GaussianNLLLoss
REFUSED_BY_LOSSREG_ALONE: RefusedAlone = {
    "eps": (lambda eps: eps <= 0, "0 and below, which leave variances of 0 without a value"),
}


def make_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.randn(3, 4, generator=generator),
        "target": torch.randn(3, 4, generator=generator),
        "var": torch.rand(3, 4, generator=generator) + 0.1,
    }


def example(draw: Draw) -> Example:
    shape = draw.shape()
    params = draw.maybe(full=True, eps=0.3)
    tensors = {
        "input": draw.normal(*shape),
        "target": draw.normal(*shape),
        "var": draw.uniform(*shape),
    }
    return entrywise(
        lambda t, r: F.gaussian_nll_loss(**t, reduction=r, **params),
        tensors,
        ("input", "target", "var"),
        **params,
    )


class TestGaussianNLL(LossContract):
    loss = "gaussian_nll"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return make_batch()


def test_value_by_hand() -> None:
    # (log 4 + (3 - 1)^2 / 4) / 2 = log 2 + 1/2; in full, log(2 pi) / 2 more.
    arguments = torch.tensor([3.0]), torch.tensor([1.0]), torch.tensor([4.0])
    plain, full = (lossreg.create("gaussian_nll", full=full) for full in (False, True))
    expected = math.log(2) + 0.5
    torch.testing.assert_close(plain(*arguments), torch.tensor(expected))
    in_full = torch.tensor(expected + math.log(2 * math.pi) / 2)
    torch.testing.assert_close(full(*arguments), in_full)


def test_in_full_it_is_the_density_of_a_normal_distribution() -> None:
    batch = make_batch()
    density = torch.distributions.Normal(batch["input"], batch["var"].sqrt())
    value = lossreg.create("gaussian_nll", full=True, reduction="none")(*batch.values())
    torch.testing.assert_close(value, -density.log_prob(batch["target"]))


def test_with_a_variance_of_1_it_is_half_of_mse() -> None:
    batch = make_batch()
    pair = batch["input"], batch["target"]
    value = lossreg.create("gaussian_nll")(*pair, torch.ones(3, 4))
    torch.testing.assert_close(value, lossreg.create("mse")(*pair) / 2)


@pytest.mark.parametrize("dtype", properties.FLOAT_DTYPES, ids=str)
def test_same_as_torch(dtype: torch.dtype) -> None:
    for reduction, full, eps in itertools.product(
        ("mean", "sum", "none"), (False, True), (1e-6, 0.5)
    ):
        reference = nn.GaussianNLLLoss(full=full, eps=eps, reduction=reduction)
        properties.assert_same_as_torch(
            "gaussian_nll",
            reference,
            make_batch(),
            dtype=dtype,
            reduction=reduction,
            full=full,
            eps=eps,
        )


def test_a_variance_of_0_is_raised_to_eps_and_keeps_its_gradient() -> None:
    batch = {**make_batch(), "var": torch.zeros(3, 4)}
    reference = nn.GaussianNLLLoss(eps=1e-3)
    properties.assert_same_as_torch("gaussian_nll", reference, batch, eps=1e-3)


def test_a_negative_variance_is_refused_by_the_first_batchs_checks() -> None:
    batch = make_batch()
    batch["var"][1, 2] = -0.5
    assert "expected no negative value, found -0.5" in properties.refusal("gaussian_nll", batch)


def test_a_negative_variance_of_a_later_batch_is_reported() -> None:
    terms = {"depth": {"type": "gaussian_nll", "inputs": ["input", "target", "var"]}}
    loss = lossreg.build({"terms": terms, "checks": "never"})
    batch = make_batch()
    batch["var"][1, 2] = -0.5
    with pytest.raises(NonFiniteError, match="'var' has variances below 0") as raised:
        loss(batch)
    assert "depth" in str(raised.value)
    batch["m"] = torch.ones(3, 4, dtype=torch.bool)
    batch["m"][1, 2] = False
    masked = lossreg.build({"terms": {"depth": {**terms["depth"], "mask": "m"}}})
    assert masked(batch).total.isfinite()
