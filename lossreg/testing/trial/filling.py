"""Values for the tensors of a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Generator, Tensor

    from lossreg.testing.trial.wanted import Wanted

__all__ = ["filled", "in_words"]

_INDICES = ("class index", "place", "label sequence")
_SOME = 5  # different whole numbers, where nothing says how many


def filled(
    shape: Sequence[int], dtype: torch.dtype, wanted: Wanted, generator: Generator
) -> Tensor:
    """A tensor on the CPU with the wanted values, as far as its dtype can hold them."""
    shape = tuple(shape)
    if dtype == torch.bool:
        return _mask(shape, generator)
    if wanted.kind in ("mask", "zero or one"):
        values = _mask(shape, generator).double()
    elif wanted.kind == "plus or minus one":
        values = _mask(shape, generator).double() * 2 - 1
    elif wanted.kind == "class index list":
        values = _lists(shape, wanted.limit, generator)
    elif wanted.kind in _INDICES:
        values = _whole(shape, wanted.limit or 1, generator)
        if wanted.avoid is not None and wanted.limit is not None and wanted.limit > 1:
            # Moved on by one, which is another class.
            values = torch.where(values == wanted.avoid, (values + 1) % wanted.limit, values)
    elif wanted.kind == "length":
        longest = wanted.limit or 1
        values = _whole(shape, longest - wanted.least + 1, generator) + wanted.least
    elif wanted.kind == "count":
        values = _whole(shape, _SOME, generator)
    else:
        values = _numbers(shape, dtype, wanted, generator)
    for name, number in wanted.undo:
        values = _undone(values, name, number)
    return values.to(dtype)


def _whole(shape: tuple[int, ...], limit: int, generator: Generator) -> Tensor:
    return torch.randint(max(limit, 1), shape, generator=generator).double()


def _mask(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Bools of which the first is true, and the last false if there are several."""
    mask = torch.rand(shape, generator=generator) < 0.7  # noqa: PLR2004 - most are kept
    flat = mask.view(-1)
    flat[-1] = False
    flat[0] = True
    return mask


def _lists(shape: tuple[int, ...], limit: int | None, generator: Generator) -> Tensor:
    """Rows of different indices, each ended by a -1."""
    size = shape[-1] if shape else 1
    order = torch.rand(shape or (1,), generator=generator).argsort(-1).double()
    if limit is not None:
        order = order.clamp(max=limit - 1)
    used = torch.arange(size) < max(size // 2, 1)
    return torch.where(used, order, -1.0).view(shape)


def _numbers(
    shape: tuple[int, ...], dtype: torch.dtype, wanted: Wanted, generator: Generator
) -> Tensor:
    kind = wanted.kind
    if not (dtype.is_floating_point or dtype.is_complex):
        low = int(kind == "positive")
        return _whole(shape, _SOME, generator) + low
    if kind in ("probability", "log-probability"):
        axis = _axis(shape, wanted)
        if axis is not None:
            logits = torch.randn(shape, generator=generator, dtype=torch.float64)
            logs = logits.log_softmax(axis)
            return logs if kind == "log-probability" else logs.exp()
        uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
        inside = uniform * 0.98 + 0.01  # away from 0, whose logarithm is infinite
        return inside.log() if kind == "log-probability" else inside
    if kind in ("positive", "non-negative"):
        return torch.rand(shape, generator=generator, dtype=torch.float64) + 0.1
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _axis(shape: tuple[int, ...], wanted: Wanted) -> int | None:
    if wanted.axis is not None or wanted.classes is None:
        return wanted.axis
    # Transforms have moved it: sizes differ, so that it is known by its size.
    return next((axis for axis, size in enumerate(shape) if size == wanted.classes), None)


def _undone(values: Tensor, name: str, number: float) -> Tensor:
    if name == "add":
        return values - number
    if name == "sub":
        return values + number
    return values / number if name == "mul" else values * number


def in_words(dtype: torch.dtype, wanted: Wanted) -> str:
    """What a tensor was filled with."""
    if dtype == torch.bool:
        return "true and false"
    is_float = dtype.is_floating_point or dtype.is_complex
    words = {
        "real": "real numbers" if is_float else f"whole numbers from 0 to {_SOME - 1}",
        "mask": "0 and 1",
        "zero or one": "0 and 1",
        "plus or minus one": "1 and -1",
        "positive": "numbers above 0" if is_float else "whole numbers above 0",
        "non-negative": "numbers above 0" if is_float else "whole numbers of at least 0",
        "count": f"whole numbers from 0 to {_SOME - 1}",
        "length": "lengths",
        "place": "places",
        "class index": "class indices",
        "class index list": "class indices ended by -1",
        "label sequence": "class indices",
        "probability": "probabilities",
        "log-probability": "log-probabilities",
    }[wanted.kind]
    if wanted.kind == "length" and wanted.limit is not None:
        alike = wanted.least == wanted.limit
        return f"{words} of {wanted.limit}" if alike else f"{words} from 1 to {wanted.limit}"
    if wanted.kind in _INDICES:
        words += " of 0" if wanted.limit is None else f" from 0 to {wanted.limit - 1}"
        words += f" without {wanted.avoid}" if wanted.avoid is not None else ""
    if wanted.classes is not None:
        words += " that add up to 1"
    if wanted.undo:
        shown = ", ".join(f"{name} {number:g}" for name, number in reversed(wanted.undo))
        words += f" after {shown}"
    return words
