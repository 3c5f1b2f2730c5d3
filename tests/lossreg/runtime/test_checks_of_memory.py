"""What torch would take as an address, and what a loss writes to."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossreg
from checked import arguments, build, ctc, longs, zeros
from lossreg.errors import InputError
from lossreg.registry import Registry
from lossreg.runtime.checks import is_changed

# kl_div warns of its mean.
pytestmark = pytest.mark.filterwarnings(
    "ignore::lossreg.errors.ConfigWarning",
    "ignore:reduction. 'mean' divides:UserWarning:torch",
)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (torch.tensor([1.0, math.nan]), torch.tensor([1.0, math.nan]), False),
        (torch.tensor([1.0, math.nan]), torch.tensor([1.0, 2.0]), True),
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, math.nan]), True),
        (torch.tensor([1.0, math.inf]), torch.tensor([1.0, -math.inf]), True),
        (torch.tensor([1, 2]), torch.tensor([1, 2]), False),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), True),
        (torch.tensor([True]), torch.tensor([False]), True),
        (torch.tensor([1j, complex(math.nan, 1)]), torch.tensor([1j, complex(math.nan, 1)]), False),
        (torch.tensor([1j]), torch.tensor([2j]), True),
        (torch.tensor([1.0]), torch.tensor([[1.0]]), True),
        (torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64), True),
        (torch.tensor([1.0]), torch.tensor([1.0], device="meta"), True),
        (torch.tensor([1.0], device="meta"), torch.tensor([1.0], device="meta"), False),
        (zeros(0), zeros(0), False),
        (torch.tensor([1.0]).to_sparse(), torch.tensor([1.0]).to_sparse(), False),
        (torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True), False),
    ],
)
def test_what_is_changed(before: Tensor, after: Tensor, *, expected: bool) -> None:
    assert is_changed(before, after) is expected


UNSAFE = [
    ({"targets": [[1, 2, 3], [2, 0, 0]]}, "targets from 0 to 2, found 3"),
    ({"targets": [[1, -1, 1], [2, 0, 0]]}, "targets from 0 to 2, found -1"),
    ({"targets": [[1, 2, 10**9], [2, 0, 0]]}, "found 1000000000"),
    ({"target_lengths": [4, 1]}, "target_lengths of at most 3, found 4"),
    ({"targets": [1, 2, 1]}, "target_lengths that add up to 3, found 4"),
    ({"targets": [1, 2, 5, 1]}, "targets from 0 to 2, found 5"),
]


@pytest.mark.parametrize("checks", ["never", "first", "always"])
@pytest.mark.parametrize(("changes", "message"), UNSAFE)
def test_ctc_never_reads_out_of_bounds(checks: str, changes: dict[str, Any], message: str) -> None:
    loss = build("ctc", checks=checks)
    for _ in range(2):
        with pytest.raises(InputError, match=message) as raised:
            loss(ctc(**changes))
        assert raised.value.term == "fit"
        assert loss(ctc()).total.isfinite()


@pytest.mark.parametrize("checks", ["never", "first", "always"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"targets": [1, 2, 1, 2]},
        {"target_lengths": [0, 0]},
        {"targets": [[1, 2, 1, 99], [2, 99, 99, 99]]},
    ],
)
def test_ctc_padding_is_free(checks: str, changes: dict[str, Any]) -> None:
    values = ctc(**changes)
    expected = nn.CTCLoss()(*values.values())
    assert torch.equal(build("ctc", checks=checks)(values).terms["fit"], expected)


@pytest.mark.parametrize("checks", ["never", "always"])
def test_what_ctc_masks_may_be_out_of_bounds(checks: str) -> None:
    loss = build("ctc", checks=checks, mask="m")
    values = ctc(targets=[[1, 2, 1], [77, 99, -5]], target_lengths=[3, 9], input_lengths=[7, 800])
    kept = loss({**values, "m": torch.tensor([1, 0])}).total
    log_probs, *others = ctc().values()
    expected = nn.CTCLoss()(log_probs[:, :1], *(each[:1] for each in others))
    torch.testing.assert_close(kept, expected)
    with pytest.raises(InputError, match="target_lengths of at most 3, found 9"):
        loss({**values, "m": torch.tensor([1, 1])})


def test_ctc_of_no_sequence_is_no_error_of_lossreg() -> None:
    module = lossreg.create("ctc")
    check = Registry.installed()["ctc"].check
    assert check is not None
    empty = arguments("ctc", zeros(7, 0, 3), longs(0, 4), longs(0), longs(0))
    assert check(module, empty) is None
