"""A term that is repeated for every element of lists, and gives one value for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lossreg.errors import ConfigError, InputError
from lossreg.runtime.arguments import tensors_in
from lossreg.runtime.elements import ListRouter
from lossreg.runtime.reduction import Misfit, divided
from lossreg.runtime.term import Term

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from lossreg.config.models import TermConfig
    from lossreg.runtime.elements import Element
    from lossreg.runtime.notices import Notices
    from lossreg.runtime.routing import Router
    from lossreg.runtime.unsaved import ClassWeights

__all__ = ["EachTerm"]

_SINGLE = 4  # bytes


class EachTerm(Term):
    """A term of a group with `each`; arguments as for a term.

    With w an element's weight, N its sum of entries, D what that is divided by, v = N / D, and n
    the number of elements, its value is Σ w·v for `sum`, Σ w·v / n for `mean`, and Σ w·N / Σ D for
    `pooled`; there the same divisor for all elements, a path outside of them, divides once.

    Attributes:
        lists: What it is repeated over.
        pools: Whether the elements' divisors are added up.
    """

    def __init__(
        self,
        config: TermConfig,
        router: Router,
        class_weights: ClassWeights,
        notices: Notices,
        *,
        checks: str,
    ) -> None:
        assert config.each is not None  # noqa: S101 - the caller has looked
        assert isinstance(router, ListRouter)  # noqa: S101
        self.each = config.each
        self.lists = router.lists(self.each, config.name, optional=config.optional)
        super().__init__(config, self.lists.router, class_weights, notices, checks=checks)
        route = None if config.divide_by is None else config.divide_by.route
        self.divisor_varies = route is not None and self.each.varies(route)
        self.pools = self.each.combine == "pooled" and (route is None or self.divisor_varies)

    def value(
        self,
        module: nn.Module,
        tensors: Sequence[Any],
        values: Any,
        whole: Tensor | None,
        *,
        compiling: bool,
    ) -> Tensor:
        """The value of all elements; as for a term, with the tensors of the composite's router."""
        elements: list[Element] = tensors[self.lists.place]
        wanted = [element for element in elements if element.weight or self.pools]
        parts = self._parts(module, wanted, values, whole, compiling=compiling)
        return self._combined(wanted, parts, len(elements), whole)

    def value_apart(
        self,
        module: nn.Module,
        tensors: Sequence[Any],
        values: Any,
        whole: Tensor | None,
        *,
        compiling: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The value of all elements, and that of each one; as `value`."""
        elements: list[Element] = tensors[self.lists.place]
        parts = self._parts(module, elements, values, whole, compiling=compiling)
        apart = {
            f"{self.name}{element.label}": divided(*part)
            for element, part in zip(elements, parts, strict=True)
        }
        return self._combined(elements, parts, len(elements), whole), apart

    def _combined(
        self,
        elements: Sequence[Element],
        parts: Sequence[tuple[Tensor, Tensor | None]],
        count: int,
        whole: Tensor | None,
    ) -> Tensor:
        weighted = [
            total if element.weight == 1 else total * element.weight
            for element, (total, _) in zip(elements, parts, strict=True)
            if element.weight
        ]
        total = _added(weighted)
        divisors = [divisor for _, divisor in parts if divisor is not None]
        if divisors:
            return self.quotient(total, _added(divisors))
        # What a whole step counts outside of the elements is counted once, not for each of them.
        if self.each.combine == "mean" or (self.pools and whole is not None):
            return total / count
        return total

    def _parts(
        self,
        module: nn.Module,
        elements: Sequence[Element],
        values: Any,
        whole: Tensor | None,
        *,
        compiling: bool,
    ) -> list[tuple[Tensor, Tensor | None]]:
        """Each element's value; or, where divisors are added up, its sum and its divisor."""
        parts = []
        # A graph must not read what changes after the first batch: it would be recompiled.
        name, looks = self.name, () if compiling else self._looks
        for element in elements:
            seen = element.values if self.divisor_varies else values
            if compiling:
                part = self._part(module, element.tensors, seen, whole, compiling=True)
            else:
                # Every element of the first batch is looked at.
                self._looks = looks
                self.name = f"{name}{element.label}"
                try:
                    part = self._part(module, element.tensors, seen, whole, compiling=False)
                except BaseException:
                    self._looks = looks
                    raise
                finally:
                    self.name = name
            total, divisor = part
            # In half precision a sum of many values would lose digits.
            parts.append((total.float() if total.dtype.itemsize < _SINGLE else total, divisor))
        return parts

    @property
    def _looks(self) -> tuple[Any, ...]:
        """What still has to be looked at in a batch."""
        return self.unchecked, self.unjudged, self.uncopied, self.unseen, self.busy

    @_looks.setter
    def _looks(self, looks: tuple[Any, ...]) -> None:
        self.unchecked, self.unjudged, self.uncopied, self.unseen, self.busy = looks

    def _part(
        self,
        module: nn.Module,
        tensors: Sequence[Any],
        values: Any,
        whole: Tensor | None,
        *,
        compiling: bool,
    ) -> tuple[Tensor, Tensor | None]:
        if not self.pools or whole is not None:
            return super().value(module, tensors, values, whole, compiling=compiling), None
        if compiling:
            self.look_while_tracing(module, tensors)
        try:
            return self.judged(module, tensors, values, None, compiling=compiling)
        except Misfit as misfit:
            raise misfit.located(self.name, self.routes.get(misfit.argument, "")) from None
        except (InputError, ConfigError, torch.OutOfMemoryError):
            raise  # the last one is a RuntimeError, but not for the tensors' reason
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise self.refused(tensors, error) from error

    def absent(self, tensors: Sequence[Any]) -> tuple[str, int] | None:
        """The first argument without a tensor in any element, and its place.

        Raises:
            InputError: Some elements have the term's tensors and some have not.
        """
        elements: list[Element] | None = tensors[self.lists.place]
        if elements is None:
            return self.places[0]
        lacking = []
        for element in elements:
            missing = super().absent(element.tensors)
            if missing is not None:
                lacking.append((element, missing))
        if not lacking:
            return None
        first, missing = lacking[0]
        if len(lacking) < len(elements):
            name = f"{self.name}{first.label}"
            raise InputError(
                f"term '{name}', input '{missing[0]}' (path '{self.routes[missing[0]]}'): an "
                f"optional term is left out as a whole, and {len(lacking)} of {len(elements)} "
                "elements lack its tensors",
                term=name,
                argument=missing[0],
                path=self.routes[missing[0]],
            )
        return missing

    def factor(self, tensors: Sequence[Any]) -> Tensor:
        """As for a term: it is the same for every element."""
        elements: list[Element] = tensors[self.lists.place]
        return super().factor(elements[0].tensors)

    def missing(self, router: Router, values: Any) -> tuple[str, int] | None:
        """As `absent`, from the step's values."""
        return self.absent(router.run(values))

    def absence(self, router: Router, values: Any, argument: str, place: int) -> str:
        """The reason why every element lacks the tensor at a place."""
        elements: list[Element] | None = router.run(values)[self.lists.place]
        if elements is None:
            return self.lists.absence(values)
        first = elements[0]
        name, own = f"{self.name}{first.label}", self.lists.router
        if not own.varies(place):
            return own.shared_absence(values, place, term=name, argument=argument)
        return own.absence(first.values, place, term=name, argument=argument)

    def found(self, router: Router, values: Any, place: int) -> object:
        """The tensor at a place in the first element where it requires a gradient, or in the last.

        None if the lists are empty.
        """
        elements: list[Element] = router.run(values)[self.lists.place] or []
        tensor: Any = None
        for element in elements:
            tensor = element.tensors[place]
            if isinstance(tensor, Tensor) and tensor.requires_grad:
                return tensor
        return tensor

    def follow(self, module: nn.Module, tensors: Sequence[Any]) -> None:
        """Move class weights to the device of the first element's tensors."""
        elements: list[Element] | None = tensors[self.lists.place]
        if elements:
            super().follow(module, elements[0].tensors)

    def look(self, module: nn.Module, tensors: Sequence[Any]) -> None:
        """Check every element of a batch; as for a term."""
        elements: list[Element] = tensors[self.lists.place]
        name, looks = self.name, self._looks
        for element in elements:
            self._looks = looks
            self.name = f"{name}{element.label}"
            try:
                super().look(module, element.tensors)
            except BaseException:
                self._looks = looks
                raise
            finally:
                self.name = name

    def local_denominator(
        self,
        module: nn.Module,
        router: Router,  # noqa: ARG002 - the lists' router reads what is outside of them
        values: Any,
        like: Tensor,
    ) -> Tensor:
        """What the mean divides by in one micro-batch, which must not come from the elements."""
        source = self._counted_in_elements()
        if source is not None:
            raise InputError(
                f"term '{self.name}': what '{self.definition.name}' divides by is counted before "
                f"the model runs, and '{source}' (path '{self.routes[source]}') comes from 'each'; "
                "write divide_by: {rows: path}, {entries: path} or {number: path} of what the "
                "batch has outside of its lists",
                term=self.name,
                argument=source,
                path=self.routes[source],
            )
        return super().local_denominator(module, self.lists.router, values, like)

    def _counted_in_elements(self) -> str | None:
        """The first argument that `denominators` would have to read in the elements."""
        if self.divisor is not None and self.divisor.route is not None:
            return "divide_by" if self.divisor_varies else None
        if self.reduction == "sum" or self.averages or not self.entries:
            return None  # nothing is counted
        counted = {argument.name for argument in self.counted} | {"mask", "sample_weight"}
        if self.ignore is not None and self.definition.target is not None:
            counted.add(self.definition.target)
        for argument, place in self.places:
            if argument in counted and self.lists.router.varies(place):
                return argument
        return None

    def described(self, module: nn.Module, tensors: Sequence[Any], values: Any) -> str:
        """Describe the elements that are not finite; as for a term."""
        elements: list[Element] = tensors[self.lists.place]
        wrong = [element for element in elements if not self._is_finite(element)]
        if not wrong and not any(True for _ in module.buffers()):  # a loss that remembers nothing
            wrong = self._without_value(module, elements, values)
        described = []
        for element in wrong or elements:
            seen = element.values if self.divisor_varies else values
            text = super().described(module, element.tensors, seen)
            described.append(f"at {element.label} {text}")
        return "; ".join(described)

    @torch.no_grad()
    def _without_value(
        self, module: nn.Module, elements: Sequence[Element], values: Any
    ) -> list[Element]:
        """The elements whose own value is not finite."""
        try:
            parts = self._parts(module, elements, values, None, compiling=False)
            finite = [bool(divided(*part).isfinite()) for part in parts]
        except Exception:  # noqa: BLE001 - the term is reported, whatever its loss raises
            return []
        return [element for element, fits in zip(elements, finite, strict=True) if not fits]

    def _is_finite(self, element: Element) -> bool:
        found = (element.tensors[place] for _, place in self.places)
        return all(bool(part.isfinite().all()) for value in found for part in tensors_in(value))


def _added(numbers: Sequence[Tensor]) -> Tensor:
    total = numbers[0]
    for number in numbers[1:]:
        total = total + number
    return total
