"""What can be known of a term before its first batch, and what is said of it when one is wrong."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lossreg.errors import InputError
from lossreg.runtime.checks import check_divisor, check_result, is_changed
from lossreg.runtime.nonfinite import describe
from lossreg.runtime.reduction import Misfit, kept_entries
from lossreg.runtime.routing import find

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from lossreg.config.models import TermConfig
    from lossreg.plugin import LossDefinition
    from lossreg.runtime.routing import Router
    from lossreg.runtime.unsaved import ClassWeights

__all__ = ["Plan"]


class Plan:
    """What can be known of a term before its first batch.

    Args:
        term: The term's config.
        router: What finds its tensors.
        class_weights: Those of its built loss.

    Attributes:
        inputs: Each argument of the loss, in order, and its place in what the router finds.
        places: Each of its tensors, by argument, and its place.
        needs: The places of its arguments only.
        handled: Whether it is more than its loss of its arguments, in every step.
        cuts: Those of them that no gradient goes through.
        entries: Whether the loss has an unreduced form.
        twin: That form, once it is needed.
    """

    def __init__(self, term: TermConfig, router: Router, class_weights: ClassWeights) -> None:
        name, optional = term.name, term.optional
        self.class_weights = class_weights
        # Read here, since a graph cannot look at the config's fields.
        self.term = term
        self.name = name
        self.optional = optional
        self.definition: LossDefinition = term.definition
        self.ignore = term.ignore
        self.denominator = term.denominator
        self.reduction = term.reduction
        self.reduced_here = term.reduced_by_lossreg
        self.entries = "none" in term.definition.reductions
        is_divided = self.denominator is not None
        # Masks and sample weights make a term unreduced.
        self.handled = self.reduced_here or is_divided or self.definition.check is not None
        self.in_graph = not term.weight.is_zero
        self.twin: nn.Module | None = None
        self.inputs = tuple(
            (each, router.add(route, name, each, optional)) for each, route in term.inputs.items()
        )
        places = list(self.inputs)
        self.mask = self.sample_weight = None
        if term.mask is not None:
            self.mask = router.add(term.mask, name, "mask", optional)
            places.append(("mask", self.mask))
        if term.sample_weight is not None:
            self.sample_weight = router.add(term.sample_weight, name, "sample_weight", optional)
            places.append(("sample_weight", self.sample_weight))
        self.places = tuple(places)
        self.needs = [place for _, place in self.inputs]
        self.cuts = self.places[len(self.inputs) :]

    def absent(self, found: Sequence[Any]) -> tuple[str, int] | None:
        """The first argument without a tensor, and its place."""
        for each in self.places:
            if found[each[1]] is None:
                return each
        return None

    @property
    def divides_by_weights(self) -> bool:
        """Whether the sum of the sample weights is what the term is divided by."""
        return self.reduction == "mean" and self.denominator is None

    def place(self, argument: str) -> str:
        """Where one of the term's tensors comes from, to begin a message with."""
        return f"term '{self.name}', '{argument}' (path '{self.routes.get(argument, '')}')"

    @property
    def routes(self) -> dict[str, str]:
        """Where each of the term's tensors comes from, for messages."""
        term = self.term
        extra = {"mask": term.mask, "sample_weight": term.sample_weight}
        every = {**term.inputs, **extra, "denominator": term.denominator}
        return {name: str(each) for name, each in every.items() if each is not None}

    @property
    def loss(self) -> str:
        """The loss and whose it is."""
        name, origin = self.definition.name, self.term.origin
        return name if origin is None else f"{name} ({origin})"

    def kept(self, mask: Tensor | None, inputs: Mapping[str, Tensor]) -> Tensor | None:
        """Which entries count: what the mask keeps, and `ignore` does not name."""
        if self.ignore is None:
            return kept_entries(mask, None, None)
        name = self.definition.target or ""  # the config refuses `ignore` where there is none
        target = inputs[name]
        (each,) = (each for each in self.definition.inputs if each.name == name)
        if each.letters_of(target, self.definition.inputs[0]) is not each.letters:
            raise Misfit(name, "expected class indices, for 'ignore' is one; found probabilities")
        return kept_entries(mask, target, self.ignore)

    def refuse_unsafe(self, module: nn.Module, inputs: Mapping[str, Tensor]) -> None:
        """Refuse what torch's kernels on the CPU would take as an address."""
        unsafe = self.definition.check
        if unsafe is None or inputs[self.inputs[0][0]].device.type != "cpu":
            return
        problem = unsafe(module, inputs)
        if problem is not None:
            raise InputError(f"term '{self.name}': expected {problem}", term=self.name)

    def given_denominator(self, like: Tensor, values: Any) -> Tensor:
        """The number that the term's sum is divided by.

        Where reading it would wait, or is not possible, what is not a divisor becomes nan.

        Args:
            like: Has the wanted dtype, and the device of a Python number.
            values: The step's values.

        Raises:
            InputError: There is nothing at the path.
            Misfit: It is not one number, or not a divisor.
        """
        path = self.denominator
        assert path is not None  # noqa: S101 - the caller has looked
        given = find(values, path, term=self.name, argument="denominator")
        if isinstance(given, Tensor):
            if given.numel() != 1:
                raise Misfit("denominator", f"expected one number, found {tuple(given.shape)}")
            if given.is_complex() or given.dtype == torch.bool:
                raise Misfit("denominator", f"expected a number, found {given.dtype}")
            number = given.detach().reshape(()).to(like.dtype)
            at_hand = given.is_cpu
        else:
            # A tuple: torch 2.6 does not trace `isinstance` of a union.
            if isinstance(given, bool) or not isinstance(given, (int, float)):
                raise Misfit("denominator", f"expected a number, found a {type(given).__name__}")
            number, at_hand = torch.tensor(given, dtype=like.dtype), True
        if torch.compiler.is_compiling() or not at_hand:
            return torch.where((number >= 0) & (number < math.inf), number, math.nan)
        check_divisor(given, number)
        return number

    def no_number(self, value: object) -> InputError:
        """An error for a result that is not a tensor, or has dimensions."""
        found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        return self._blamed(f"expected one number, found {found}")

    def versions(self, found: Sequence[Any]) -> list[int | None]:
        """How often each tensor was written to; None where torch does not count it."""
        return [
            None if tensor.is_inference() else tensor._version  # noqa: SLF001 - torch has no other name for it
            for tensor in (found[place] for _, place in self.places)
        ]

    def copies(self, found: Sequence[Any]) -> list[Tensor]:
        """Each tensor as it is now: torch does not count what goes through `.data` or numpy."""
        return [found[place].detach().clone() for _, place in self.places]

    def judge(
        self,
        found: Sequence[Any],
        versions: list[int | None],
        copies: list[Tensor],
        value: Tensor,
    ) -> None:
        """Look at what a loss did with its inputs.

        Args:
            found: What the router found.
            versions: What `versions` said of it before.
            copies: What `copies` made of it before; none, where it was not asked.
            value: What the loss returned.

        Raises:
            InputError: The result cannot be trained with, or an input was written to.
        """
        # Lists: torch 2.6 cannot go on with a strict `zip` after a graph break.
        after = list(zip(self.places, versions, self.versions(found), strict=True))
        changed = [name for (name, _), old, new in after if old != new]
        if copies:
            changed += [
                name
                for (name, place), copy in list(zip(self.places, copies, strict=True))
                if is_changed(copy, found[place])
            ]
        if changed:
            raise self._blamed(
                f"expected inputs left as they are, found '{changed[0]}' from "
                f"'{self.routes[changed[0]]}' changed in place"
            )
        problem = check_result(
            self.definition, {name: found[place] for name, place in self.inputs}, value
        )
        if problem:
            raise self._blamed(problem)

    def _blamed(self, problem: str) -> InputError:
        return InputError(f"term '{self.name}': {problem}; the loss is {self.loss}", term=self.name)

    def refused(self, found: Sequence[Any], error: Exception) -> InputError:
        """An error for inputs that the loss did not take."""
        tensors = "; ".join(
            f"'{name}' from '{self.routes[name]}' {tuple(found[place].shape)} {found[place].dtype}"
            for name, place in self.inputs
        )
        reason = str(error).strip().partition("\n")[0]
        # torch refuses some losses there; their definitions say what to use instead.
        hint = f". {self.definition.avoid_when}" if "autocast" in reason else ""
        return InputError(
            f"term '{self.name}': {self.loss} refused its inputs: {reason}; "
            f"they were {tensors}{hint}",
            term=self.name,
        )

    def given(self, found: Sequence[Any], values: Any) -> str:
        """What the loss was given, for a message about a value that is not finite."""
        given: dict[str, Any] = {argument: found[place] for argument, place in self.inputs}
        if self.sample_weight is not None:
            given["sample_weight"] = found[self.sample_weight]
        if self.denominator is not None:
            given["denominator"] = find(
                values, self.denominator, term=self.name, argument="denominator"
            )
        told = "; ".join(
            f"'{argument}' at '{self.routes[argument]}': "
            + (describe(each) if isinstance(each, Tensor) else str(each))
            for argument, each in given.items()
            if each is not None
        )
        return f"{told}; the loss is {self.loss}"
