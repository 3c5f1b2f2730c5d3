"""Checks of a loss's entries: its unreduced form, what the mean divides by, masks and fills."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lossreg.runtime.arguments import of_inputs
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
    """What lossreg relies on when it reduces a loss itself; passes without reduction `none`."""

    def test_without_reduction_it_has_the_declared_shape(self) -> None:
        """With reduction `none`, if it is offered, the loss has the shape that `unreduced` says."""
        if not self._offers("none") or not self._definition.unreduced_letters.forms:
            return
        batch = self._batch()
        actual = tuple(self.value(self.module(reduction="none"), batch).shape)
        expected = self._declared_shape(batch)
        self._require(
            actual == expected,
            f"unreduced={self._definition.unreduced!r} means the shape {expected}, but with "
            f"reduction 'none' the loss has {actual}",
            "Write unreduced in the letters of the inputs' shapes",
        )

    def _declared_shape(self, batch: Mapping[str, Tensor]) -> tuple[int, ...] | None:
        """The declared unreduced shape; None if it cannot be known from the inputs."""
        definition = of_inputs(self._definition, batch)
        sizes: dict[str, int] = {}
        for argument in definition.inputs:
            tensor = batch[argument.name]
            letters = argument.letters_of(tensor, definition.inputs[0])
            sizes.update(letters.sizes(tensor.shape) or ())
        labels = definition.unreduced_letters.labels_beside(sizes)
        return tuple(sizes[label] for label in labels) if sizes.keys() >= set(labels) else None

    def test_the_mean_is_its_numerator_over_its_denominator(self) -> None:
        """The mean is the sum of `scale` times the unreduced loss, over the sum of `count`.

        And `sum` is the plain sum, so all reductions come from one unreduced form.
        """
        batch = self._batch()
        for reduction in ("mean", "sum", "batchmean"):
            if reduction == "batchmean" and not self._rows(batch):
                continue
            if self._offers("none", reduction):
                actual = self._reduced_by_lossreg(batch, reduction, None)
                expected = self.value(self.module(reduction=reduction), batch)
                self._require(
                    is_close(actual, expected),
                    f"reduced by lossreg with reduction {reduction!r} its entries give {actual}, "
                    f"the module gives {expected}",
                    "Reduce the result of reduction 'none', and say in the definition's "
                    "denominator how much each entry counts (count) and what it is multiplied by "
                    "(scale), if not 1",
                )

    def test_the_denominator_is_read_from_what_counts(self) -> None:
        """The loss's shape and its denominator follow only from the inputs marked `counted`.

        So the denominator is known before the model runs; and it adds up over micro-batches.
        """
        definition, batch = self._definition, self._batch()
        counted = self._counted(batch)
        if not (self._offers("none") and counted):
            return
        shape = self.value(self.module(reduction="none"), batch).shape
        for name, tensor in counted.items():
            by_letters = entry_shape(definition, {name: tensor})
            self._require(
                by_letters == shape,
                f"{name!r} is counted, but by the letters of its shape the loss has the shape "
                f"{None if by_letters is None else tuple(by_letters)}, not {tuple(shape)}",
                "Mark as counted only inputs that have every dimension of unreduced, and give "
                "them its letters",
            )
        for reduction in ("mean", "batchmean"):
            if self._offers(reduction):
                halves = [self._halves(row, reduction) for row in self._single_rows(batch)]
                above, below = (torch.stack(parts).sum() for parts in zip(*halves, strict=True))
                actual = divided(above, below)
                expected = self.value(self.module(reduction=reduction), batch)
                self._require(
                    is_close(actual, expected),
                    f"with reduction {reduction!r}, numerators and denominators of single rows "
                    f"add up to {actual}, the module gives {expected}",
                    "Compute count and scale from each entry only, not from the rest of the batch",
                )

    def test_the_sums_of_parts_add_up(self) -> None:
        """With `additive`, the sums of single rows add up to the sum of the batch."""
        if not (self._definition.additive and self._offers("sum")):
            return
        batch, module = self._batch(), self.module(reduction="sum")
        parts = [self.value(module, row) for row in self._single_rows(batch)]
        actual, expected = torch.stack(parts).sum(), self.value(module, batch)
        self._require(
            is_close(actual, expected),
            f"the sums of single rows add up to {actual}, the sum of the batch is {expected}",
            "Declare additive=False, or add nothing to the sum that is not part of a row",
        )

    def _counted(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The inputs that the definition marks with `counted`."""
        inputs = self._definition.inputs
        counted = [argument.name for argument in inputs if argument.counted]
        return {name: batch[name] for name in counted if name in batch}

    def _halves(self, batch: Mapping[str, Tensor], reduction: str) -> tuple[Tensor, Tensor]:
        """The numerator, and the denominator computed only from the counted inputs."""
        definition, module = self._definition, self.module(reduction="none")
        how: dict[str, Any] = {"reduction": reduction, "keep": None, "sample_weight": None}
        total, shape = numerator(definition, module, self.value(module, batch), batch, **how)
        counted = self._counted(batch)
        with self._explaining(
            f"the denominator's count fails with only the counted inputs, {listed(counted)}",
            "Read in it only inputs that are known before the model runs, and mark them as counted",
        ):
            return total, denominator(definition, module, counted, shape, dtype=total.dtype, **how)

    def _single_rows(self, batch: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """The batch as micro-batches of one row each."""
        count = count_of(batch, self._rows(batch))
        rows = [self._selected(batch, torch.tensor([row])) for row in range(count)]
        return rows or [dict(batch)]

    def test_safe_values_are_safe(self) -> None:
        """With every entry masked and filled, the loss and its gradient are finite."""
        batch = self._batch()
        count = count_of(batch, self._rows(batch))
        if not (self._offers("none") and count):
            return
        nothing = torch.zeros(count, dtype=torch.bool)
        batch = self._leaves(filled(self._definition, batch, nothing))
        loss = self.value(self.module(reduction="none"), batch)
        gradients = self._gradients(loss, batch).values()
        self._require(
            all(tensor.isfinite().all() for tensor in (loss, *gradients) if tensor is not None),
            "the values that replace masked entries give nan or infinity",
            "Give the inputs a fill for which loss and gradient are finite",
        )

    def test_masked_entries_do_not_count(self) -> None:
        """Nan and wrong indices in masked rows change neither the value nor the gradient.

        So each entry's loss depends only on that entry.
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
        actual = self._reduced_by_lossreg(soiled, "mean", keep)
        expected = self.value(self.module(reduction="mean"), clean)
        remedy = (
            "Compute each entry of the unreduced loss only from its own entries, give the inputs a "
            "fill for which it is finite, and say in the denominator how much each entry counts"
        )
        self._require(
            is_close(actual, expected),
            f"under a mask the value is {actual}, not {expected} as without the masked row",
            remedy,
        )
        masked, kept = self._gradients(actual, soiled), self._gradients(expected, clean)
        for name, place in rows.items():
            gradient, other = masked.get(name), kept.get(name)
            if gradient is None or other is None:
                continue
            self._require(
                is_close(gradient.narrow(place, 1, count - 1), other),
                f"a mask changes the gradient of {name!r} in rows that it keeps",
                remedy,
            )

    def _reduced_by_lossreg(
        self, batch: Mapping[str, Tensor], reduction: str, keep: Tensor | None
    ) -> Tensor:
        if keep is not None:
            batch = filled(self._definition, batch, keep)
        module = self.module(reduction="none")
        loss = self.value(module, batch)
        with self._explaining(
            "its entries cannot be reduced",
            "Make forward accept filled batches, and make count and scale return what broadcasts "
            "to the unreduced loss",
        ):
            return divided(
                *reduced(
                    self._definition,
                    module,
                    loss,
                    batch,
                    reduction=reduction,
                    keep=keep,
                    sample_weight=None,
                )
            )


def _soiled(tensor: Tensor, place: int) -> Tensor:
    """A copy whose first row is nan, or the largest integer."""
    copied = tensor.clone()
    dirt = torch.nan if tensor.is_floating_point() else torch.iinfo(tensor.dtype).max
    copied.narrow(place, 0, 1).fill_(dirt)
    return copied
