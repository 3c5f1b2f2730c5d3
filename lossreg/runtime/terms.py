"""The terms of a composite: each loss called with its tensors, reduced to one number."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lossreg.errors import InputError
from lossreg.runtime.denominators import WHOLE
from lossreg.runtime.each import EachTerm
from lossreg.runtime.elements import ListRouter
from lossreg.runtime.notices import Notices
from lossreg.runtime.routing import Router
from lossreg.runtime.term import Term
from lossreg.runtime.unsaved import UnsavedBuffers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from typing_extensions import Self

    from lossreg.config.models import TermConfig
    from lossreg.runtime.denominators import Denominators
    from lossreg.runtime.derived import DerivedNames
    from lossreg.runtime.unsaved import ClassWeights
    from lossreg.runtime.weighting import Weighting

__all__ = ["Terms"]

_SINGLE = 4  # bytes


class Terms(nn.Module):
    """The losses of a composite, each under its term's name.

    Calling it with a step's values gives each term's value, attached to the graph.

    Args:
        terms: Each term's config, its built loss, and the class weights of that loss.
        weighting: Multiplies raw values by their current weights; leaves out constant weights of 0.
        checks: When to look at tensors before the losses do: `off`, `first` or `always`.
        derived: The names under `derive`.
    """

    def __init__(
        self,
        terms: Iterable[tuple[TermConfig, tuple[nn.Module, ClassWeights]]],
        weighting: Weighting,
        *,
        checks: str,
        derived: DerivedNames,
    ) -> None:
        super().__init__()
        self._derived = derived
        terms = list(terms)
        repeats = any(config.each is not None for config, _ in terms)
        self._router = (ListRouter if repeats else Router)(weighting.numbers, derived)
        # A plain attribute, for it is the composite's child. And the object it is: torch 2.6 does
        # not trace what a method kept as an attribute is bound to.
        self.__dict__["_weighting"] = weighting
        self._weighting: Weighting
        self._notices = Notices(self._router)
        self._terms: list[Term] = []
        modules: dict[str, Any] = self._modules
        for config, (module, class_weights) in terms:
            # Not add_module: it refuses names of nn.Module's attributes, and a term may be called
            # `forward`, `type` or `half`.
            modules[config.name] = module
            kind = Term if config.each is None else EachTerm
            term: Term = kind(config, self._router, class_weights, self._notices, checks=checks)
            self._terms.append(term)
            self._notices.expect(term)
        # Those that are active, with None for the others, as the router has it.
        self._current: Sequence[Term | None] = self._terms
        self._narrowed: dict[tuple[str, ...], Sequence[Term | None]] = {}
        self._class_weighted = [term for term in self._terms if term.follows]
        self._unsaved = UnsavedBuffers(modules)
        self._has_lost = bool(self._unsaved)
        self._names = self._active = tuple(term.name for term in self._terms)

    @property
    def names(self) -> tuple[str, ...]:
        """The terms' names, in order."""
        return self._names

    @property
    def active(self) -> tuple[str, ...]:
        """The names of those that are active, in order."""
        return self._active

    @property
    def divides(self) -> tuple[bool, ...]:
        """For each term, whether it is active and divided by anything."""
        return tuple(term is not None and term.divides for term in self._current)

    def narrow(self, active: tuple[str, ...]) -> None:
        """Compute only the terms that are active.

        A graph is compiled for each list of terms, so it is made once for the same terms.
        """
        if active not in self._narrowed:
            self._narrowed[active] = [term if term.name in active else None for term in self._terms]
        self._active, self._current = active, self._narrowed[active]
        self._router.narrow(active)

    def divisors(self, denominators: Denominators) -> dict[str, Tensor]:
        """What each term's sum is divided by in a whole step.

        Raises:
            InputError: They are from another composite, another step or other active terms.
        """
        progress = self._weighting.progress
        # A graph must not read the step, which would be compiled into it.
        is_known = progress is not None and not torch.compiler.is_compiling()
        steps = progress.steps if progress is not None and is_known else None
        return denominators.by_name(self._names, self._active, steps)

    def check_total(self, total: Tensor, *, is_split: bool) -> None:
        """Check what terms divide by in a whole step, and warn of what could not be counted.

        Args:
            total: One number per term; those that must be above 0 become nan if they are not, and
                cannot be read without waiting for the device.
            is_split: Whether the batch is split into micro-batches or over ranks.

        Raises:
            InputError: A term divides by weights that add up to 0 or less.
        """
        for number, term in zip(total.unbind(), self._current, strict=True):
            if term is None:
                continue
            if term.divides_by_weights:
                number.copy_(term.positive(number))
            if term.averages and term.divides and is_split:
                self._notices.averaged(term)
        if is_split:
            self._notices.split(filter(None, self._current))

    # torch's `train` would fail to set the attribute `training` if a term has that name.
    def train(self, mode: bool = True) -> Self:
        """Set training mode, also of the losses."""
        self.__dict__["training"] = mode
        for module in self.children():
            module.train(mode)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        modules: dict[str, Any] = self._modules
        self._unsaved.applied(modules, fn, partial(super()._apply, fn, recurse))
        self._has_lost = bool(self._unsaved)
        for term in self._class_weighted if recurse else ():
            term.class_weights.apply(fn)
            term.share_with_twin(modules[term.name])
        return self

    @torch.no_grad()
    def local_denominators(self, values: Any, like: Tensor) -> list[Tensor]:
        """What each term's mean divides by in one micro-batch.

        Args:
            values: The step's values; results of the model may be missing.
            like: A tensor of the numbers' dtype and device.

        Raises:
            InputError: A tensor is missing or does not fit, or a term cannot be counted.
        """
        self._refuse(values)
        modules: dict[str, Any] = self._modules
        return [
            torch.zeros_like(like)
            if term is None
            else term.local_denominator(modules[term.name], self._router, values, like).to(like)
            for term in self._current
        ]

    def counted_in(self, values: Any, like: Tensor) -> Tensor:
        """For each term 1 if a micro-batch has it, as far as that is known before the model runs.

        Args:
            values: The step's values; results of the model may be missing.
            like: A tensor of the numbers' dtype and device.
        """
        is_in = [
            0.0 if term is None else float(term.is_expected(self._router, values))
            for term in self._current
        ]
        return torch.tensor(is_in, dtype=like.dtype).to(like.device)

    def _refuse(self, values: Any) -> None:
        """Refuse lost buffers, and values under derived names."""
        if self._has_lost:
            self._refuse_lost()
        self._derived.refuse(values)

    def _refuse_lost(self) -> None:
        modules: dict[str, Any] = self._modules
        self._unsaved.refuse(modules)
        self._has_lost = False

    def forward(
        self,
        values: Any,
        *,
        weighted: bool = False,
        denominators: Denominators | None = None,
        elements: bool = False,
    ) -> dict[str, Tensor]:
        """Each term's value, a 0-d tensor attached to the graph.

        The names never change: a term that is not active, and an optional one without its tensors,
        is a 0. If other terms have a graph, this 0 has one too, without any parameter in it.

        Args:
            values: The step's values, as the composite takes them.
            weighted: Whether to multiply each value by its current weight. Then they add up to the
                composite's total, and a term whose weight is a constant 0 is also a 0. What a
                learned weight adds to the total comes with them, as `regularizer/NAME`.
            denominators: What each term's sum is divided by, from `loss.denominators`, if this
                is one of several micro-batches or ranks.
            elements: Whether the value of each element of `each` follows, before it is weighted and
                combined, under keys such as `features/l1[3]`, of which there are as many as
                elements.

        Raises:
            InputError: A tensor is missing, does not fit, or a loss refused what it was given; or
                no term found its tensors.
            ValueError: Both `weighted` and `elements` are asked for.
        """
        if weighted and elements:
            raise ValueError("elements have no weight in the total; ask for one of the two")
        apart: dict[str, Tensor] | None = {} if elements else None
        whole, share = None, WHOLE
        if denominators is not None:
            whole, share = self.divisors(denominators), denominators.share
        raw, factors = self.present(values, whole, attached=not weighted, apart=apart)
        names = self.names
        like = next(iter(raw.values())) if raw else self._weighting.nothing()
        dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
        if weighted:
            raw = self._weighting.weigh(raw, share, factors)
            names = (*names, *self._weighting.regularizers)
            if denominators is not None and denominators.world_size != 1:
                raw = {name: value * denominators.world_size for name, value in raw.items()}
        attached = any(value.requires_grad for value in raw.values())

        def nothing() -> Tensor:
            zero = like.new_zeros((), dtype=dtype, requires_grad=attached)
            return zero.clone()  # so that it has a grad_fn, like the other values

        named = {name: raw[name] if name in raw else nothing() for name in names}
        return named if apart is None else {**named, **apart}

    def present(
        self,
        values: Any,
        whole: Mapping[str, Tensor] | None,
        *,
        attached: bool = False,
        apart: dict[str, Tensor] | None = None,
        parts: dict[str, Tensor] | None = None,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The raw value of each term that is active and present, and its weight's factor.

        A term whose weight is a constant 0 is computed without a graph, and is not added to the
        total: 0 times a nan would be a nan.

        Args:
            values: The step's values.
            whole: What each term's sum is divided by, instead of the batch's own.
            attached: Whether terms of weight 0 also have a graph.
            apart: Takes the value of each element of `each`, if it is wanted.
            parts: Takes the value of each part of a loss that has some, detached, as `TERM/PART`.

        Raises:
            InputError: A tensor is missing, does not fit, or a loss refused what it was given; or
                no term found its tensors.
        """
        compiling = torch.compiler.is_compiling()
        self._refuse(values)
        modules: dict[str, Any] = self._modules
        tensors = self._router.run(values)
        raw: dict[str, Tensor] = {}
        factors: dict[str, Tensor] = {}
        for term in self._current:
            if term is None:
                continue
            name, divisor = term.name, None if whole is None else whole[term.name]
            module = modules[name]
            if term.optional and self._is_absent(term, tensors, values):
                continue
            if term.factors is not None:
                factors[name] = term.factor(tensors)
            if term.follows and not compiling:
                term.follow(module, tensors)
            if apart is not None and isinstance(term, EachTerm):
                raw[name], of_elements = term.value_apart(
                    module, tensors, values, divisor, compiling=compiling
                )
                apart.update(of_elements)
            elif term.in_graph or attached:
                raw[name] = term.value(module, tensors, values, divisor, compiling=compiling)
            else:
                with torch.no_grad():
                    raw[name] = term.value(module, tensors, values, divisor, compiling=compiling)
            if term.definition.parts:
                raw[name] = _of_parts(term, raw[name], parts)
        if not raw and self._active:
            raise self._nothing_found()
        return raw, factors

    def _nothing_found(self) -> InputError:
        which = "every term" if self._active == self._names else "every active term"
        return InputError(f"{which} is optional, and no term found its tensors")

    def _is_absent(self, term: Term, tensors: Sequence[Any], values: Any) -> bool:
        absent = term.absent(tensors)
        # A graph must not read the count, which would be compiled into it.
        if not torch.compiler.is_compiling() and (self.training or not absent):
            self._notices.count(term, absent, values)
        return absent is not None

    def look_ahead(self, values: Any) -> None:
        """Check a batch and give its warnings, as an eager step does, before a graph runs.

        Raises:
            InputError: A tensor is missing or does not fit.
            StateError: A buffer lost its values.
        """
        self._derived.refuse(values)
        active = [term for term in self._current if term is not None]
        self._notices.look_ahead(active, values, training=self.training)
        if self._has_lost:
            self._refuse_lost()
        terms = [term for term in active if term.is_looked_at]
        if not (terms or self._class_weighted):
            return
        modules: dict[str, Any] = self._modules
        tensors = self._router.run(values)
        for term in self._class_weighted:
            term.follow(modules[term.name], tensors)
        for term in terms:
            if not (term.optional and term.absent(tensors)):
                term.look(modules[term.name], tensors)

    def described(self, name: str, values: Any) -> str:
        """Describe a term's inputs, for a message about a value that is not finite."""
        tensors = self._router.run(values)
        (term,) = (term for term in self._terms if term.name == name)
        modules: dict[str, Any] = self._modules
        return term.described(modules[name], tensors, values)


def _of_parts(term: Term, vector: Tensor, parts: dict[str, Tensor] | None) -> Tensor:
    """A term's value; each part of it goes to `parts`, detached, if they are wanted."""
    if parts is not None:
        for part, number in zip(term.definition.parts, vector.detach().unbind(), strict=True):
            parts[f"{term.name}/{part}"] = number
    return term.summed(vector)
