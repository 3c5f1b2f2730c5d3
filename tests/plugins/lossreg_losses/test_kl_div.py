from __future__ import annotations

from itertools import product
from math import log

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

import lossreg
from lossreg.testing import LossContract
from oracles import Draw, Example, entrywise
from properties import FLOAT_DTYPES, assert_no_fault, assert_same_as_torch, suspicion

TORCH = nn.KLDivLoss

# torch says at every call of `mean` that it is not the divergence.
pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input": torch.randn(4, 3, generator=generator).log_softmax(-1),
        "target": torch.randn(4, 3, generator=generator).softmax(-1),
    }


def example(draw: Draw) -> Example:
    shape = (*draw.shape(0, 2), draw.rng.randint(2, 5))
    params = draw.maybe(log_target=True)
    target = draw.normal(*shape).softmax(-1)
    tensors = {
        "input": draw.normal(*shape).log_softmax(-1),
        "target": target.log() if params else target,
    }
    return entrywise(lambda t, r: F.kl_div(**t, reduction=r, **params), tensors, **params)


class TestKLDiv(LossContract):
    loss = "kl_div"
    torch_free = True

    def batch(self) -> dict[str, Tensor]:
        return batch()


class TestKLDivBatchmean(TestKLDiv):
    params = {"reduction": "batchmean"}  # noqa: RUF012  (the suite declares it)


@pytest.mark.parametrize(
    ("reduction", "rows_or_entries"), [("sum", 1), ("batchmean", 2), ("mean", 4)]
)
def test_value_by_hand(reduction: str, rows_or_entries: int) -> None:
    # The first row: 1/2 log(1/2 : 1/4) + 1/2 log(1/2 : 3/4) = 1/2 log 2 + 1/2 log 2/3
    # = 1/2 log 4/3. The second row is the target itself: 0.
    log_probs = torch.tensor([[0.25, 0.75], [0.5, 0.5]]).log()
    value = lossreg.create("kl_div", reduction=reduction)(log_probs, torch.full((2, 2), 0.5))
    assert value.item() == pytest.approx(0.5 * log(4 / 3) / rows_or_entries)


def test_log_target_is_the_logarithm_of_the_target() -> None:
    log_probs, target = batch().values()
    torch.testing.assert_close(
        lossreg.create("kl_div", reduction="none", log_target=True)(log_probs, target.log()),
        lossreg.create("kl_div", reduction="none")(log_probs, target),
    )


def test_the_target_itself_is_at_no_distance() -> None:
    log_probs = batch()["input"]
    assert lossreg.create("kl_div", reduction="sum", log_target=True)(log_probs, log_probs) == 0


def test_batchmean_of_positions_has_as_many_times_the_gradient_of_cross_entropy() -> None:
    logits = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    target = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(1)).softmax(1)
    divergence = lossreg.create("kl_div", reduction="batchmean")(logits.log_softmax(1), target)
    (actual,) = torch.autograd.grad(divergence, logits)
    (one,) = torch.autograd.grad(lossreg.create("cross_entropy")(logits, target), logits)
    torch.testing.assert_close(actual, 5 * one)


def test_has_the_gradient_of_cross_entropy() -> None:
    target = batch()["target"]
    divergence, entropy = (torch.zeros(4, 3, requires_grad=True) for _ in range(2))
    lossreg.create("kl_div", reduction="batchmean")(divergence.log_softmax(-1), target).backward()
    lossreg.create("cross_entropy")(entropy, target).backward()
    torch.testing.assert_close(divergence.grad, entropy.grad)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_is_torchs_bit_for_bit(dtype: torch.dtype) -> None:
    good = batch()
    for reduction, log_target in product(("mean", "sum", "none", "batchmean"), (False, True)):
        params = {"reduction": reduction, "log_target": log_target}
        target = good["target"].log() if log_target else good["target"]
        reference = nn.KLDivLoss(**params)
        assert_same_as_torch("kl_div", reference, {**good, "target": target}, dtype=dtype, **params)


def test_a_softmax_of_one_outcome_is_warned_of() -> None:
    params = {"reduction": "batchmean"}
    for shape in [(4, 1), (2, 3, 1), (2, 1, 5)]:
        tensors = {"input": torch.zeros(shape), "target": torch.ones(shape)}
        said = suspicion("kl_div", tensors, params=params)
        assert f"expected log-probabilities of several outcomes, found {shape}, all 0" in said


def test_several_outcomes_are_not_suspected() -> None:
    params = {"reduction": "sum"}
    ones = torch.ones(4, 1)
    nothing = torch.zeros(4, dtype=torch.bool)
    for input, target in [  # noqa: A001
        (torch.zeros(4, 2), torch.ones(4, 2)),
        (ones * -0.5, ones),
        (torch.zeros(1), torch.ones(1)),
        (torch.zeros(0, 1), torch.ones(0, 1)),
    ]:
        assert_no_fault("kl_div", {"input": input, "target": target}, params=params)
    masked = {"input": ones * -0.5, "target": ones, "m": nothing}
    assert_no_fault("kl_div", masked, params=params, mask="m")
