"""Check the tensors of a composite's terms, and give each warning once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lossreg.errors import warn
from lossreg.runtime.arguments import check_others, tensors_in
from lossreg.runtime.checks import (
    check_inputs,
    check_mask,
    check_sample_weight,
    check_values,
    suspicions,
)
from lossreg.vocabulary.transforms import row_mixers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor, nn

    from lossreg.runtime.plan import Plan
    from lossreg.runtime.routing import Router

__all__ = ["Notices"]

# Training forwards without its tensors after which an optional term is warned about.
_PATIENCE = 100


class Notices:
    """Remembers which warnings were given, and which optional terms have had no tensors yet.

    Args:
        router: Finds the terms' tensors.

    Attributes:
        awaited: For each optional term that has had no tensors yet, the training forwards so far.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._warned: set[tuple[str, str]] = set()
        self._is_split = False
        self.awaited: dict[str, int] = {}
        # Terms whose masks, sample weights and targets have not been checked for gradients before
        # a graph.
        self._uncut: set[str] = set()

    def expect(self, term: Plan) -> None:
        """Add a term to those that are watched."""
        if term.optional:
            self.awaited[term.name] = 0
        if (term.cuts or term.targets) and term.in_graph:
            self._uncut.add(term.name)

    @torch.no_grad()
    def look_at_inputs(
        self, term: Plan, module: nn.Module, inputs: Mapping[str, Tensor], mask: Tensor | None
    ) -> dict[str, int]:
        """Check a term's unfilled tensors: shapes, dtypes, devices, and the mask's values.

        Returns:
            The size behind each letter of the inputs' shapes.

        Raises:
            Misfit: A tensor does not fit the definition.
        """
        sizes = check_inputs(term.definition, inputs, term.class_dim)
        check_others(term.others, inputs, term.device_of(inputs), values=True)
        self._suspect(term, module, inputs, values=False)
        for problem in check_mask(mask):
            self.note(term, "mask", problem)
        return sizes

    @torch.no_grad()
    def look_at_values(
        self,
        term: Plan,
        module: nn.Module,
        inputs: Mapping[str, Tensor],
        sizes: Mapping[str, int],
        keep: Tensor | None,
        weight: Tensor | None,
    ) -> None:
        """Check the values of a term's tensors, which are filled where they are masked.

        Args:
            term: The term.
            module: Its loss.
            inputs: The loss's arguments.
            sizes: The size behind each letter of their shapes.
            keep: Which entries count, or None for all.
            weight: How much each entry counts, or None for 1 each.

        Raises:
            Misfit: A tensor does not fit the definition.
        """
        check_values(term.definition, module, inputs, sizes, masked=keep is not None)
        if keep is None or bool(keep.any()):  # otherwise all values are filled in
            self._suspect(term, module, inputs, values=True)
        check_sample_weight(weight, keep, divides=term.divides_by_weights)

    def look_at_factor(self, term: Plan, factor: Tensor) -> None:
        """Warn if the number of the step that multiplies a term's weight is below 0."""
        if bool(factor < 0):
            self.note(
                term,
                "weight",
                "the number is below 0, which turns the term's sign around; if this is meant, give "
                "it without its sign, and say with maximize: true that the term is maximised",
            )

    def _suspect(
        self, term: Plan, module: nn.Module, inputs: Mapping[str, Tensor], *, values: bool
    ) -> None:
        for problem in suspicions(term.definition, module, inputs, values=values):
            self.note(term, problem.argument, problem.message)

    def note(self, term: Plan, argument: str, problem: str) -> None:
        """Warn about a term's tensor, once."""
        name = term.term.name  # without the element of `each`
        if (name, argument) in self._warned:
            return
        self._warned.add((name, argument))
        warn(f"{term.place(argument)}: {problem}")

    def cut(self, term: Plan, argument: str, tensor: object) -> None:
        """Warn about a mask or sample weight that requires a gradient, which is cut there."""
        if isinstance(tensor, torch.Tensor) and tensor.requires_grad:
            is_weight = argument == "sample_weight"
            other = ", or gradient: true if the weights are learned" if is_weight else ""
            self.note(
                term,
                argument,
                "it requires a gradient, but no gradient goes through masks and sample weights: a "
                "model that could choose which entries count would choose the cheapest; if this is "
                f"intended, write apply: [detach]{other}",
            )

    def averaged(self, term: Plan) -> None:
        """Warn that a term's micro-batches cannot be counted, so that their means are averaged."""
        self.note(
            term,
            term.inputs[0][0],
            "its micro-batches' means are averaged, which is the mean of all only if each is as "
            "large as the others; say what the batch has, as in divide_by: {rows: image}",
        )

    def split(self, terms: Iterable[Plan]) -> None:
        """Warn, once, about terms whose rows depend on each other, where a batch is split."""
        if self._is_split:
            return
        self._is_split = True
        for term in terms:
            definition = term.definition
            if not (definition.additive or "none" in definition.reductions):
                self.note(
                    term,
                    term.inputs[0][0],
                    f"'{definition.name}' gives one value for all rows of a batch, so the mean "
                    "over micro-batches and ranks may differ from what one big batch gives",
                )
            config = term.term
            tensors = [
                *config.inputs.items(),
                ("mask", config.mask),
                ("sample_weight", config.sample_weight),
                *(("weight", route) for route in config.weight.routes),
            ]
            for argument, route in tensors:
                mixers = row_mixers(route) if route is not None else []
                if mixers:
                    warn(
                        f"{term.place(argument)}: '{mixers[0]}' mixes rows (the first dimension), "
                        "so what micro-batches and ranks add up to is not what one big batch gives"
                    )

    def trained(self, term: Plan, argument: str, tensor: object) -> None:
        """Warn about a target that requires a gradient, if nothing says that this is meant."""
        if any(part.requires_grad for part in tensors_in(tensor)):
            self.note(
                term,
                argument,
                "it requires a gradient, so the term moves the target towards the prediction as "
                f"well; write detach: [{argument}] to stop this, or detach: [] if it is meant",
            )

    def count(self, term: Plan, absent: tuple[str, int] | None, values: Any) -> None:
        """Count a training forward of an optional term, and warn if its tensors never come.

        Args:
            term: The term.
            absent: The first missing argument and its place, or None.
            values: The step's values.
        """
        if absent is None:
            self.awaited.pop(term.name, None)
            return
        count = self.awaited.get(term.name)
        if count is None:
            return
        self.awaited[term.name] = count + 1
        if count + 1 < _PATIENCE:
            return
        del self.awaited[term.name]
        argument, place = absent
        why = term.absence(self._router, values, argument, place)
        warn(
            f"{why}. The term is optional, and was left out of all {_PATIENCE} training forwards "
            "so far"
        )

    def look_ahead(self, terms: Iterable[Plan], values: Any, *, training: bool) -> None:
        """Warn before a graph runs, because no warning can be given inside it."""
        if not (self.awaited or self._uncut):
            return
        for term in terms:
            if term.name in self.awaited:
                absent = term.missing(self._router, values)
                if training or not absent:
                    self.count(term, absent, values)
            if term.name in self._uncut and torch.is_grad_enabled():
                cut = {name: term.found(self._router, values, place) for name, place in term.cuts}
                for name, tensor in cut.items():
                    self.cut(term, name, tensor)
                trained = {
                    name: term.found(self._router, values, place) for name, place in term.targets
                }
                for name, tensor in trained.items():
                    self.trained(term, name, tensor)
                if all(tensor is not None for tensor in (*cut.values(), *trained.values())):
                    self._uncut.discard(term.name)
