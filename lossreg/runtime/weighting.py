"""From terms' values to the total: weights, their schedules, and the schedules' progress.

A weight is defined by its config and the progress, both plain numbers. Tensors are derived from
them: one in float64, which is an input of a compiled graph, and copies of it for eager steps. What
a step or a parameter adds to them is multiplied in each step.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lossreg.runtime.activity import Activity
from lossreg.runtime.denominators import WHOLE
from lossreg.runtime.learned import LearnedWeights
from lossreg.runtime.numbers import Numbers
from lossreg.runtime.output import LossOutput, Named
from lossreg.runtime.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Self

    from lossreg.config.models import Weight
    from lossreg.runtime.denominators import Share

__all__ = ["Weighting"]


# Stands before a term's name in the name of what its learned weight adds to the total.
_REGULARIZER = "regularizer/"
_NONE: Mapping[str, Tensor] = MappingProxyType({})
# Up to here, multiplying and adding beats stacking the terms for one dot product.
_FEW_TERMS = 2


class _Derived:
    """The weights as an eager step needs them.

    They never change, so a backward pass after a step uses the weights of its forward pass.

    Attributes:
        vector: One number per term, in the terms' dtype and on their device.
        by_name: The same as 0-d tensors by name, to multiply few or absent terms.
        shown: The same by name, for an output.
    """

    __slots__ = ("by_name", "shown", "vector")

    def __init__(self, vector: Tensor, places: dict[str, int], *, one_by_one: bool) -> None:
        self.vector = vector
        self.shown = Named(places, vector)
        self.by_name: dict[str, Tensor] = {}
        if one_by_one:
            # Made here and not in a step: under a function transform, such as `torch.func.grad`,
            # tensors that are made in a step belong to the transform.
            self.by_name = dict(zip(places, vector.unbind(), strict=True))


class Weighting(nn.Module):
    """Multiplies terms by their current weights, and adds them up.

    Args:
        weights: Each term's weight, by name.
        optional: Whether a term may be absent.
        numbers: The schedules that stand in transforms, which move together with the weights.
        activity: When terms are active.

    Attributes:
        in_graph: The terms whose weight is not a constant 0.
        varying: The terms of it whose weight is multiplied by what a step has, or is learned.
        learned: The learned weights; None if there are none.
        regularizers: The names of what learned weights add to the total.
        watched: The names of what `look_at` gives.
        progress: The steps and epochs completed; None where nothing depends on them. The composite
            registers it.
    """

    def __init__(
        self,
        weights: Mapping[str, Weight],
        *,
        optional: bool,
        numbers: Numbers | None = None,
        activity: Activity | None = None,
    ) -> None:
        super().__init__()
        self._weights = dict(weights)
        self.in_graph = tuple(name for name, weight in weights.items() if not weight.is_zero)
        self._places = {name: place for place, name in enumerate(self.in_graph)}
        self.varying = tuple(
            name
            for name in self.in_graph
            if weights[name].routes or weights[name].learned is not None
        )
        few = len(self.in_graph) <= _FEW_TERMS
        self.activity = Activity({}) if activity is None else activity
        may_lack = optional or bool(self.activity)
        is_mixed = may_lack or bool(self.varying) or len(self.in_graph) < len(weights)
        self._one_by_one = few or is_mixed
        learned = {
            name: weight.learned for name, weight in weights.items() if weight.learned is not None
        }
        self.learned = LearnedWeights(learned) if learned else None
        self.regularizers = tuple(f"{_REGULARIZER}{name}" for name in learned)
        self.watched = (
            *self.in_graph,
            *(f"weight of {name}" for name in self.varying),
            *(f"regularizer of {name}" for name in learned),
        )
        self._factors = {name: self.activity.factor(name) for name in weights}
        self._repeats = any(factor != 1 for factor in self._factors.values())
        self.numbers = Numbers() if numbers is None else numbers
        schedules = self.numbers.schedules
        moves = bool(schedules) or any(weight.schedules for weight in weights.values())
        moves = moves or bool(self.activity)
        # Saved under a key of the composite, so it is not a child of this module.
        self.__dict__["progress"] = Progress(weights, schedules, self.activity) if moves else None
        self.progress: Progress | None
        self._derive(None, torch.float32)

    def now(self) -> dict[str, float]:
        """Each term's weight if it is active, by name: nan where it depends on the next step."""
        learned = {} if self.learned is None else self.learned.now()
        fixed = self._fixed()
        routed = {name: math.nan for name in self.varying if self._weights[name].routes}
        return {**fixed, **learned, **routed}

    def _fixed(self) -> dict[str, float]:
        """Each weight without what a step or a parameter multiplies it by."""
        steps, epochs = self._completed
        now = {name: weight.value(steps, epochs) for name, weight in self._weights.items()}
        if self._repeats and self.training:
            return {name: number * self._factors[name] for name, number in now.items()}
        return now

    def active(self) -> tuple[str, ...]:
        """The names of the terms that are active."""
        steps, epochs = self._completed
        has, training = self.activity.has, self.training
        return tuple(name for name in self._weights if has(name, steps, epochs, training=training))

    @property
    def _completed(self) -> tuple[int, int]:
        return (self.progress.steps, self.progress.epochs) if self.progress else (0, 0)

    def zeros(self) -> Tensor:
        """A 0 for each term, in the dtype and on the device of the weights."""
        return self._exact.new_zeros(len(self._weights))

    def nothing(self) -> Tensor:
        """The total of no terms: a 0 without a graph."""
        return self._exact.new_zeros((), dtype=torch.float32)

    def combine(
        self,
        values: Mapping[str, Tensor],
        share: Share = WHOLE,
        factors: Mapping[str, Tensor] = _NONE,
    ) -> LossOutput:
        """The weighted sum of those terms whose weight is not a constant 0.

        The output has at least the added terms, detached, and their weights; and what learned
        weights add to the total, of weight 1.

        Args:
            values: The raw value of each term that is present, a 0-d tensor, in the terms' order.
            share: Which part of a step the values are.
            factors: By term, the number of the step that its weight is multiplied by.
        """
        compiling = torch.compiler.is_compiling()
        names, parts = self.in_graph, list(values.values())
        if len(parts) < len(self._weights) or len(names) < len(parts):
            names = tuple(name for name in names if name in values)
            parts = [values[name] for name in names]
        if self.progress is not None and self.training and not compiling:
            self.progress.used()
        if not names:
            like = next(iter(values.values())) if values else self.nothing()
            return LossOutput(like.new_zeros((), dtype=torch.float32), {}, {})
        if self.varying:
            combined = self._varied(names, parts, factors, share)
        elif compiling:
            combined = self._traced(names, parts)
        elif len(names) <= _FEW_TERMS or len(names) < len(self.in_graph):
            combined = self._one_by_one_of(names, parts)
        else:
            combined = self._stacked(parts)
        if share.world_size != 1:
            # Not `_replace`: torch 2.6 does not trace it.
            total = combined.total * share.world_size
            combined = LossOutput(total, combined.terms, combined.weights)
        is_eager = self.training and not compiling
        if is_eager and self.learned is not None and combined.total.requires_grad:
            self.learned.watch.look()
        return combined

    def weigh(
        self,
        values: Mapping[str, Tensor],
        share: Share = WHOLE,
        factors: Mapping[str, Tensor] = _NONE,
    ) -> dict[str, Tensor]:
        """Each value times its weight, without those of constant weight 0; as `combine`.

        What learned weights add to the total comes after them.
        """
        names = [name for name in self.in_graph if name in values]
        if not names:
            return {}
        like = _widest([values[name] for name in names])
        weights = self._by_name(names, like, factors)
        weighted = {name: values[name] * weights[name] for name in names}
        return {**weighted, **self._regularizers(names, like, share)}

    def _by_name(
        self, names: Sequence[str], like: Tensor, factors: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The weights of these terms by name, 0-d tensors on the device of `like`."""
        vector = self._vector_for(like)
        weights = dict(zip(self.in_graph, vector.unbind(), strict=True))
        for name in names:
            if name in factors:
                weights[name] = weights[name] * factors[name].to(vector.device, vector.dtype)
            if self._weights[name].learned is not None and self.learned is not None:
                weights[name] = self.learned.weight(name, vector)
        return weights

    def _regularizers(self, names: Sequence[str], like: Tensor, share: Share) -> dict[str, Tensor]:
        """What the learned weights of these terms add to the total in one part of a step."""
        learned, added = self.learned, {}
        if learned is None:
            return {}
        vector = self._vector_for(like)
        for name in learned.names:
            if name not in names:
                continue
            number = learned.regularizer(name, vector)
            if share.parts is not None:
                # A term that nobody counted is in this part at least.
                number = number / share.parts[name].to(number).clamp(min=1)
            added[f"{_REGULARIZER}{name}"] = number
        return added

    def _varied(
        self,
        names: Sequence[str],
        parts: Sequence[Tensor],
        factors: Mapping[str, Tensor],
        share: Share,
    ) -> LossOutput:
        like = _widest(parts)
        weights = self._by_name(names, like, factors)
        total = parts[0] * weights[names[0]]
        for name, part in zip(names[1:], parts[1:], strict=True):
            total = total + part * weights[name]
        terms = {name: part.detach() for name, part in zip(names, parts, strict=True)}
        # Copies, because an output of a graph must not be its input.
        shown = {name: weights[name].detach().clone() for name in names}
        for name, number in self._regularizers(names, like, share).items():
            total = total + number
            terms[name] = number.detach()
            shown[name] = torch.ones_like(number.detach())
        if torch.compiler.is_compiling():
            return LossOutput(total, terms, shown)
        return LossOutput(total, Named(terms), Named(shown))

    def look_at(
        self, terms: Mapping[str, Tensor], weights: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """What has to be finite in an output, in the order of `watched`.

        Args:
            terms: The output's terms.
            weights: Their weights.
        """
        if not self.varying:
            return terms
        looked_at = {name: terms[name] for name in self.in_graph if name in terms}
        looked_at.update(
            (f"weight of {name}", weights[name]) for name in self.varying if name in terms
        )
        for name in self.regularizers:
            if name in terms:
                looked_at[f"regularizer of {name.removeprefix(_REGULARIZER)}"] = terms[name]
        return looked_at

    def described(self, name: str) -> str:
        """Describe what a weight or a regularizer is made from; names are those of `watched`."""
        weight = self._weights[name.partition(" of ")[2]]
        if weight.learned is not None:
            return "its parameter is not finite, or far from 0"
        return f"it is multiplied by {', '.join(f'{route!s}' for route in weight.routes)}"

    def _stacked(self, parts: list[Tensor]) -> LossOutput:
        stacked, vector = torch.stack(parts), self._now.vector
        if stacked.dtype != vector.dtype or stacked.device != vector.device:
            vector = self._vector_for(stacked)
            stacked = stacked.to(vector.dtype)
        # dot, not @: autocast would compute a matmul in half precision.
        total = torch.dot(stacked, vector)
        return LossOutput(total, Named(self._places, stacked.detach()), self._now.shown)

    def _one_by_one_of(self, names: Sequence[str], parts: list[Tensor]) -> LossOutput:
        self._vector_for(parts[0] if len(parts) == 1 else _widest(parts))
        weights = self._now.by_name
        total = parts[0] * weights[names[0]]
        for name, part in zip(names[1:], parts[1:], strict=True):
            total = total + part * weights[name]
        terms = {name: part.detach() for name, part in zip(names, parts, strict=True)}
        return LossOutput(total, Named(terms), self._now.shown)

    def _traced(self, names: Sequence[str], parts: Sequence[Tensor]) -> LossOutput:
        vector = self._vector_for(_widest(parts))
        weights = dict(zip(self.in_graph, vector.unbind(), strict=True))
        if len(names) > _FEW_TERMS and len(names) == len(self.in_graph):
            stacked = torch.stack(list(parts)).to(vector.dtype)
            total, parts = torch.dot(stacked, vector), stacked.unbind()
        else:
            total = parts[0] * weights[names[0]]
            for name, part in zip(names[1:], parts[1:], strict=True):
                total = total + part * weights[name]
        terms = {name: part.detach() for name, part in zip(names, parts, strict=True)}
        # Copies, because an output of a graph must not be its input.
        return LossOutput(total, terms, {name: weights[name].clone() for name in names})

    def _vector_for(self, values: Tensor) -> Tensor:
        """The weights on the terms' device: in float32, or in float64 for float64 terms."""
        wanted = torch.float64 if values.dtype == torch.float64 else torch.float32
        if torch.compiler.is_compiling():
            # In float64, so that one graph serves terms of every dtype.
            return self._exact.to(values.device, wanted)
        vector = self._now.vector
        if vector.dtype != wanted or vector.device != values.device:
            # The loss was not moved to the terms' device, or their dtype has changed.
            self._derive(values.device, wanted)
        return self._now.vector

    def _derive(self, device: torch.device | None, dtype: torch.dtype) -> None:
        numbers = self._fixed()
        # Not as inference tensors, if a validation step comes first: training could not use them.
        with torch.inference_mode(mode=False):
            # In float64, so that a graph of float64 terms has exact weights from the first step.
            widest = torch.float32 if device is not None and device.type == "mps" else torch.float64
            # A plain attribute: a buffer would be averaged with those of other modules.
            self._exact = torch.tensor(
                [numbers[name] for name in self.in_graph], dtype=widest, device=device
            )
            self._make(dtype)

    def _make(self, dtype: torch.dtype) -> None:
        vector = self._exact.to(dtype, copy=True)
        self._now = _Derived(vector, self._places, one_by_one=self._one_by_one)

    def refresh(self) -> None:
        """Derive the weights and numbers again, after a state was loaded."""
        if self.learned is not None:
            self.learned.watch.restart()
        self._derive(self._exact.device, self._now.vector.dtype)
        self.numbers.move(*self._completed)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        device = fn(torch.empty(0, device=self._exact.device)).device
        self._derive(device, torch.float32)
        self.numbers.derive(*self._completed, device)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set training mode, in which `times_every` multiplies weights."""
        changed = mode != self.training
        super().train(mode)
        if changed and self._repeats:
            self._move()
        return self

    def step(self) -> None:
        """Move the schedules by one step."""
        if self.progress is not None:
            self.progress.steps += 1
            self._move()
        if self.learned is not None and self.training:
            self.learned.step()

    def step_epoch(self) -> None:
        """Move the schedules with `unit: epoch` by one epoch."""
        if self.progress is not None:
            self.progress.epochs += 1
            self._move()

    def _move(self) -> None:
        numbers = self._fixed()
        self.numbers.move(*self._completed)
        with torch.inference_mode(mode=False), torch.no_grad():
            # A new tensor, because a backward pass may still need the old one; filled number by
            # number, which does not wait for the device.
            self._exact = self._exact.clone()
            for view, name in zip(self._exact.unbind(), self.in_graph, strict=True):
                if self._weights[name].schedules or self._factors[name] != 1:
                    view.fill_(numbers[name])
            self._make(self._now.vector.dtype)

    def extra_repr(self) -> str:
        """The terms and their weights."""
        return ", ".join(f"{name}={weight}" for name, weight in self._weights.items())


def _widest(values: Sequence[Tensor]) -> Tensor:
    """A value whose dtype can hold all of them."""
    if len(values) == 1:
        return values[0]
    # A loop: torch 2.6 does not trace `next` with a default.
    for value in values:
        if value.dtype == torch.float64:
            return value
    return values[0]
