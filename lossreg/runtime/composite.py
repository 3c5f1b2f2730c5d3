"""`CompositeLoss`: weighted, routed terms summed to one number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn
from typing_extensions import Self

from lossreg.config import CompositeConfig
from lossreg.runtime.activity import Activity
from lossreg.runtime.denominators import WHOLE, Denominators, Moment, added_up
from lossreg.runtime.derived import DerivedNames
from lossreg.runtime.identity import Identity, compare, describe
from lossreg.runtime.nonfinite import NonFinite
from lossreg.runtime.numbers import Numbers
from lossreg.runtime.output import LossOutput, Named
from lossreg.runtime.ranks import OwnParameters
from lossreg.runtime.terms import Terms
from lossreg.runtime.unsaved import ClassWeights
from lossreg.runtime.weighting import Weighting

__all__ = ["CompositeLoss"]


class CompositeLoss(nn.Module):
    """A weighted sum of losses; each loss reads its tensors from a step's values by paths.

    Made by `lossreg.build`. Called with the step's tensors as keywords or as one mapping (or
    object with attributes), it returns a `LossOutput`; `loss.terms(values)` gives the raw terms
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
        self._names = tuple(term.name for term in terms)
        weighting = Weighting(
            {term.name: term.weight for term in terms},
            optional=any(term.optional for term in terms),
            numbers=Numbers(schedule for term in terms for schedule in term.schedules),
            activity=Activity({term.name: term.active for term in terms}),
        )
        self.terms = Terms(
            zip(terms, built, strict=True),
            weighting,
            checks=config.checks,
            derived=DerivedNames(config.derive),
        )
        self.progress = weighting.progress
        self.weighting = weighting
        # Bypass `nn.Module.__getattr__`, which costs as much as a small loss.
        self._terms: Terms
        self._weighting: Weighting
        self.__dict__.update(_terms=self.terms, _weighting=weighting)
        self._parts = tuple(
            f"{term.name}/{part}" for term in terms for part in term.definition.parts
        )
        self._all_in_graph = weighting.in_graph == self._names
        self._keys = (*self._names, *weighting.regularizers)
        self._own_parameters = OwnParameters(
            {term.name: module for term, (module, _) in zip(terms, built, strict=True)}
        )
        self._nonfinite = NonFinite(weighting.watched, config.on_nonfinite)
        self.identity = Identity(config)
        self._narrow()
        self.register_state_dict_post_hook(describe)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(compare)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_refresh)  # type: ignore[no-untyped-call]

    @property
    def config(self) -> CompositeConfig:
        """What was built."""
        return self.identity.config

    @property
    def fingerprint(self) -> str:
        """The same for two composites that compute the same total from the same tensors.

        A hash of what differs from the defaults, with the number of the algorithm in front. It does
        not depend on any order, on `checks` and `on_nonfinite`, nor on disabled terms.
        """
        return self.identity.fingerprint

    def accept_state(self) -> None:
        """Say that the next state may have been made under another objective.

        Without it, loading such a state is a `StateError` where the progress of schedules would go
        to another objective, and a `ConfigWarning` otherwise.
        """
        self.identity.accepts = True

    @property
    def weights(self) -> dict[str, float]:
        """Each term's current weight, by name; 0 for a term that is not active.

        It is below 0 for a term that is maximised. A weight `{from: path}` is nan, because it is
        known only in a step: `out.weights` has it. A learned one is read from its parameter, which
        waits for the device.
        """
        active = self._terms.active
        now = self._weighting.now()
        return {name: weight if name in active else 0.0 for name, weight in now.items()}

    def _narrow(self) -> None:
        """Compute only what is active after the completed steps and epochs."""
        if self._weighting.activity:
            self._terms.narrow(self._weighting.active())

    def train(self, mode: bool = True) -> Self:
        """Set training mode, in which `every_steps` and `every_epochs` count."""
        super().train(mode)
        self._narrow()
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._nonfinite.apply(fn)
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile as torch does; what a graph cannot warn of is checked before each run."""
        super().compile(*args, **kwargs)
        graph: Any = self._compiled_call_impl

        def call(*values: Any, **tensors: Any) -> Any:
            if not torch.compiler.is_compiling():
                self._terms.look_ahead(values[0] if values else tensors)
                self._look_at_ranks()
                if isinstance(tensors.get("denominators"), Denominators):
                    self._terms.divisors(tensors["denominators"])
            return graph(*values, **tensors)

        self._compiled_call_impl = call

    def step(self) -> None:
        """Move schedules and active terms by one step: call it after `optimizer.step()`.

        A backward pass that comes later still uses the weights of its forward pass. Progress is
        counted in plain numbers, so only one thread may call it.

        Raises:
            NonFiniteError: A term was nan or infinite in an earlier step, and its value was not
                read back then.
        """
        self._weighting.step()
        self._narrow()
        self._nonfinite.report_earlier()

    def step_epoch(self) -> None:
        """Move what counts epochs by one epoch."""
        self._weighting.step_epoch()
        self._narrow()

    def progress_to(self, *, steps: int | None = None, epochs: int | None = None) -> None:
        """Move schedules and active terms to where they are after these steps and epochs.

        For a model that was trained before its objective was lossreg's: its checkpoint has no
        progress. An objective that counts nothing stays as it is, as with `step`.

        Args:
            steps: The completed optimizer steps; as they are by default.
            epochs: The completed epochs; as they are by default.

        Raises:
            ValueError: A number is not a whole number from 0.
        """
        if self.progress is not None:
            self.progress.move_to(steps, epochs)
            _refresh(self, None)

    def denominators(
        self,
        micro_batches: Iterable[Any],
        group: distributed.ProcessGroup | None = None,
        *,
        world_size: int | None = None,
    ) -> Denominators:
        """What each term divides by, added up over micro-batches and ranks.

        Call it before the first forward pass of a step: it reads only targets, masks, weights and
        lengths. With the result, each micro-batch's `loss(values, denominators=...)` is its share
        of one big batch's loss, and the gradients add up to those of the big batch.

        Args:
            micro_batches: The values of each micro-batch of this rank, as `forward` takes them;
                results of the model may be missing.
            group: The ranks that share the batch; the default group, if torch.distributed runs.
            world_size: What the totals are multiplied by, because DDP and FSDP average gradients
                over the ranks; by default the group's size. 1 where gradients are summed.

        Returns:
            One number per term, the same on each rank.

        Raises:
            InputError: A tensor is missing or does not fit, or a term cannot be counted.
            TypeError: One micro-batch was given instead of several.
            ValueError: This rank is not in the group.
        """
        if isinstance(micro_batches, Mapping):
            raise TypeError("give the micro-batches as a list, not a single micro-batch")
        local, count = self._weighting.zeros(), 0
        parts = None if self._weighting.learned is None else self._weighting.zeros()
        for values in micro_batches:
            count += 1
            local = local + torch.stack(self.terms.local_denominators(values, local[0]))
            if parts is not None:
                parts = parts + self.terms.counted_in(values, parts[0])
        if parts is None:
            total, size = added_up(local, group, world_size)
        else:
            both, size = added_up(torch.stack([local, parts]), group, world_size)
            total, parts = both.unbind()
        self.terms.check_total(total, is_split=count > 1 or size > 1)
        for number, divides in zip(total.unbind(), self.terms.divides, strict=True):
            if not divides:
                number.fill_(1.0)  # a list of ones would have to be copied to the device
        progress = self.progress
        moment = None if progress is None else Moment(progress.steps)
        return Denominators(self._names, total, size, count, parts, self._terms.active, moment)

    def forward(
        self,
        values: Any = None,
        /,
        *more: Any,
        denominators: Denominators | None = None,
        **tensors: Any,
    ) -> LossOutput:
        """The objective's value for one step.

        Args:
            values: The step's values: a mapping, or an object with attributes.
            more: Nothing: tensors have names.
            denominators: What the terms are divided by, from `loss.denominators`, if this is one
                of several micro-batches or ranks.
            tensors: The values as keywords.

        Returns:
            The total, and each term's raw value and weight.

        Raises:
            InputError: A tensor is missing, or does not fit its loss.
            NonFiniteError: On the CPU, a term is nan or infinite.
            TypeError: Both a mapping and keywords were given, or tensors without names.
        """
        if more or isinstance(values, torch.Tensor):
            raise TypeError(_without_names(by_trainer="num_items_in_batch" in tensors))
        if values is None:
            values = tensors
        elif tensors:
            raise TypeError("give the step's values as one mapping or as keywords, not both")
        whole, share = None, WHOLE
        if denominators is not None:
            whole, share = self._terms.divisors(denominators), denominators.share
        parts: dict[str, Tensor] | None = {} if self._parts else None
        raw, factors = self._terms.present(values, whole, parts=parts)
        if not torch.compiler.is_compiling():
            self._look_at_ranks()
        output = self._weighting.combine(raw, share, factors)
        total, terms, weights = output.total, output.terms, output.weights
        looked_at = self._weighting.look_at(terms, weights)
        self._nonfinite.look(total, looked_at, self._described, values)
        if parts is None and len(raw) == len(self._names) and self._all_in_graph:
            return output
        absent = torch.zeros_like(total)
        weights = {name: weights[name] if name in terms else absent for name in self._keys}
        terms = {name: terms.get(name, raw.get(name, absent)) for name in self._keys}
        if parts is not None:
            terms.update({name: parts.get(name, absent) for name in self._parts})
        if torch.compiler.is_compiling():
            return LossOutput(total, terms, weights)
        return LossOutput(total, Named(terms), Named(weights))

    def _look_at_ranks(self) -> None:
        if self._own_parameters and self.training:
            self._own_parameters.look()

    def _described(self, name: str, values: Any) -> str:
        """Describe what a value that is not finite was made from; names are `NonFinite`'s."""
        if name in self._names:
            return self._terms.described(name, values)
        return self._weighting.described(name)


def _without_names(*, by_trainer: bool) -> str:
    """What to write where an objective was called with tensors by position.

    Args:
        by_trainer: Whether Hugging Face's Trainer called it, as its `compute_loss_func`.
    """
    if by_trainer:
        return (
            "Trainer calls its compute_loss_func otherwise than an objective is called: use "
            "lossreg.integrations.transformers.ObjectiveTrainer(objective=...); or "
            "compute_loss_func=loss_function(objective), from there, with the callback "
            "ObjectiveCallback(objective)"
        )
    return (
        "give the step's tensors by name, as the paths of the config have them: "
        "loss(logits=..., labels=...), or loss({'logits': ..., 'labels': ...})"
    )


def _refresh(composite: CompositeLoss, _: object) -> None:
    composite.weighting.refresh()
    composite._narrow()  # noqa: SLF001 - a hook of the composite itself
