"""The mean of an objective over a validation set."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed

from lossreg.errors import InputError
from lossreg.runtime.composite import CompositeLoss
from lossreg.runtime.denominators import Denominators, added_up
from lossreg.runtime.output import LossOutput, Named

__all__ = ["Average"]


class Average:
    """The mean of an objective over the batches of a validation set.

    Each term is averaged as if the set were one batch: a batch counts as much as the term divides
    by in it, so ragged and masked batches weigh what they have, and one in which no entry counts
    adds nothing. A term that is a sum, or that has nothing to count, is averaged over the batches.
    If an objective has a term that cannot be counted, every term is the mean of the batches' own
    values, weighed by their sizes. The total is the weighted sum of these means.

    Args:
        objective: The objective.
    """

    def __init__(self, objective: CompositeLoss) -> None:
        self.objective = objective
        names = objective.terms.names
        optional = {term.name for term in objective.config.terms if term.optional}
        self._optional = [place for place, name in enumerate(names) if name in optional]
        self._keys = (*names, *objective.weighting.regularizers)
        # Each part with the place of its term, whose divisor and factor it has.
        self._parts = {
            f"{term.name}/{part}": names.index(term.name)
            for term in objective.config.terms
            if term.enabled
            for part in term.definition.parts
        }
        self._of_parts = objective.weighting.zeros().new_zeros(len(self._parts))
        self._counts: bool | None = None
        self._batches = 0
        self._sums = objective.weighting.zeros().new_zeros(4, len(self._keys))

    @torch.no_grad()
    def add(self, values: Any, size: int = 1) -> None:
        """Compute the objective for a batch, and add it.

        Args:
            values: The batch's values, as the objective takes them.
            size: How much the batch counts if a term of the objective cannot be counted.

        Raises:
            InputError: A tensor is missing or does not fit.
        """
        zeros = self.objective.weighting.zeros()
        counted = self._counted(values, zeros)
        if counted is None:
            out, divisors = self.objective(values), torch.full_like(zeros, size)
            factors = divisors
        else:
            # Divided by 1, a mean is its sum.
            ones = Denominators(self.objective.terms.names, torch.ones_like(zeros), world_size=1)
            out, divisors = self.objective(values, denominators=ones), counted
            factors = torch.ones_like(zeros)
        self._sum(out, divisors, factors)

    def _counted(self, values: Any, zeros: Tensor) -> Tensor | None:
        """What each term divides by in a batch; None if a term cannot be counted."""
        if self._counts is False:
            return None
        terms = self.objective.terms
        try:
            counted = torch.stack(terms.local_denominators(values, zeros.new_zeros(())))
        except InputError:
            if self._counts:
                raise
            self._counts = False
            return None
        self._counts = True
        for number, divides in zip(counted.unbind(), terms.divides, strict=True):
            if not divides:
                number.fill_(1.0)
        return counted

    def _sum(self, out: LossOutput, divisors: Tensor, factors: Tensor) -> None:
        """Add a batch's terms, each times its factor, and what they are divided by."""
        terms = torch.stack([out.terms[name].to(divisors) for name in self._keys])
        weights = torch.stack([out.weights[name].to(divisors) for name in self._keys])
        # Those that learned weights add come after the terms, once a batch.
        added = divisors.new_ones(len(self._keys) - len(divisors))
        divisors, factors = torch.cat([divisors, added]), torch.cat([factors, added])
        for place in self._optional:
            divisors[place] *= (weights[place] != 0) | (terms[place] != 0)
        terms = terms * factors
        if self._parts:
            parts = torch.stack([out.parts[name].to(divisors) for name in self._parts])
            parts = parts * factors[list(self._parts.values())]
            self._of_parts = self._of_parts.to(parts.device) + parts
        sums = torch.stack([terms, terms * weights, weights * divisors, divisors])
        self._sums = self._sums.to(sums.device) + sums
        self._batches += 1

    def mean(self, group: distributed.ProcessGroup | None = None) -> LossOutput | None:
        """The mean over all batches so far of all ranks, detached, and each weight's mean.

        On several ranks each rank must call it, even without a batch.

        Args:
            group: The ranks that share the set; the default group, if torch.distributed runs.

        Returns:
            None if no rank had a batch.
        """
        local = torch.cat([self._sums, torch.full_like(self._sums[:1], self._batches)])
        whole = torch.cat([local.flatten(), self._of_parts.to(local)])
        whole, _ = added_up(whole, group, None)
        sums, of_parts = whole[: local.numel()].reshape(local.shape), whole[local.numel() :]
        terms, weighted, weights, divisors, batches = sums.unbind()
        if not batches.any():
            return None
        # A term that no batch has is 0, and its weight too.
        by = torch.where(divisors == 0, 1.0, divisors)
        means = dict(zip(self._keys, (terms / by).unbind(), strict=True))
        of_parts = of_parts / by[list(self._parts.values())]
        means.update(zip(self._parts, of_parts.unbind(), strict=True))
        shown = dict(zip(self._keys, (weights / by).unbind(), strict=True))
        return LossOutput((weighted / by).sum(), Named(means), Named(shown))
