"""The terms of a composite: each loss called with its tensors, reduced to one number."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lossreg.errors import InputError
from lossreg.runtime.notices import Notices
from lossreg.runtime.routing import Router
from lossreg.runtime.term import Term
from lossreg.runtime.unsaved import UnsavedBuffers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from typing_extensions import Self

    from lossreg.config.models import TermConfig
    from lossreg.runtime.denominators import Denominators
    from lossreg.runtime.unsaved import ClassWeights
    from lossreg.runtime.weighting import Weighting

__all__ = ["Terms"]

_SINGLE = 4  # bytes


class Terms(nn.Module):
    """The losses of a composite, each under its term's name.

    Calling it with a step's values gives each term's value, attached to the graph.

    Args:
        terms: Each term's config, with its built loss and that one's class weights.
        weighting: Multiplies raw values by their weights of now.
        checks: When to look at tensors before the losses do: `off`, `first` or `always`.
    """

    def __init__(
        self,
        terms: Iterable[tuple[TermConfig, tuple[nn.Module, ClassWeights]]],
        weighting: Weighting,
        *,
        checks: str,
    ) -> None:
        super().__init__()
        self._router = Router()
        # A plain attribute, for it is the composite's child. And the object it is: torch 2.6 does
        # not trace what a method kept as an attribute is bound to.
        self.__dict__["_weighting"] = weighting
        self._weighting: Weighting
        self._notices = Notices(self._router)
        self._terms: list[Term] = []
        modules: dict[str, Any] = self._modules
        for config, (module, class_weights) in terms:
            # Not add_module: it refuses names that nn.Module has as an attribute, and a term may
            # well be called `forward`, `type` or `half`.
            modules[config.name] = module
            term = Term(config, self._router, class_weights, self._notices, checks=checks)
            self._terms.append(term)
            self._notices.expect(term)
        self._class_weighted = [term for term in self._terms if term.class_weights]
        self._unsaved = UnsavedBuffers(modules)
        self._has_lost = bool(self._unsaved)
        self._names = tuple(term.name for term in self._terms)

    @property
    def names(self) -> tuple[str, ...]:
        """The terms' names, in order."""
        return self._names

    @property
    def divides(self) -> tuple[bool, ...]:
        """For each term, whether it is divided by anything."""
        return tuple(term.divides for term in self._terms)

    # As torch's, which would refuse to set an attribute that is a term's name: `training`.
    def train(self, mode: bool = True) -> Self:
        """Set training mode, of the losses as well."""
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
            values: The step's values; the model's own results may be missing.
            like: Has the numbers' dtype and device.

        Raises:
            InputError: A tensor is missing or does not fit, or a term cannot be counted.
        """
        if self._has_lost:
            self._refuse_lost()
        modules: dict[str, Any] = self._modules
        return [
            term.local_denominator(modules[term.name], self._router, values, like).to(like)
            for term in self._terms
        ]

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
    ) -> dict[str, Tensor]:
        """Each term's value, a 0-d tensor attached to the graph.

        The names never change: an optional term without its tensors is a 0. Where other terms have
        a graph it has one too, without any parameter in it.

        Args:
            values: The step's values, as the composite takes them.
            weighted: Whether each is multiplied by its weight of now. Then they add up to the
                composite's total, and a term whose weight is a constant 0 is a 0 as well.
            denominators: What each term's sum is divided by, from `loss.denominators`, where this
                is one of several micro-batches or ranks.

        Raises:
            InputError: A tensor is missing, does not fit, or a loss refused what it was given; or
                no term found its tensors.
        """
        whole = None if denominators is None else denominators.by_name(self.names)
        raw = self.present(values, whole, attached=not weighted)
        like = next(iter(raw.values()))
        dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
        if weighted:
            raw = self._weighting.weigh(raw)
            if denominators is not None and denominators.world_size != 1:
                raw = {name: value * denominators.world_size for name, value in raw.items()}
        attached = any(value.requires_grad for value in raw.values())

        def nothing() -> Tensor:
            zero = like.new_zeros((), dtype=dtype, requires_grad=attached)
            return zero.clone()  # so that it has a grad_fn, as the others do

        return {name: raw[name] if name in raw else nothing() for name in self.names}

    def present(
        self, values: Any, whole: Mapping[str, Tensor] | None, *, attached: bool = False
    ) -> dict[str, Tensor]:
        """Each raw value whose tensors are there.

        A term whose weight is a constant 0 is computed without a graph: were it multiplied, a
        nan in it would become a nan in the total.

        Args:
            values: The step's values.
            whole: What each term's sum is divided by, instead of the batch's own.
            attached: Whether terms of weight 0 have a graph, too.

        Raises:
            InputError: A tensor is missing, does not fit, or a loss refused what it was given; or
                no term found its tensors.
        """
        compiling = torch.compiler.is_compiling()
        if self._has_lost:
            self._refuse_lost()
        modules: dict[str, Any] = self._modules
        found = self._router.run(values)
        raw = {}
        for term in self._terms:
            module = modules[term.name]
            if term.optional and self._is_absent(term, found, values):
                continue
            # In this order: torch 2.6 does not trace an object's `__bool__`.
            if not compiling and term.class_weights:
                term.follow(module, found)
            divisor = None if whole is None else whole[term.name]
            if term.in_graph or attached:
                raw[term.name] = term.value(module, found, values, divisor)
            else:
                with torch.no_grad():
                    raw[term.name] = term.value(module, found, values, divisor)
        if not raw:
            raise InputError("every term is optional, and no term found its tensors")
        return raw

    def _is_absent(self, term: Term, found: Sequence[Any], values: Any) -> bool:
        absent = term.absent(found)
        # A graph must not look at the count, which would be compiled into it.
        if not torch.compiler.is_compiling() and (self.training or not absent):
            self._notices.count(term, absent, values)
        return absent is not None

    def look_ahead(self, values: Any) -> None:
        """Look at a batch, and warn of it, as an eager step does, before a graph runs.

        Raises:
            InputError: A tensor is missing or does not fit.
            StateError: A buffer lost its values.
        """
        self._notices.look_ahead(self._terms, values, training=self.training)
        if self._has_lost:
            self._refuse_lost()
        terms = [term for term in self._terms if term.is_looked_at]
        if not (terms or self._class_weighted):
            return
        modules: dict[str, Any] = self._modules
        found = self._router.run(values)
        for term in self._class_weighted:
            term.follow(modules[term.name], found)
        for term in terms:
            if not (term.optional and term.absent(found)):
                term.look(modules[term.name], found)

    def described(self, name: str, values: Any) -> str:
        """What a term was given, for a message about a value that is not finite."""
        found = self._router.run(values)
        (term,) = (term for term in self._terms if term.name == name)
        return term.given(found, values)
