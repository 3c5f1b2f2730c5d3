"""The micro-batches of a step whose count Trainer makes: their outputs, and whether it is right."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from lossreg.errors import InputError, LossregError
from lossreg.integrations.accumulation import sum_of
from lossreg.runtime.composite import CompositeLoss
from lossreg.runtime.denominators import Denominators, Moment, added_up
from lossreg.runtime.output import LossOutput, Named
from lossreg.runtime.ranks import world_size_of

__all__ = ["Shares", "shares_of"]

REMEDY = "use ObjectiveTrainer(objective=...), which counts what each term divides by"


class Shares:
    """What a loss function and the callback of the same objective tell each other.

    Trainer gives its loss function one count for a whole step, that of the labels which are not
    -100. A term may be divided by it if the sum of what its own micro-batches divide by is the same
    number; so both are compared before the optimizer's step.

    Args:
        objective: The objective.

    Attributes:
        is_attached: Whether a callback runs that moves the schedules and compares the counts.
        across_ranks: Whether Trainer counts over all ranks; None where no callback says so.
    """

    def __init__(self, objective: CompositeLoss) -> None:
        self.is_attached = False
        self.across_ranks: bool | None = None
        self._names = objective.terms.names
        self._divides: tuple[bool, ...] = ()
        self.begin()

    def begin(self) -> None:
        """Begin an optimizer step."""
        self._outputs: list[LossOutput] = []
        self._counted: Tensor | None = None
        self._count: Any = None

    def averages(self, *, is_counted: bool) -> int:
        """What a batch's share is multiplied by in evaluation, where Trainer does not do so.

        Args:
            is_counted: Whether Trainer gave a count.

        Raises:
            LossregError: There are several ranks, and no callback that knows what Trainer does.
        """
        ranks = world_size_of()
        if ranks > 1 and self.across_ranks is None:
            raise LossregError(
                "on several ranks also write Trainer(..., callbacks=[ObjectiveCallback(objective)])"
                ", with the same objective"
            )
        return 1 if is_counted and self.across_ranks else ranks

    def counted(self, objective: CompositeLoss, known: Any, count: Any) -> Denominators:
        """Count a micro-batch, and divide its terms by Trainer's count.

        Raises:
            LossregError: A term divides by something else than what the labels show.
        """
        terms, zeros = objective.terms, objective.weighting.zeros()
        try:
            local = torch.stack(terms.local_denominators(known, zeros[0]))
        except InputError as error:
            raise LossregError(
                f"loss_function(objective) knows the labels only: {error}; {REMEDY}"
            ) from error
        self._divides = terms.divides
        self._counted = local if self._counted is None else self._counted + local
        self._count = count
        values = torch.ones_like(zeros)
        for number, divides in zip(values.unbind(), self._divides, strict=True):
            if divides:
                number.copy_(torch.as_tensor(count))
        progress = objective.progress
        moment = None if progress is None else Moment(progress.steps)
        return Denominators(terms.names, values, 1, 1, None, terms.active, moment)

    def add(self, out: LossOutput) -> None:
        """Add a micro-batch's output."""
        # A clone, because Trainer multiplies the total in place.
        self._outputs.append(LossOutput(out.total.detach().clone(), out.terms, out.weights))

    def check(self) -> None:
        """Compare Trainer's count with what the terms divide by, over micro-batches and ranks.

        Raises:
            LossregError: They differ, or the loss function was not called.
        """
        if self._counted is None:
            raise LossregError(
                "Trainer did not call loss_function(objective) in this step: give it as "
                "compute_loss_func, with the same objective as ObjectiveCallback's"
            )
        total, _ = added_up(self._counted, None, None)
        count = float(self._count)
        for name, number, divides in zip(self._names, total.tolist(), self._divides, strict=True):
            if divides and number != count:
                raise LossregError(
                    f"Trainer counts {count:g} labels in this step, and the term '{name}' divides "
                    f"by {number:g}: {REMEDY}"
                )

    def summed(self) -> LossOutput:
        """The step's sum, as `OptimizerStep.summed` gives it on this rank."""
        out = sum_of(self._outputs)
        ranks = world_size_of()
        if ranks == 1:
            return out
        terms = {name: term * ranks for name, term in out.terms.items()}
        return LossOutput(out.total * ranks, Named(terms), out.weights)


# A Trainer makes no connection between its loss function and its callbacks.
_SHARES: WeakKeyDictionary[CompositeLoss, Shares] = WeakKeyDictionary()


def shares_of(objective: CompositeLoss) -> Shares:
    """An objective's record, the same for its loss function and its callback."""
    if objective not in _SHARES:
        _SHARES[objective] = Shares(objective)
    return _SHARES[objective]
