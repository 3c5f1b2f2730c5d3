"""`CompositeLoss`: weighted, routed terms summed to one number."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lossreg.denominators import Denominators, added_up
from lossreg.errors import ConfigWarning
from lossreg.nonfinite import DelayedFlags, culprits, report
from lossreg.output import LossOutput, Named
from lossreg.progress import Progress
from lossreg.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import distributed
    from typing_extensions import Self

    from lossreg.config import CompositeConfig
    from lossreg.unsaved import ClassWeights

__all__ = ["CompositeLoss"]

# Up to here, multiplying and adding beats stacking the terms for one dot product.
_FEW_TERMS = 2
# Forwards without a step() after which a schedule that stands still is warned of.
_PATIENCE = 100


class CompositeLoss(nn.Module):
    """A weighted sum of losses, each fed from a step's values by its own paths.

    Made by `lossreg.build`. Called with the step's tensors as keywords or as one mapping (or
    object with attributes), it gives a `LossOutput`; `loss.terms(values)` gives the raw terms
    attached to the graph. `step()` after each optimizer step, and `step_epoch()` after each
    epoch, move the schedules.

    Args:
        config: The composite's config.
        built: The loss of each enabled term with its class weights, in order.

    Raises:
        InputError: On a call: a tensor is missing, or does not fit its loss.
        NonFiniteError: On a call or a step: a term became nan or infinite.
    """

    def __init__(
        self, config: CompositeConfig, built: Iterable[tuple[nn.Module, ClassWeights]]
    ) -> None:
        super().__init__()
        terms = [term for term in config.terms if term.enabled]
        self.terms = Terms(zip(terms, built, strict=True), self._weighted, checks=config.checks)
        self._names = tuple(term.name for term in terms)
        self._weights = {term.name: term.weight for term in terms}
        self._in_graph = tuple(term.name for term in terms if term.weight.in_graph)
        self._places = {name: index for index, name in enumerate(self._in_graph)}
        # Whether the weights are wanted so as well, by a step or to be shown.
        self._one_by_one = (
            len(self._in_graph) <= _FEW_TERMS
            or len(self._in_graph) < len(terms)
            or any(term.optional for term in terms)
        )
        # A plain attribute as well: looking a submodule up costs as much as a small loss does.
        self._terms: Terms
        self.__dict__["_terms"] = self.terms
        self._on_nonfinite = config.on_nonfinite
        self._delayed = DelayedFlags()
        self._idle_forwards = 0
        self.progress: Progress | None = None
        if any(weight.schedules for weight in self._weights.values()):
            self.progress = Progress(self._weights)
            self.register_load_state_dict_post_hook(_refresh)  # type: ignore[no-untyped-call]
        # Plain attributes, since they are derived: the weights' truth is the config and the
        # progress. As buffers they would be averaged with those of other modules.
        self._weight: Tensor
        self._nonfinite: Tensor
        self._derive(None, torch.float32)

    @property
    def weights(self) -> dict[str, float]:
        """Each term's weight as it is now, by name."""
        steps, epochs = (self.progress.steps, self.progress.epochs) if self.progress else (0, 0)
        return {name: weight.value(steps, epochs) for name, weight in self._weights.items()}

    def _derive(self, device: torch.device | None, dtype: torch.dtype) -> None:
        numbers = self.weights
        # Not as inference tensors, were a validation step the first one: training could not use
        # them.
        with torch.inference_mode(mode=False):
            # In float64, so that a graph of float64 terms has what it needs from the first step.
            widest = torch.float32 if device is not None and device.type == "mps" else torch.float64
            self._weight = torch.tensor(
                [numbers[name] for name in self._in_graph], dtype=widest, device=device
            )
            self._nonfinite = torch.zeros(len(self._in_graph), dtype=torch.bool, device=device)
            # As torch._dynamo.mark_static_address does, whose import takes a second: CUDA graphs
            # do without a graph that writes to an input which may move.
            self._nonfinite._dynamo_static_input_type = "unguarded"  # type: ignore[attr-defined] # noqa: SLF001
            self._copy_weights(dtype)

    def _copy_weights(self, dtype: torch.dtype) -> None:
        """A copy of the weights, made when they change and not at each step.

        It never changes, so a backward pass after a step has the weights of its forward pass.
        """
        self._fixed = self._weight.to(dtype, copy=True)
        if self._one_by_one:
            # Now: in a step, those of a function transform might be kept.
            self._each = dict(zip(self._in_graph, self._fixed.unbind(), strict=True))
        if len(self._in_graph) == len(self._names):
            self._shown: Mapping[str, Tensor] = Named(self._places, self._fixed)
        else:
            zero = self._fixed.new_zeros(())
            every = torch.stack([self._each.get(name, zero) for name in self._names])
            self._shown = Named({name: i for i, name in enumerate(self._names)}, every)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._derive(fn(torch.empty(0, device=self._weight.device)).device, torch.float32)
        return self

    def step(self) -> None:
        """Move the schedules by one step: call it after the optimizer's.

        A backward pass that comes later still has the weights of its forward pass. Progress is
        counted in plain numbers, so only one thread may call it.

        Raises:
            NonFiniteError: A term was nan or infinite in an earlier step, and its value was not
                read back then.
        """
        if self.progress is not None:
            self.progress.steps += 1
            self._move()
        self._tell_delayed()

    def step_epoch(self) -> None:
        """Move the schedules with `unit: epoch` by one epoch."""
        if self.progress is not None:
            self.progress.epochs += 1
            self._move()

    def _move(self) -> None:
        numbers = self.weights
        with torch.inference_mode(mode=False), torch.no_grad():
            # A new tensor, for a backward pass may still need the old one; made by fills, for
            # which nothing waits for the device.
            self._weight = self._weight.clone()
            for view, name in zip(self._weight.unbind(), self._in_graph, strict=True):
                if self._weights[name].schedules:
                    view.fill_(numbers[name])
            self._copy_weights(self._fixed.dtype)

    def denominators(
        self,
        micro_batches: Iterable[Any],
        group: distributed.ProcessGroup | None = None,
        *,
        world_size: int | None = None,
    ) -> Denominators:
        """What each term divides by, added up over micro-batches and ranks.

        Call it before the first forward pass of a step: it reads targets, masks, weights and
        lengths alone. With the result each micro-batch's `loss(values, denominators=...)` is its
        share of the one big batch's, and gradients are those of the big batch.

        Args:
            micro_batches: The values of each micro-batch of this rank, as `forward` takes them;
                what the model computes may be missing.
            group: The ranks that share the batch; the default group, if torch.distributed runs.
            world_size: What the totals are multiplied by, because DDP and FSDP average gradients
                over the ranks: the group's size, unless given. 1 where gradients are summed.

        Returns:
            A number a term, the same on each rank.

        Raises:
            InputError: A tensor is missing or does not fit, or a term cannot be counted.
            TypeError: One micro-batch was given instead of several.
            ValueError: This rank is not one of the group's.
        """
        if isinstance(micro_batches, Mapping):
            raise TypeError("give the micro-batches as a list, not one of them alone")
        device = self._weight.device
        dtype = torch.float32 if device.type == "mps" else torch.float64
        local = torch.zeros(len(self._names), dtype=dtype, device=device)
        for values in micro_batches:
            local = local + torch.stack(self.terms.local_denominators(values, local[0]))
        total, size = added_up(local, group, world_size)
        for number, divides in zip(total.unbind(), self.terms.divides, strict=True):
            if not divides:
                number.fill_(1.0)  # a list of them would have to be copied to the device
        return Denominators(self._names, total, size)

    def forward(
        self,
        values: Any = None,
        /,
        *,
        denominators: Denominators | None = None,
        **tensors: Any,
    ) -> LossOutput:
        """The objective's value for one step.

        Args:
            values: The step's values: a mapping, or an object with attributes.
            denominators: What the terms are divided by, from `loss.denominators`, where this is
                one of several micro-batches or ranks.
            tensors: The values as keywords.

        Returns:
            The total, and each term's raw value and weight.

        Raises:
            InputError: A tensor is missing, or does not fit its loss.
            NonFiniteError: On the CPU, a term is nan or infinite.
            TypeError: Both a mapping and keywords were given.
        """
        if values is None:
            values = tensors
        elif tensors:
            raise TypeError("give the step's values as one mapping or as keywords, not both")
        compiling = torch.compiler.is_compiling()
        if denominators is None and not compiling and self._terms.is_plain(compiling=False):
            total, terms = self._sum(self._names, self._terms.plainly(values))
            self._look(total, terms, values, compiling=False)
            return LossOutput(total, terms, self._shown)
        whole = None if denominators is None else denominators.by_name(self._names)
        raw = self._terms.present(values, whole)
        present = self._present(raw)
        if present:
            total, terms = self._sum(present, [raw[name] for name in present], compiling=compiling)
        else:
            total, terms = next(iter(raw.values())).new_zeros((), dtype=torch.float32), {}
        if denominators is not None and denominators.world_size != 1:
            total = total * denominators.world_size
        self._look(total, terms, values, compiling=compiling)
        weights: Mapping[str, Tensor] = self._shown
        if compiling:
            each = dict(
                zip(self._in_graph, self._weight.to(total, copy=True).unbind(), strict=True)
            )
            weights = {name: each.get(name, torch.zeros_like(total)) for name in self._names}
        if len(present) < len(self._names):
            # What is not in the graph has none to be detached from.
            absent = torch.zeros_like(total)
            terms = {name: terms.get(name, raw.get(name, absent)) for name in self._names}
            weights = {name: weights[name] if name in raw else absent for name in self._names}
        return LossOutput(total, terms, weights)

    def _look(
        self, total: Tensor, terms: Mapping[str, Tensor], values: Any, *, compiling: bool
    ) -> None:
        """See to it that what is not finite is told, and that schedules move."""
        if self._on_nonfinite != "ignore":
            # Where reading is free a nan is found at once, else by a flag that step() tells.
            if compiling or not total.is_cpu:
                self._flag(terms)
            elif not math.isfinite(total.item()):
                self._blame(total, terms, values)
        if self.progress is not None and not compiling:
            self._warn_if_idle()

    def _present(self, raw: Mapping[str, Tensor]) -> tuple[str, ...]:
        """The terms in the graph whose tensors were there."""
        if len(raw) == len(self._names):
            return self._in_graph
        return tuple(name for name in self._in_graph if name in raw)

    def _sum(
        self, names: tuple[str, ...], values: list[Tensor], *, compiling: bool = False
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The weighted sum of terms in the graph, and their values detached.

        Args:
            names: Which terms they are.
            values: Their raw values.
            compiling: Whether a graph is being made.
        """
        if len(values) <= _FEW_TERMS or len(names) < len(self._in_graph):
            return self._multiplied(names, values, compiling=compiling)
        stacked, weight = torch.stack(values), self._fixed
        if compiling or stacked.dtype != weight.dtype or stacked.device != weight.device:
            weight = self._weight_for(stacked, compiling=compiling)
            stacked = stacked.to(weight.dtype)
        # dot, not @: autocast would compute a matmul in half precision.
        total, detached = torch.dot(stacked, weight), stacked.detach()
        if compiling:
            return total, dict(zip(names, detached.unbind(), strict=True))
        return total, Named(self._places, detached)

    def _multiplied(
        self, names: tuple[str, ...], values: list[Tensor], *, compiling: bool
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """As `_sum`, where stacking the terms is not worth it, or the weights are of more terms."""
        each = self._one_a_term(values, compiling=compiling)
        total = values[0] * each[names[0]]
        for name, value in zip(names[1:], values[1:], strict=True):
            total = total + value * each[name]
        return total, {name: each.detach() for name, each in zip(names, values, strict=True)}

    def _one_a_term(self, values: Sequence[Tensor], *, compiling: bool) -> Mapping[str, Tensor]:
        """The weights by name, where the terms are."""
        first = values[0]
        if len(values) > 1:
            first = next((each for each in values if each.dtype == torch.float64), first)
        weight = self._weight_for(first, compiling=compiling)
        if compiling or not self._one_by_one:
            return dict(zip(self._in_graph, weight.unbind(), strict=True))
        return self._each

    def _weighted(self, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Raw values multiplied by their weights, without those of constant weight 0."""
        present = {name: raw[name] for name in self._in_graph if name in raw}
        if not present:
            return {}
        compiling = torch.compiler.is_compiling()
        each = self._one_a_term(list(present.values()), compiling=compiling)
        return {name: value * each[name] for name, value in present.items()}

    def _weight_for(self, values: Tensor, *, compiling: bool) -> Tensor:
        """The weights where the terms are: in float32, or in float64 for float64 terms."""
        wanted = torch.float64 if values.dtype == torch.float64 else torch.float32
        if compiling:
            # In float64, so that one graph serves terms of every dtype.
            return self._weight.to(values.device, wanted)
        if self._fixed.dtype != wanted or self._fixed.device != values.device:
            # Nobody moved the loss to the terms' device, or their dtype is another one now.
            self._derive(values.device, wanted)
        return self._fixed

    def _flag(self, terms: Mapping[str, Tensor]) -> None:
        """Remember on the device which terms are not finite."""
        if not terms:
            return
        wrong = ~torch.isfinite(torch.stack(list(terms.values()))).to(self._nonfinite.device)
        if len(terms) == len(self._in_graph):
            self._nonfinite.logical_or_(wrong)
            return
        for name, each in zip(terms, wrong.unbind(), strict=True):
            self._nonfinite[self._places[name]].logical_or_(each)

    def _blame(self, total: Tensor, terms: Mapping[str, Tensor], values: Any) -> None:
        """Name the terms that are not finite."""
        found = culprits(terms)
        if not found:
            message = f"the total is {total.item()}, though every term is finite"
            report(message, term="total", action=self._on_nonfinite)
            return
        told = [
            f"term '{name}' is {terms[name].item()}: {self.terms.described(name, values)}"
            for name in found
        ]
        report("\n".join(told), term=found[0], action=self._on_nonfinite)

    def _tell_delayed(self) -> None:
        if self._on_nonfinite == "ignore" or self._nonfinite.is_meta:
            return
        flags = self._delayed.read(self._nonfinite)
        wrong = [name for name, flag in zip(self._in_graph, flags, strict=False) if flag]
        if wrong:
            self._nonfinite.zero_()
            names = ", ".join(f"'{name}'" for name in wrong)
            message = f"nan or infinite in an earlier step: {names}"
            report(message, term=wrong[0], action=self._on_nonfinite)

    def _warn_if_idle(self) -> None:
        progress = self.progress
        if progress is None or progress.steps or not (self.training and progress.by_step):
            return
        self._idle_forwards += 1
        if self._idle_forwards == _PATIENCE:
            message = (
                f"{_PATIENCE} forwards without a loss.step(): the schedules stand still; call "
                "loss.step() after each optimizer.step()"
            )
            warnings.warn(message, ConfigWarning, stacklevel=6)

    def extra_repr(self) -> str:
        """The terms and their weights."""
        return ", ".join(f"{name}={weight}" for name, weight in self._weights.items())


def _refresh(composite: CompositeLoss, _: object) -> None:
    """The weights, after a state was loaded."""
    composite._derive(composite._weight.device, torch.float32)  # noqa: SLF001
