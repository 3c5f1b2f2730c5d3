"""What a composite's terms are looked at for, and what they are warned of, each thing once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lossreg.errors import warn
from lossreg.runtime.checks import (
    check_inputs,
    check_mask,
    check_sample_weight,
    check_values,
    suspicions,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor, nn

    from lossreg.runtime.plan import Plan
    from lossreg.runtime.routing import Router

__all__ = ["Notices"]

# Training forwards after which an optional term that was never there is warned of.
_PATIENCE = 100


class Notices:
    """Remembers what was warned of, and which optional terms were never there so far.

    Args:
        router: What finds the terms' tensors.

    Attributes:
        awaited: For each optional term that was never there, in how many training forwards.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._told: set[tuple[str, str]] = set()
        self.awaited: dict[str, int] = {}
        # Before a graph runs, each is looked at until its tensors were there once.
        self._uncut: set[str] = set()

    def expect(self, term: Plan) -> None:
        """Look at one more term."""
        if term.optional:
            self.awaited[term.name] = 0
        if term.cuts and term.in_graph:
            self._uncut.add(term.name)

    @torch.no_grad()
    def look_at_inputs(
        self, term: Plan, module: nn.Module, inputs: Mapping[str, Tensor], mask: Tensor | None
    ) -> dict[str, int]:
        """Look at a term's tensors as they came: shapes, dtypes, devices, and the mask's values.

        Returns:
            The size behind each letter of the inputs' shapes.

        Raises:
            Misfit: A tensor is not what the definition says.
        """
        sizes = check_inputs(term.definition, inputs)
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
        """Look at the values of a term's tensors, which are filled where they are masked.

        Args:
            term: The term.
            module: Its loss.
            inputs: That one's arguments.
            sizes: The size behind each letter of their shapes.
            keep: Which entries count, or None for all.
            weight: How much, if it is not one each.

        Raises:
            Misfit: A tensor is not what the definition says.
        """
        check_values(term.definition, module, inputs, sizes, masked=keep is not None)
        if keep is None or bool(keep.any()):  # otherwise there is nothing but what was filled in
            self._suspect(term, module, inputs, values=True)
        check_sample_weight(weight, keep, divides=term.divides_by_weights)

    def _suspect(
        self, term: Plan, module: nn.Module, inputs: Mapping[str, Tensor], *, values: bool
    ) -> None:
        for problem in suspicions(term.definition, module, inputs, values=values):
            self.note(term, problem.argument, problem.message)

    def note(self, term: Plan, argument: str, problem: str) -> None:
        """Warn of a term's tensor, unless that was done before."""
        if (term.name, argument) in self._told:
            return
        self._told.add((term.name, argument))
        warn(f"{term.place(argument)}: {problem}")

    def cut(self, term: Plan, argument: str, tensor: object) -> None:
        """Warn of a gradient that ends at a tensor without anybody having said so."""
        if isinstance(tensor, torch.Tensor) and tensor.requires_grad:
            self.note(
                term,
                argument,
                "it requires a gradient, but no gradient goes through masks and sample weights: a "
                "model that could choose what counts would choose what costs least; apply: "
                "[detach] says that this is meant",
            )

    def count(self, term: Plan, absent: tuple[str, int] | None, values: Any) -> None:
        """Take note of a training forward with or without an optional term.

        Args:
            term: The term.
            absent: The first argument that was not there, and its place, or None.
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
        why = self._router.absence(values, place, term=term.name, argument=argument)
        warn(
            f"{why}. The term is optional, and was left out of all {_PATIENCE} training forwards "
            "so far"
        )

    def look_ahead(self, terms: Iterable[Plan], values: Any, *, training: bool) -> None:
        """Warn before a graph runs, inside of which nothing is warned of."""
        if not (self.awaited or self._uncut):
            return
        for term in terms:
            if term.name in self.awaited:
                places = term.places
                absent = [each for each in places if self._router.peek(values, each[1]) is None]
                if training or not absent:
                    self.count(term, absent[0] if absent else None, values)
            if term.name in self._uncut and torch.is_grad_enabled():
                found = [(name, self._router.get(values, place)) for name, place in term.cuts]
                for name, tensor in found:
                    self.cut(term, name, tensor)
                if all(tensor is not None for _, tensor in found):
                    self._uncut.discard(term.name)
