"""Divergence of Gaussians."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

import lossreg
from lossreg.errors import ConfigWarning
from lossreg.testing import LossContract
from oracles import Draw, Example, entrywise

TORCH = None  # its divergences are of distributions
NAMES = ("mean", "log_var", "prior_mean", "prior_log_var")


def make_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(4, 3, generator=generator) for name in NAMES}


def by_hand(tensors: dict[str, Tensor], reduction: str) -> Tensor:
    """The textbook's formula, with the module's order of operations."""
    mean, log_var, prior_mean, prior_log_var = (tensors[name] for name in NAMES)
    ratio = log_var - prior_log_var
    squares = (mean - prior_mean) ** 2 * torch.exp(-prior_log_var)
    losses = 0.5 * (torch.expm1(ratio) - ratio + squares)
    if reduction == "batchmean":
        return losses.sum() / len(losses)
    return losses if reduction == "none" else getattr(losses, reduction)()


def example(draw: Draw) -> Example:
    shape = draw.shape()
    tensors = {name: draw.normal(*shape) for name in NAMES}
    drawn = entrywise(by_hand, tensors, NAMES)
    return dataclasses.replace(drawn, counted=())


class TestGaussianKL(LossContract):
    loss = "gaussian_kl"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return make_batch()


class TestGaussianKLOfRows(TestGaussianKL):
    params = {"reduction": "batchmean"}  # noqa: RUF012  (the suite declares it)


@pytest.mark.parametrize(
    ("reduction", "expected"), [("mean", 0.75), ("sum", 3.0), ("batchmean", 1.5)]
)
def test_value_by_hand(reduction: str, expected: float) -> None:
    # Of equal variances, half the squared distance over the variance: 1/2, 2, 0, and 1/2 of 4/4.
    mean = torch.tensor([[1.0, 2.0], [0.0, 2.0]])
    log_var = torch.tensor([[0.0, 0.0], [0.0, math.log(4)]])
    module = lossreg.create("gaussian_kl", reduction=reduction)
    value = module(mean, log_var, torch.zeros(2, 2), log_var)
    torch.testing.assert_close(value, torch.tensor(expected))


def test_it_is_the_divergence_of_torchs_distributions() -> None:
    batch = {name: tensor.double() for name, tensor in make_batch().items()}
    code = Normal(batch["mean"], (batch["log_var"] / 2).exp())
    prior = Normal(batch["prior_mean"], (batch["prior_log_var"] / 2).exp())
    value = lossreg.create("gaussian_kl", reduction="none")(*batch.values())
    torch.testing.assert_close(value, kl_divergence(code, prior))


def test_against_the_standard_normal_by_constants() -> None:
    inputs = {
        "mean": "m",
        "log_var": "s",
        "prior_mean": {"constant": 0.0},
        "prior_log_var": {"constant": 0.0},
    }
    term = {"type": "gaussian_kl", "inputs": inputs, "params": {"reduction": "batchmean"}}
    batch = make_batch()
    mean, log_var = batch["mean"], batch["log_var"]
    out = lossreg.build({"terms": {"prior": term}})(m=mean, s=log_var)
    expected = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum(1).mean()
    torch.testing.assert_close(out.total, expected)


def test_a_code_that_is_the_prior_costs_nothing() -> None:
    batch = make_batch()
    pair = batch["mean"], batch["log_var"]
    assert not lossreg.create("gaussian_kl", reduction="none")(*pair, *pair).any()


def test_variances_that_hardly_differ_keep_their_digits() -> None:
    # (exp(d) - 1 - d) / 2 is d^2 / 4 here, of which the plain formula has no digit.
    zero, d = torch.zeros(1), torch.full((1,), 1e-4)
    value = lossreg.create("gaussian_kl")(zero, d, zero, zero)
    torch.testing.assert_close(value, torch.tensor(2.5e-9), rtol=0.2, atol=0.0)


def test_a_mean_over_entries_is_warned_of() -> None:
    term = {"type": "gaussian_kl", "inputs": list(NAMES)}
    with pytest.warns(ConfigWarning, match="batchmean by the rows, as the lower bound does"):
        lossreg.build({"terms": {"prior": term}})
