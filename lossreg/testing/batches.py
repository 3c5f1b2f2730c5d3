"""Other batches like the one that an author gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lossreg.testing.subject import count_of, place_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from lossreg.plugin import LossDefinition

__all__ = ["another_batch"]


def another_batch(
    definition: LossDefinition,
    batch: Mapping[str, Tensor],
    rows: Mapping[str, int],
    scale: float = 3.0,
) -> dict[str, Tensor]:
    """A batch of more rows, with other numbers where any real number will do.

    Args:
        definition: The loss.
        batch: A good batch.
        rows: For each input that has rows, their dimension.
        scale: The standard deviation of real numbers.
    """
    generator = torch.Generator().manual_seed(1)
    count = count_of(batch, rows)
    numbers = torch.randint(max(count, 1), (3 * count + 1,), generator=generator)
    others = {
        name: tensor.index_select(rows[name], numbers) if name in rows else tensor.clone()
        for name, tensor in batch.items()
    }
    for argument in definition.inputs:
        tensor = others.get(argument.name)
        if tensor is None or not tensor.is_floating_point():
            continue
        drawn = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
        if argument.domain == "real":
            others[argument.name] = scale * drawn
        elif argument.domain == "log-probability":
            letters = argument.letters_of(tensor, definition.inputs[0])
            place = place_of("C", letters, tensor.shape)
            if place is not None:
                others[argument.name] = drawn.log_softmax(place)
    return others
