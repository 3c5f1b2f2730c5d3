"""InfoNCE over pairs."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor

import lossreg
import properties
from lossreg.testing import LossContract
from oracles import Draw, Example

TORCH = None  # it has no such loss
SYMBOLS_IN_WORDS = {"R": lambda v, i: v[i]}  # of one rank


def make_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(5, 4, generator=generator) for name in ("input1", "input2")}


def by_hand(
    tensors: dict[str, Tensor],
    reduction: str,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    symmetric: bool = True,
    own_view: bool = False,
    gather: bool = False,  # noqa: ARG001 - there is one rank
) -> Tensor:
    one, two = tensors.values()
    if normalize:
        one, two = F.normalize(one, dim=-1), F.normalize(two, dim=-1)
    rows = torch.arange(len(one))

    def choice(anchors: Tensor, others: Tensor) -> Tensor:
        logits = anchors @ others.T
        if own_view:
            same = (anchors @ anchors.T).masked_fill(torch.eye(len(one)).bool(), -math.inf)
            logits = torch.cat([logits, same], 1)
        return F.cross_entropy(logits / temperature, rows, reduction="none")

    losses = choice(one, two)
    if symmetric:
        losses = (losses + choice(two, one)) / 2
    return losses.mean() if reduction == "mean" else losses.sum()


def example(draw: Draw) -> Example:
    n, d = draw.rows(), draw.rng.randint(2, 4)
    params = draw.maybe(
        temperature=0.5, normalize=False, symmetric=False, own_view=True, gather=True
    )
    if draw.batch is None:
        n = max(n, 2)
    names = ("input1", "input2")
    return Example(
        params=params,
        tensors={name: draw.normal(n, d) for name in names},
        leaves=names,
        counted=(),
        loss=lambda t, r: by_hand(t, r, **params),
        shape=(),
    )


class TestInfoNCE(LossContract):
    loss = "info_nce"
    torch_free = True
    inert = {"gather": "there is one rank"}  # noqa: RUF012  (the suite declares it)

    def batch(self) -> dict[str, Tensor]:
        return make_batch()


class TestInfoNCEWithinViews(TestInfoNCE):
    params = {"own_view": True, "temperature": 0.5}  # noqa: RUF012  (the suite declares it)


def test_value_by_hand() -> None:
    # The dot products are 1 0 / 3 4. With temperature 2, rows choose with log(1 + e^-0.5), both;
    # columns with log(1 + e^1) and log(1 + e^-2).
    one, two = torch.tensor([[1.0, 0.0], [3.0, 4.0]]), torch.eye(2)
    rows = 2 * math.log(1 + math.exp(-0.5))
    columns = math.log(1 + math.exp(1)) + math.log(1 + math.exp(-2))
    plain = {"normalize": False, "temperature": 2.0}
    found = [
        lossreg.create("info_nce", symmetric=False, **plain)(one, two),
        lossreg.create("info_nce", **plain)(one, two),
        lossreg.create("info_nce", reduction="sum", **plain)(one, two),
    ]
    expected = [rows / 2, (rows + columns) / 4, (rows + columns) / 2]
    torch.testing.assert_close(torch.stack(found), torch.tensor(expected))


def test_it_is_clips() -> None:
    batch = make_batch()
    images, texts = (F.normalize(tensor, dim=1) for tensor in batch.values())
    logits, labels = images @ texts.T / 0.07, torch.arange(5)
    expected = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
    torch.testing.assert_close(lossreg.create("info_nce")(*batch.values()), expected)


def test_within_views_it_is_simclrs() -> None:
    # Each of 2 N views against the 2 N - 1 others, as in the paper's algorithm 1.
    batch = make_batch()
    views = F.normalize(torch.cat(list(batch.values())), dim=1)
    logits = (views @ views.T / 0.5).masked_fill(torch.eye(10).bool(), -math.inf)
    expected = F.cross_entropy(logits, torch.arange(10).roll(5))
    value = lossreg.create("info_nce", own_view=True, temperature=0.5)(*batch.values())
    torch.testing.assert_close(value, expected)


def test_equal_embeddings_cost_the_logarithm_of_their_number() -> None:
    same = torch.ones(6, 3)
    torch.testing.assert_close(lossreg.create("info_nce")(same, same), torch.tensor(math.log(6)))


def test_cosines_do_not_see_lengths() -> None:
    one, two = make_batch().values()
    loss = lossreg.create("info_nce")
    torch.testing.assert_close(loss(3 * one, two / 2), loss(one, two))


def test_half_precision_keeps_the_digits_of_similarities() -> None:
    half = {name: tensor.bfloat16() for name, tensor in make_batch().items()}
    loss = lossreg.create("info_nce")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(*half.values())
    assert torch.equal(value, loss(*(tensor.float() for tensor in half.values())))


def test_one_pair_has_nothing_to_choose_from() -> None:
    tensors = {name: tensor[:1] for name, tensor in make_batch().items()}
    assert "expected several pairs, found one" in properties.refusal("info_nce", tensors)


def test_there_are_no_entries_to_mask() -> None:
    term = {"type": "info_nce", "inputs": ["input1", "input2"], "mask": "m"}
    with pytest.raises(lossreg.ConfigError, match="LR213"):
        lossreg.build({"terms": {"t": term}})
