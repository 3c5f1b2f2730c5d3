"""Checks of a loss's entries: its unreduced form, what the mean divides by, masks and fills."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lossreg.runtime.reduction import (
    denominator,
    divided,
    entry_shape,
    filled,
    numerator,
    reduced,
)
from lossreg.testing.subject import Subject, count_of, is_close, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EntryChecks"]


class EntryChecks(Subject):
    """What lossreg relies on where it reduces a loss itself; nothing without reduction `none`."""

    def test_without_reduction_it_has_the_declared_shape(self) -> None:
        """Where reduction `none` is offered, the loss has the shape that `unreduced` says."""
        if not self._offers("none") or not self._definition.unreduced_letters.forms:
            return
        batch = self._batch()
        found = tuple(self.value(self.module(reduction="none"), batch).shape)
        expected = self._declared_shape(batch)
        self._require(
            found == expected,
            f"unreduced={self._definition.unreduced!r} means the shape {expected}, but with "
            f"reduction 'none' the loss has {found}",
            "Write unreduced in the letters of the inputs' shapes",
        )

    def _declared_shape(self, batch: Mapping[str, Tensor]) -> tuple[int, ...] | None:
        """The shape that the definition says without reduction; None if its inputs do not tell."""
        definition = self._definition
        sizes: dict[str, int] = {}
        for argument in definition.inputs:
            tensor = batch[argument.name]
            letters = argument.letters_of(tensor, definition.inputs[0])
            sizes.update(letters.sizes(tensor.shape) or ())
        labels = definition.unreduced_letters.labels_beside(sizes)
        return tuple(sizes[label] for label in labels) if sizes.keys() >= set(labels) else None

    def test_the_mean_is_its_numerator_over_its_denominator(self) -> None:
        """Sum of `scale` times unreduced loss over sum of `count` is the mean.

        And the plain sum is the sum, so that all reductions are of one unreduced form.
        """
        batch = self._batch()
        for reduction in ("mean", "sum", "batchmean"):
            if self._offers("none", reduction):
                found = self._reduced_by_lossreg(batch, reduction, None)
                expected = self.value(self.module(reduction=reduction), batch)
                self._require(
                    is_close(found, expected),
                    f"reduced by lossreg with reduction {reduction!r} its entries give {found}, "
                    f"the module gives {expected}",
                    "Reduce what reduction 'none' gives, and say in the definition's denominator "
                    "what entries count (count), or are multiplied by (scale), if not 1",
                )

    def test_the_denominator_is_read_from_what_counts(self) -> None:
        """Inputs marked `counted` tell the loss's shape and its denominator, without the others.

        So it is known before the model runs; and it adds up over micro-batches.
        """
        definition, batch = self._definition, self._batch()
        counted = {each.name: batch[each.name] for each in definition.inputs if each.counted}
        if not (self._offers("none") and counted):
            return
        shape = self.value(self.module(reduction="none"), batch).shape
        for name, tensor in counted.items():
            told = entry_shape(definition, {name: tensor})
            self._require(
                told == shape,
                f"{name!r} is counted, but the letters of its shape tell of a loss of the shape "
                f"{None if told is None else tuple(told)}, not {tuple(shape)}",
                "Mark as counted only inputs that have every dimension of unreduced, and give "
                "them its letters",
            )
        for reduction in ("mean", "batchmean"):
            if self._offers(reduction):
                halves = [self._halves(row, reduction) for row in self._single_rows(batch)]
                above, below = (torch.stack(each).sum() for each in zip(*halves, strict=True))
                found = divided(above, below)
                expected = self.value(self.module(reduction=reduction), batch)
                self._require(
                    is_close(found, expected),
                    f"with reduction {reduction!r}, numerators and denominators of single rows "
                    f"add up to {found}, the module gives {expected}",
                    "Let count and scale look at each entry alone, and at nothing of the batch",
                )

    def _halves(self, batch: Mapping[str, Tensor], reduction: str) -> tuple[Tensor, Tensor]:
        """Numerator and denominator, the latter from the counted inputs alone."""
        definition, module = self._definition, self.module(reduction="none")
        how: dict[str, Any] = {"reduction": reduction, "keep": None, "sample_weight": None}
        total, shape = numerator(definition, module, batch, **how)
        counted = {each.name: batch[each.name] for each in definition.inputs if each.counted}
        with self._explaining(
            f"the denominator's count does not do with the counted inputs, {listed(counted)}",
            "Read in it only what is there before the model runs, and mark that as counted",
        ):
            return total, denominator(definition, module, counted, shape, dtype=total.dtype, **how)

    def _single_rows(self, batch: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """The batch as micro-batches of one row each."""
        count = count_of(batch, self._rows(batch))
        rows = [self._selected(batch, torch.tensor([row])) for row in range(count)]
        return rows or [dict(batch)]

    def test_safe_values_are_safe(self) -> None:
        """What is filled in under a mask gives a finite loss, with a finite gradient."""
        batch = self._batch()
        count = count_of(batch, self._rows(batch))
        if not (self._offers("none") and count):
            return
        nothing = torch.zeros(count, dtype=torch.bool)
        batch = self._leaves(filled(self._definition, batch, nothing))
        loss = self.value(self.module(reduction="none"), batch)
        gradients = self._gradients(loss, batch).values()
        self._require(
            all(torch.isfinite(each).all() for each in (loss, *gradients) if each is not None),
            "what stands in for masked entries gives nan or infinity",
            "Give the inputs a fill where loss and gradient are finite",
        )

    def test_masked_entries_do_not_count(self) -> None:
        """With nan and wrong indices in masked rows, value and gradient are those of the others.

        So each entry's loss depends on that entry alone.
        """
        batch = self._batch()
        rows = self._rows(batch)
        count = count_of(batch, rows)
        if not self._offers("none", "mean") or count < 2:  # noqa: PLR2004 - one masked, one kept
            return
        keep = torch.arange(count) > 0
        soiled = self._leaves(
            {
                name: _soiled(tensor, rows[name]) if name in rows else tensor
                for name, tensor in batch.items()
            }
        )
        clean = self._leaves(self._selected(batch, torch.arange(1, count)))
        found = self._reduced_by_lossreg(soiled, "mean", keep)
        expected = self.value(self.module(reduction="mean"), clean)
        remedy = (
            "Let each entry of the unreduced loss depend on its own entries alone, give the inputs "
            "a fill where it is finite, and say in the denominator what entries count"
        )
        self._require(
            is_close(found, expected),
            f"under a mask the value is {found}, not {expected} as without the masked row",
            remedy,
        )
        masked, kept = self._gradients(found, soiled), self._gradients(expected, clean)
        for name, place in rows.items():
            gradient, other = masked.get(name), kept.get(name)
            if gradient is None or other is None:
                continue
            self._require(
                is_close(gradient.narrow(place, 1, count - 1), other),
                f"a mask changes the gradient of {name!r} where it masks nothing",
                remedy,
            )

    def _reduced_by_lossreg(
        self, batch: Mapping[str, Tensor], reduction: str, keep: Tensor | None
    ) -> Tensor:
        if keep is not None:
            batch = filled(self._definition, batch, keep)
        with self._explaining(
            "its entries cannot be reduced",
            "Let forward take filled batches, and count and scale give what broadcasts to "
            "the unreduced loss",
        ):
            return divided(
                *reduced(
                    self._definition,
                    self.module(reduction="none"),
                    batch,
                    reduction=reduction,
                    keep=keep,
                    sample_weight=None,
                )
            )


def _soiled(tensor: Tensor, place: int) -> Tensor:
    """A copy whose first row is anything at all."""
    copied = tensor.clone()
    dirt = torch.nan if tensor.is_floating_point() else torch.iinfo(tensor.dtype).max
    copied.narrow(place, 0, 1).fill_(dirt)
    return copied
