"""One term of a composite: calls its loss with its tensors, and reduces the result."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lossreg.errors import ConfigError, InputError, described
from lossreg.runtime.arguments import check_others
from lossreg.runtime.checks import check_inputs, suspicions
from lossreg.runtime.construction import unreduced_twin
from lossreg.runtime.plan import Plan
from lossreg.runtime.reduction import (
    Misfit,
    denominator,
    divided,
    entry_shape,
    filled,
    numerator,
    reduced,
    share_state,
)
from lossreg.runtime.routing import MissingTensorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from lossreg.config.models import TermConfig
    from lossreg.runtime.notices import Notices
    from lossreg.runtime.routing import Router
    from lossreg.runtime.unsaved import ClassWeights

__all__ = ["Term"]

_SINGLE = 4  # bytes
_PAIR = 2  # arguments


class Term(Plan):
    """One term of a composite.

    Args:
        config: The term's config.
        router: Finds its tensors.
        class_weights: The class weights of its loss.
        notices: Checks its tensors, and warns.
        checks: When to check: `off`, `first` or `always`.

    Attributes:
        busy: Whether an eager step does more than call its loss.
        unseen: The targets whose gradients have not been looked at.
        unchecked: Whether its tensors still have to be checked.
        unjudged: Whether its result still has to be checked.
        uncopied: Whether to copy its tensors before the call, to see what the loss writes to. Done
            once, because it costs memory, and a loss that writes to its inputs always does so.
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
        super().__init__(config, router, class_weights)
        self.notices = notices
        self.always = checks == "always"
        self.unchecked = self.unjudged = self.uncopied = self.while_tracing = checks != "never"
        self.unseen = self.targets if self.in_graph else ()
        self.busy = self.handled or self.unchecked or bool(self.unseen)

    @property
    def divides(self) -> bool:
        """Whether it is divided by anything."""
        return self.reduction != "sum"

    def share_with_twin(self, module: nn.Module) -> None:
        """Share the module's tensors with the unreduced form again, after they were replaced."""
        if self.twin is not None:
            share_state(self.twin, module)

    def follow(self, module: nn.Module, tensors: Sequence[Any]) -> None:
        """Move class weights to the device of the tensors, if they are on another one."""
        tensor = None if self.first is None else tensors[self.first[1]]
        if tensor is not None and tensor.device != self.class_weights.device:
            self.class_weights.move(tensor.device)
            self.share_with_twin(module)

    def value(
        self,
        module: nn.Module,
        tensors: Sequence[Any],
        values: Any,
        whole: Tensor | None,
        *,
        compiling: bool,
    ) -> Tensor:
        """The term's raw value, a 0-d tensor attached to the graph.

        Args:
            module: Its loss.
            tensors: The router's tensors, which include the term's.
            values: The step's values, in which a denominator is looked up.
            whole: What its sum is divided by, instead of the batch's own.
            compiling: Whether a graph is traced.

        Raises:
            InputError: A tensor does not fit, or the loss refused its inputs.
        """
        if compiling:
            self.look_while_tracing(module, tensors)
        try:
            # A graph must not read what changes after the first batch: it would be recompiled.
            if whole is None and not (self.handled if compiling else self.busy):
                needs = self.needs
                if len(needs) == _PAIR:  # the common case, faster than unpacking
                    value = module(tensors[needs[0]], tensors[needs[1]])
                else:
                    value = module(*[tensors[place] for place in needs])
            else:
                value = self.quotient(
                    *self.judged(module, tensors, values, whole, compiling=compiling)
                )
        except Misfit as misfit:
            raise misfit.located(self.name, self.routes.get(misfit.argument, "")) from None
        except (InputError, ConfigError, torch.OutOfMemoryError):
            raise  # the last one is a RuntimeError, but not for the tensors' reason
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise self.refused(tensors, error) from error
        if not isinstance(value, Tensor) or value.dim():
            raise self.no_number(value)
        return value

    def quotient(self, total: Tensor, divisor: Tensor | None) -> Tensor:
        """The term's value, from its sum and its own divisor; as `judged` gives them.

        Raises:
            InputError: It divides by weights that add up to 0 or less.
        """
        if divisor is not None and self.divides_by_weights:
            divisor = self.positive(divisor)
        return divided(total, divisor)

    def judged(
        self,
        module: nn.Module,
        tensors: Sequence[Any],
        values: Any,
        whole: Tensor | None,
        *,
        compiling: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """A term's checked sum, and what it is divided by, or None; arguments as for `value`."""
        judged = not compiling and self.unjudged
        versions = self.versions(tensors) if judged else []
        copies = self.copies(tensors) if judged and self.uncopied else []
        looked_at = not compiling and self.is_looked_at
        value, divisor = self._handled(module, tensors, values, whole, looked_at=looked_at)
        if not isinstance(value, Tensor) or value.dim():
            raise self.no_number(value)
        if self.mask is not None and tensors[self.mask].is_floating_point():
            # A nan in a mask neither keeps nor drops, so the value becomes nan, which is reported.
            value = value + (tensors[self.mask].detach() * 0).sum().to(value)
        if judged:
            self.judge(tensors, versions, copies, value)
            self.uncopied = False
            if not self.always:
                # Checked again with gradients on: only then can a detached result be seen.
                self.unjudged = not (torch.is_grad_enabled() or not self.in_graph)
        if not compiling:
            if self.unseen and torch.is_grad_enabled():
                for name, place in self.unseen:
                    self.notices.trained(self, name, tensors[place])
                self.unseen = ()
            self.busy = self.handled or self.unchecked or self.unjudged or bool(self.unseen)
        return value, divisor

    def look(self, module: nn.Module, tensors: Sequence[Any]) -> None:
        """Check a batch as `value` does before it calls the loss, without calling it.

        Raises:
            InputError: A tensor does not fit.
        """
        try:
            with torch.no_grad():
                self._looked_at(module, tensors)
        except Misfit as misfit:
            raise misfit.located(self.name, self.routes.get(misfit.argument, "")) from None
        except (InputError, torch.OutOfMemoryError):
            raise  # the latter is a RuntimeError, but not for the tensors' reason
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise self.refused(tensors, error) from error

    @property
    def is_looked_at(self) -> bool:
        """Whether an eager step checks the tensors before it calls the loss."""
        return self.unchecked or self.definition.check is not None

    def _looked_at(
        self, module: nn.Module, tensors: Sequence[Any]
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """A term's arguments, filled where they are masked, and which entries count.

        Raises:
            InputError: A value would make torch read outside of its memory.
            Misfit: A tensor does not fit.
        """
        inputs = {name: tensors[place] for name, place in self.inputs}
        mask = None if self.mask is None else tensors[self.mask]
        unchecked = self.unchecked
        sizes = self.notices.look_at_inputs(self, module, inputs, mask) if unchecked else {}
        keep = self.kept(mask, inputs) if self.is_masked else None
        if keep is not None:
            # Masked entries may be anything, so values are checked only after they are filled.
            inputs = self._filled(inputs, keep)
        if unchecked:
            weight = None if self.sample_weight is None else tensors[self.sample_weight]
            weight = self.weights(weight, inputs)
            self.notices.look_at_values(self, module, inputs, sizes, keep, weight)
            if self.factors is not None:
                self.notices.look_at_factor(self, self.factors.product(tensors))
            if not self.always:
                self.unchecked = False
        self.refuse_unsafe(module, inputs)
        return inputs, keep

    def _filled(self, inputs: dict[str, Any], keep: Tensor) -> dict[str, Any]:
        """The arguments filled where they are masked; and the mask, if the loss takes it."""
        safe = filled(self.definition, inputs, keep)
        return safe if self.takes_mask is None else self.with_mask(safe, keep)

    def look_while_tracing(self, module: nn.Module, tensors: Sequence[Any]) -> None:
        """Check what a graph knows of tensors: shapes, dtypes and devices.

        Raises:
            Misfit: A tensor does not fit. Without `fullgraph` the step then runs without a graph,
                and raises the error of an eager step.
        """
        if not self.while_tracing:
            return
        inputs = {name: tensors[place] for name, place in self.inputs}
        try:
            check_inputs(self.definition, inputs, self.class_dim)
            check_others(self.others, inputs, self.device_of(inputs), values=False)
            suspicions(self.definition, module, inputs, values=False)
        except Misfit as misfit:
            if not torch.compiler.is_compiling():
                # torch 2.6 breaks the graph where a Misfit is made, and calls this without one.
                path = self.routes.get(misfit.argument, "")
                raise misfit.located(self.name, path) from None
            message = f"{self.place(misfit.argument)}: {misfit.message}"
            raise Misfit(misfit.argument, message) from None

    def _handled(
        self,
        module: nn.Module,
        tensors: Sequence[Any],
        values: Any,
        whole: Tensor | None,
        *,
        looked_at: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """A term's sum, and what it is divided by, or None.

        Its inputs are checked and filled, and its loss is reduced, if needed.
        """
        if looked_at:
            inputs, keep = self._looked_at(module, tensors)
        else:
            inputs = {name: tensors[place] for name, place in self.inputs}
            mask = None if self.mask is None else tensors[self.mask]
            keep = self.kept(mask, inputs) if self.is_masked else None
            inputs = inputs if keep is None else self._filled(inputs, keep)
        weight = None if self.sample_weight is None else tensors[self.sample_weight]
        weight = self.weights(weight, inputs)
        if self.cuts and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            for name, place in self.cuts:
                self.notices.cut(self, name, tensors[place])
        if whole is not None:
            total = self._numerator(module, inputs, keep, weight)
            return divided(total, whole.to(device=total.device, dtype=total.dtype)), None
        if self.divisor is not None and self.divisor.route is not None:
            total = self._numerator(module, inputs, keep, weight)
            return total, self.given_divisor(total, values, tensors.__getitem__)
        if not self.reduced_here:
            return self.called(module, inputs), None
        return reduced(
            self.definition,
            module,
            self.called(module, inputs),
            inputs,
            reduction=self.reduction,
            keep=keep,
            sample_weight=weight,
            divisor=self.divisor,
        )

    def _numerator(
        self,
        module: nn.Module,
        inputs: dict[str, Tensor],
        keep: Tensor | None,
        weight: Tensor | None,
    ) -> Tensor:
        """The sum of a term's entries; for a loss without entries, its value."""
        if not self.reduced_here:
            sums = self.divisor is not None or self.reduction == "sum"  # built with `sum`
            if sums or self.averages or not self.entries:
                value = self.called(module, inputs)
                if not isinstance(value, Tensor) or value.dim():
                    raise self.no_number(value)
                # In half precision a sum overflows, or loses the digits that the division needs.
                return value.float() if value.dtype.itemsize < _SINGLE else value
            module = self._unreduced_twin(module)
        total, shape = numerator(
            self.definition,
            module,
            self.called(module, inputs),
            inputs,
            reduction=self.reduction,
            keep=keep,
            sample_weight=weight,
            divisor=self.divisor,
        )
        self._check_counted(inputs, keep, weight, shape)
        return total

    def _check_counted(
        self,
        inputs: dict[str, Tensor],
        keep: Tensor | None,
        weight: Tensor | None,
        shape: torch.Size,
    ) -> None:
        """Refuse a loss of another shape than its mask or weights, where these were counted."""
        if self.reduction == "sum" or (self.divisor is not None and self.divisor.route is not None):
            return
        counted = {argument.name: inputs[argument.name] for argument in self.counted}
        if entry_shape(self.definition, counted, keep, weight) is not None:
            return
        if self.divisor is not None and self.divisor.counts_rows:
            return  # a mask has the leading dimensions, so it has the rows
        assumed = self.shape_of_weights(keep, weight)
        if assumed is not None and assumed != shape:
            raise Misfit(
                "sample_weight" if keep is None else "mask",
                f"expected the loss's shape {tuple(shape)}, because denominators count its "
                f"entries before the model runs, found {tuple(assumed)}; expand it, or write "
                "divide_by: {rows: path}, {entries: path} or {number: path}",
            )

    def local_denominator(
        self, module: nn.Module, router: Router, values: Any, like: Tensor
    ) -> Tensor:
        """What the mean divides by in one micro-batch; 0 for a sum, which divides by nothing.

        Args:
            module: The term's loss.
            router: Finds its tensors; only those that are needed are looked up.
            values: The step's values; results of the model may be missing.
            like: A tensor of the number's dtype and device.

        Raises:
            InputError: A tensor is missing or does not fit, or the term cannot be counted.
        """
        try:
            if self.divisor is not None and self.divisor.route is not None:
                return self.given_divisor(like, values, partial(self._read, router, values, None))
            if self.reduction == "sum":
                return torch.zeros_like(like)
            if self.averages or not self.entries:
                # Without entries to count, the micro-batches' means are averaged.
                return torch.ones_like(like)
            return self._counted(module, router, values, like)
        except MissingTensorError as error:
            if self.optional:
                return torch.zeros_like(like)
            raise InputError(
                f"{error} (denominators are read before the model runs; if it computes this, "
                "write divide_by: {rows: path}, {entries: path} or {number: path} of what the "
                "batch has)",
                term=error.term,
                argument=error.argument,
                path=error.path,
            ) from None
        except Misfit as misfit:
            raise misfit.located(self.name, self.routes.get(misfit.argument, "")) from None
        except (InputError, ConfigError, torch.OutOfMemoryError):
            raise  # the last one is a RuntimeError, but not for the tensors' reason
        except (RuntimeError, ValueError, LookupError, TypeError) as error:
            raise InputError(
                f"term '{self.name}': counting what '{self.definition.name}' divides by failed: "
                f"{described(error)}",
                term=self.name,
            ) from error

    def is_expected(self, router: Router, values: Any) -> bool:
        """Whether a micro-batch has the term, as far as it is known before the model runs."""
        if not self.optional:
            return True
        known = {argument.name for argument in self.counted} | {"mask", "sample_weight"}
        places = [place for argument, place in self.places if argument in known]
        return all(router.peek(values, place) is not None for place in places)

    def _counted(self, module: nn.Module, router: Router, values: Any, like: Tensor) -> Tensor:
        definition = self.definition
        if not self.reduced_here:
            self._unreduced_twin(module)  # built before the forward pass, which may be compiled
        # Class weights may be on an accelerator while the targets are still on the CPU.
        state = chain(module.parameters(), module.buffers())
        device = next((tensor.device for tensor in state), self.class_weights.device)
        names = {argument.name for argument in self.counted}
        if self.ignore is not None and definition.target is not None:
            names.add(definition.target)
        read = partial(self._read, router, values, device)
        inputs = {name: read(place) for name, place in self.inputs if name in names}
        mask = None if self.mask is None else read(self.mask)
        weight = None if self.sample_weight is None else read(self.sample_weight)
        weight = self.weights(weight, inputs)
        keep = self.kept(mask, inputs)
        if keep is not None:
            inputs = filled(definition, inputs, keep)
        shape = entry_shape(definition, inputs, keep, weight)
        if shape is None:
            shape = self.shape_of_weights(keep, weight)
        if shape is None or self.reduction not in ("mean", "batchmean"):
            raise InputError(
                f"term '{self.name}': what '{definition.name}' divides by cannot be read from "
                "its targets; write divide_by: {rows: path}, {entries: path} or {number: path}",
                term=self.name,
            )
        return denominator(
            definition,
            module,
            inputs,
            shape,
            dtype=like.dtype,
            reduction=self.reduction,
            keep=keep,
            sample_weight=weight,
            divisor=self.divisor,
        )

    @staticmethod
    def _read(router: Router, values: Any, device: torch.device | None, place: int) -> Tensor:
        tensor: Tensor | None = router.get(values, place)
        if tensor is None:
            raise MissingTensorError("an optional term is left out as a whole")
        return tensor if device is None else tensor.to(device)

    def _unreduced_twin(self, module: nn.Module) -> nn.Module:
        """The same loss unreduced; it shares parameters, buffers and hooks with `module`."""
        if self.twin is None:
            term, path = self.term, ("terms", self.name)
            with torch.random.fork_rng(
                devices=[]
            ):  # the twin's random initial values are replaced by the module's
                self.twin = unreduced_twin(self.definition, term.params, path, term.origin, module)
        if self.twin.training != module.training:
            self.twin.train(module.training)
        return self.twin
