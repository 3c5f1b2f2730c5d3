"""A batch in parts: micro-batches with the true mean give what the whole batch gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from properties import leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import lossreg

# Two losses of a batch in parts of different size differ in more than rounding.
_CLOSE: dict[str, float] = {"rtol": 1e-12, "atol": 1e-14}


def rows(
    values: Mapping[str, Any], sizes: Sequence[int], *, shared: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Micro-batches of these numbers of rows: views, so that gradients reach the whole.

    Args:
        values: A step's values; mappings and lists of tensors may be nested.
        sizes: How many rows each micro-batch has.
        shared: The keys of what has no rows, of which each micro-batch gets all.
    """
    pieces = {
        name: [value] * len(sizes) if name in shared else _pieces(value, sizes)
        for name, value in values.items()
    }
    return [{name: pieces[name][part] for name in values} for part in range(len(sizes))]


def _pieces(value: Any, sizes: Sequence[int]) -> Sequence[Any]:
    if isinstance(value, Tensor):
        return value.split(list(sizes))
    if isinstance(value, list):
        return [list(part) for part in zip(*(_pieces(one, sizes) for one in value), strict=True)]
    return rows(value, sizes)


def assert_parts_give_the_whole(
    loss: lossreg.CompositeLoss,
    make_values: Callable[[], dict[str, Any]],
    cut: Callable[[dict[str, Any]], list[dict[str, Any]]],
    by_hand: Callable[[dict[str, Any]], Tensor],
    *,
    known: Collection[str],
) -> None:
    """Over micro-batches, total and gradients add up to those of a formula of the whole batch.

    Args:
        loss: The composite.
        make_values: Gives the whole batch: the same numbers, in new leaves, each time.
        cut: Gives the micro-batches, as views of the whole.
        by_hand: The formula, written in torch.
        known: The keys that there are before the model runs.
    """
    values, twins = make_values(), make_values()
    micro_batches = cut(values)
    denominators = loss.denominators(
        [{name: part[name] for name in known} for part in micro_batches]
    )
    totals = [loss(part, denominators=denominators).total for part in micro_batches]
    expected = by_hand(twins)
    torch.testing.assert_close(sum(totals), expected, **_CLOSE)
    averaged = torch.stack([loss(part).total for part in micro_batches]).mean()
    assert not torch.isclose(averaged, expected, rtol=1e-3), "these parts need no denominators"
    torch.stack(totals).sum().backward()
    expected.backward()
    pairs = list(zip(leaves(values), leaves(twins), strict=True))
    assert pairs
    for leaf, twin in pairs:
        if twin.grad is None:
            assert leaf.grad is None or not leaf.grad.any()
        else:
            torch.testing.assert_close(leaf.grad, twin.grad, **_CLOSE)
