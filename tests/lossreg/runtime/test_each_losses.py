"""Every built-in loss over elements: pooled it is torch on all rows, else torch on each element."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

import lossreg
from lossreg.errors import NonFiniteError
from micro_batches import (
    BUILT_IN_CASES,
    CASES,
    DOUBLE,
    SPLITS,
    Case,
    assert_same_gradients,
    leaves_of,
    micro_batches,
)

if TYPE_CHECKING:
    from torch import Tensor

# lossreg and torch warn of kl_div's mean.
pytestmark = [
    pytest.mark.filterwarnings("ignore::lossreg.errors.ConfigWarning"),
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning"),
]

SIZES = SPLITS[4]
ALL = {**BUILT_IN_CASES, **CASES}


def build(case: Case, combine: str, reduction: str) -> lossreg.CompositeLoss:
    term = {
        "type": case.name,
        "params": {**case.params, "reduction": reduction},
        "inputs": {name: f"part.{name}" for name in case.inputs},
    }
    each = {"over": {"part": "parts"}, "combine": combine}
    document = {"checks": "always", "terms": {"f": {"each": each, "terms": {"t": term}}}}
    return lossreg.build(document).to(DOUBLE)


@pytest.mark.parametrize("combine", ["sum", "mean", "pooled"])
@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
def test_it_is_what_torch_gives(case: Case, combine: str) -> None:
    for reduction in case.reductions:
        if combine == "pooled" and (reduction == "sum" or not case.has_entries):
            continue  # refused when the file is read
        if case.name == "value" and reduction == "batchmean" and combine != "pooled":
            continue  # its example knows the rows of the whole batch only
        whole, split = leaves_of(case), leaves_of(case)

        def by_hand(values: dict[str, Tensor], reduction: str = reduction) -> Tensor:
            if combine == "pooled":
                return case.value(values, reduction)
            parts = micro_batches(values, SIZES)
            total = torch.stack([case.value(part, reduction) for part in parts]).sum()
            return total if combine == "sum" else total / len(SIZES)

        expected, loss = by_hand(whole), build(case, combine, reduction)
        parts = micro_batches(split, SIZES)
        if not expected.isfinite():
            # torch's mean of the one part of which nothing counts.
            with pytest.raises(NonFiniteError, match=r"^term 'f/t' is nan: at \[1\]") as error:
                loss(parts=parts)
            assert "at [0]" not in str(error.value)
            continue
        found = loss(parts=parts).total
        torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-15)
        expected.backward()
        found.backward()
        assert_same_gradients(split, whole, of_largest=True)
