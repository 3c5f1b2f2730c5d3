"""The terms of a composite: each loss called with its tensors, reduced to one number."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lossreg.checks import check_inputs, suspicions
from lossreg.construction import unreduced_twin
from lossreg.errors import ConfigError, InputError, described
from lossreg.notices import Notices
from lossreg.plan import Plan
from lossreg.reduction import (
    Misfit,
    denominator,
    divided,
    entry_shape,
    filled,
    numerator,
    reduced,
    share_state,
)
from lossreg.routing import MissingTensorError, Router
from lossreg.unsaved import UnsavedBuffers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from typing_extensions import Self

    from lossreg.config.schema import TermConfig
    from lossreg.denominators import Denominators
    from lossreg.unsaved import ClassWeights

__all__ = ["Terms"]

_SINGLE = 4  # bytes
_PAIR = 2  # inputs


class Terms(nn.Module):
    """The losses of a composite, each under its term's name.

    Calling it with a step's values gives each term's value, attached to the graph.

    Args:
        terms: Each term's config, with its built loss and that one's class weights.
        weigh: Multiplies raw values by their weights of now; leaves out constant weights of 0.
        checks: When to look at tensors before the losses do: `off`, `first` or `always`.
    """

    def __init__(
        self,
        terms: Iterable[tuple[TermConfig, tuple[nn.Module, ClassWeights]]],
        weigh: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
        *,
        checks: str,
    ) -> None:
        super().__init__()
        router, plans = Router(), []
        modules: dict[str, Any] = self._modules
        for term, (module, class_weights) in terms:
            # Not add_module: it refuses names that nn.Module has as an attribute, and a term may
            # well be called `forward`, `type` or `half`.
            modules[term.name] = module
            plans.append(Plan(term, router, class_weights))
        self._router, self._plans, self._weigh = router, plans, weigh
        self._class_weighted = [plan for plan in plans if plan.class_weights]
        self._unsaved = UnsavedBuffers(modules)
        self._has_lost = bool(self._unsaved)
        self._all_plain = all(plan.plain for plan in plans)
        self._always = checks == "always"
        self._while_tracing = checks != "off"
        self._unchecked = set() if checks == "off" else {plan.name for plan in plans}
        # The results of these. A set of its own, for without gradients there is less to see.
        self._unjudged = set(self._unchecked)
        # Those whose inputs are copied first. That is not for every batch of an evaluation, which
        # leaves them unjudged.
        self._uncopied = set(self._unchecked)
        self._notices = Notices(plans, router)

    @property
    def names(self) -> tuple[str, ...]:
        """The terms' names, in order."""
        return tuple(plan.name for plan in self._plans)

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
        for plan in self._class_weighted if recurse else ():
            plan.class_weights.apply(fn)
            self._share_with_twin(plan)
        return self

    def _share_with_twin(self, plan: Plan) -> None:
        module = self._modules[plan.name]
        if plan.twin is not None and module is not None:
            share_state(plan.twin, module)

    def _follow(self, found: Sequence[Tensor | None]) -> None:
        """Bring class weights to where the tensors are, were they built elsewhere."""
        for plan in self._class_weighted:
            tensor = found[plan.inputs[0][1]]
            if tensor is not None and tensor.device != plan.class_weights.device:
                plan.class_weights.move(tensor.device)
                self._share_with_twin(plan)

    @torch.no_grad()
    def local_denominators(self, values: Any, like: Tensor) -> list[Tensor]:
        """What each term's mean divides by in one micro-batch; reads no more than it needs.

        A sum, which is divided by nothing, counts 0.

        Args:
            values: The step's values; the model's own results may be missing.
            like: Has the numbers' dtype and device.

        Raises:
            InputError: A tensor is missing or does not fit, or a term cannot be counted.
        """
        if self._has_lost:
            self._refuse_lost()
        return [self._local_denominator(plan, values, like).to(like) for plan in self._plans]

    def _refuse_lost(self) -> None:
        modules: dict[str, Any] = self._modules
        self._unsaved.refuse(modules)
        self._has_lost = False

    @property
    def divides(self) -> tuple[bool, ...]:
        """For each term, whether it is divided by anything."""
        return tuple(
            plan.denominator is not None or plan.reduction != "sum" for plan in self._plans
        )

    def _local_denominator(self, plan: Plan, values: Any, like: Tensor) -> Tensor:
        try:
            if plan.denominator is not None:
                return plan.given_denominator(like, values)
            if plan.reduction == "sum":
                return torch.zeros_like(like)
            if not plan.entries:
                # Without entries to count, the micro-batches' means are averaged.
                return torch.ones_like(like)
            return self._counted(plan, values, like)
        except MissingTensorError as error:
            if plan.optional:
                return torch.zeros_like(like)
            raise InputError(
                f"{error} (denominators are read before the model runs; if it computes this, "
                "give the term a 'denominator', the path of a number)",
                term=error.term,
                argument=error.argument,
                path=error.path,
            ) from None
        except Misfit as misfit:
            raise misfit.located(plan.name, plan.routes.get(misfit.argument, "")) from None
        except (InputError, ConfigError, torch.OutOfMemoryError):
            raise  # the last one is a RuntimeError, but not for the tensors' reason
        except (RuntimeError, ValueError, LookupError, TypeError) as error:
            raise InputError(
                f"term '{plan.name}': counting what '{plan.definition.name}' divides by failed: "
                f"{described(error)}",
                term=plan.name,
            ) from error

    def _counted(self, plan: Plan, values: Any, like: Tensor) -> Tensor:
        definition, module = plan.definition, self._modules[plan.name]
        assert module is not None  # noqa: S101 - only __init__ fills _modules
        if not plan.unreduced:
            self._unreduced_twin(plan, module)  # before the forward pass, which may be compiled
        # Class weights may be on an accelerator, and targets not yet.
        own = next((each.device for each in chain(module.parameters(), module.buffers())), None)
        own = plan.class_weights.device if own is None else own
        names = {each.name for each in definition.inputs if each.counted}
        if plan.ignore is not None and definition.target is not None:
            names.add(definition.target)

        def read(place: int) -> Tensor:
            tensor = self._router.get(values, place)
            if tensor is None:
                raise MissingTensorError("an optional term is left out as a whole")
            return tensor if own is None else tensor.to(own)

        inputs = {name: read(place) for name, place in plan.inputs if name in names}
        mask = None if plan.mask is None else read(plan.mask)
        weight = None if plan.sample_weight is None else read(plan.sample_weight)
        keep = plan.kept(mask, inputs)
        if keep is not None:
            inputs = filled(definition, inputs, keep)
        shape = entry_shape(definition, inputs, keep, weight)
        if shape is None or plan.reduction not in ("mean", "batchmean"):
            raise InputError(
                f"term '{plan.name}': what '{definition.name}' divides by cannot be read from "
                "its targets; give the term a 'denominator', the path of a number",
                term=plan.name,
            )
        return denominator(
            definition,
            module,
            inputs,
            shape,
            dtype=like.dtype,
            reduction=plan.reduction,
            keep=keep,
            sample_weight=weight,
        )

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
            raw = self._weigh(raw)
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
        if whole is None and self.is_plain(compiling=compiling):
            return dict(zip(self.names, self.plainly(values), strict=True))
        if self._has_lost:
            self._refuse_lost()
        found = self._router.run(values)
        if not compiling:
            self._follow(found)
        raw = {}
        for plan in self._plans:
            if plan.optional:
                absent = plan.absent(found)
                # A graph must not look at the count, which would be compiled into it.
                if not compiling and self._notices.awaited and (self.training or not absent):
                    self._notices.count(plan, absent, values)
                if absent:
                    continue
            divisor = None if whole is None else whole[plan.name]
            if plan.in_graph or attached:
                raw[plan.name] = self._value(plan, found, values, divisor, compiling=compiling)
            else:
                with torch.no_grad():
                    raw[plan.name] = self._value(plan, found, values, divisor, compiling=compiling)
        if not raw:
            raise InputError("every term is optional, and no term found its tensors")
        return raw

    def look_ahead(self, values: Any) -> None:
        """Look at a batch, and warn of it, as an eager step does, before a graph runs.

        Raises:
            InputError: A tensor is missing or does not fit.
            StateError: A buffer lost its values.
        """
        self._notices.look_ahead(self._plans, values, training=self.training)
        if self._has_lost:
            self._refuse_lost()
        plans = [plan for plan in self._plans if self._is_looked_at(plan)]
        if not plans:
            return
        found = self._router.run(values)
        self._follow(found)
        for plan in plans:
            if plan.optional and plan.absent(found):
                continue
            module = self._modules[plan.name]
            assert module is not None  # noqa: S101 - only __init__ fills _modules
            try:
                with torch.no_grad():
                    self._looked_at(plan, module, found)
            except Misfit as misfit:
                raise misfit.located(plan.name, plan.routes.get(misfit.argument, "")) from None
            except (InputError, torch.OutOfMemoryError):
                raise  # the latter is a RuntimeError, but not for the tensors' reason
            except (RuntimeError, ValueError, IndexError, TypeError) as error:
                raise plan.refused(found, error) from error

    def _is_looked_at(self, plan: Plan) -> bool:
        return plan.name in self._unchecked or plan.definition.check is not None

    def _looked_at(
        self, plan: Plan, module: nn.Module, found: list[Any]
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """A term's arguments, filled where they are masked, and which entries count.

        Raises:
            InputError: torch would take a value as an address.
            Misfit: A tensor does not fit.
        """
        inputs = {name: found[place] for name, place in plan.inputs}
        mask = None if plan.mask is None else found[plan.mask]
        unchecked = plan.name in self._unchecked
        sizes = self._notices.look_at_inputs(plan, module, inputs, mask) if unchecked else {}
        keep = plan.kept(mask, inputs) if plan.unreduced else None
        if keep is not None:
            # What is masked may be anything, so no value is looked at before it is filled.
            inputs = filled(plan.definition, inputs, keep)
        if unchecked:
            weight = None if plan.sample_weight is None else found[plan.sample_weight]
            self._notices.look_at_values(plan, module, inputs, sizes, keep, weight)
            if not self._always:
                self._unchecked.discard(plan.name)
        plan.refuse_unsafe(module, inputs)
        return inputs, keep

    def _look_while_tracing(self, plan: Plan, found: Sequence[Any]) -> None:
        """Look at what a graph knows of tensors: shapes, dtypes and devices.

        Raises:
            Misfit: A tensor does not fit. Without `fullgraph` the step then runs without a graph,
                and raises what an eager step raises.
        """
        module = self._modules[plan.name]
        assert module is not None  # noqa: S101 - only __init__ fills _modules
        inputs = {name: found[place] for name, place in plan.inputs}
        try:
            check_inputs(plan.definition, inputs)
            suspicions(plan.definition, module, inputs, values=False)
        except Misfit as misfit:
            message = f"{plan.place(misfit.argument)}: {misfit.message}"
            raise Misfit(misfit.argument, message) from None

    def is_plain(self, *, compiling: bool) -> bool:
        """Whether no term is more than a loss of its inputs, and none is to be looked at."""
        if not self._all_plain or self._has_lost:
            return False
        return compiling or not (self._unchecked or (self._unjudged and torch.is_grad_enabled()))

    def plainly(self, values: Any) -> list[Tensor]:
        """Each term's raw value, in order, where all are plain; otherwise as calling it."""
        found = self._router.run(values)
        if self._class_weighted and not torch.compiler.is_compiling():
            self._follow(found)
        if self._while_tracing and torch.compiler.is_compiling():
            for plan in self._plans:
                self._look_while_tracing(plan, found)
        modules: dict[str, Any] = self._modules
        raw: list[Tensor] = []
        plan = self._plans[0]
        try:
            for plan in self._plans:
                needs = plan.needs
                if len(needs) == _PAIR:  # as nearly always, and a third faster than unpacking
                    value = modules[plan.name](found[needs[0]], found[needs[1]])
                else:
                    value = modules[plan.name](*[found[place] for place in needs])
                if not isinstance(value, Tensor) or value.dim():
                    break
                raw.append(value)
            else:
                return raw
        except torch.OutOfMemoryError:
            raise  # a RuntimeError, but not for the tensors' reason
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise plan.refused(found, error) from error
        raise plan.no_number(value)

    def _value(
        self,
        plan: Plan,
        found: list[Any],
        values: Any,
        whole: Tensor | None,
        *,
        compiling: bool,
    ) -> Tensor:
        module = self._modules[plan.name]
        assert module is not None  # noqa: S101 - only __init__ fills _modules
        if compiling and self._while_tracing:
            self._look_while_tracing(plan, found)
        judged = not compiling and plan.name in self._unjudged
        versions = plan.versions(found) if judged else []
        copies = plan.copies(found) if judged and plan.name in self._uncopied else []
        try:
            looked_at = not compiling and self._is_looked_at(plan)
            if looked_at or plan.unreduced or plan.denominator is not None or whole is not None:
                value = self._handled(plan, module, found, values, whole, looked_at=looked_at)
            else:
                value = module(*[found[place] for _, place in plan.inputs])
        except Misfit as misfit:
            raise misfit.located(plan.name, plan.routes.get(misfit.argument, "")) from None
        except (InputError, ConfigError, torch.OutOfMemoryError):
            raise  # the last one is a RuntimeError, but not for the tensors' reason
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise plan.refused(found, error) from error
        if not isinstance(value, Tensor) or value.dim():
            raise plan.no_number(value)
        if plan.mask is not None and found[plan.mask].is_floating_point():
            # A nan in a mask neither keeps nor drops: it makes a nan, which is reported.
            value = value + (found[plan.mask].detach() * 0).sum().to(value)
        if judged:
            plan.judge(found, versions, copies, value)
            if not self._always:
                self._uncopied.discard(plan.name)
            if not self._always and (torch.is_grad_enabled() or not plan.in_graph):
                self._unjudged.discard(plan.name)
        return value

    def _handled(
        self,
        plan: Plan,
        module: nn.Module,
        found: list[Any],
        values: Any,
        whole: Tensor | None,
        *,
        looked_at: bool,
    ) -> Tensor:
        """A term's value, with its inputs looked at, filled and reduced here where that is due."""
        if looked_at:
            inputs, keep = self._looked_at(plan, module, found)
        else:
            inputs = {name: found[place] for name, place in plan.inputs}
            mask = None if plan.mask is None else found[plan.mask]
            keep = plan.kept(mask, inputs) if plan.unreduced else None
            inputs = inputs if keep is None else filled(plan.definition, inputs, keep)
        weight = None if plan.sample_weight is None else found[plan.sample_weight]
        if plan.cuts and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            for name, place in plan.cuts:
                self._notices.cut(plan, name, found[place])
        if whole is not None:
            total = self._numerator(plan, module, inputs, keep, weight)
            return divided(total, whole.to(device=total.device, dtype=total.dtype))
        if plan.denominator is not None:
            total = self._numerator(plan, module, inputs, keep, weight)
            return divided(total, plan.given_denominator(total, values))
        if not plan.unreduced:
            value: Tensor = module(*inputs.values())
            return value
        return divided(
            *reduced(
                plan.definition,
                module,
                inputs,
                reduction=plan.reduction,
                keep=keep,
                sample_weight=weight,
            )
        )

    def _numerator(
        self,
        plan: Plan,
        module: nn.Module,
        inputs: dict[str, Tensor],
        keep: Tensor | None,
        weight: Tensor | None,
    ) -> Tensor:
        """The sum of a term's entries; for a loss without entries, its value."""
        if not plan.unreduced:
            sums = plan.denominator is not None or plan.reduction == "sum"  # it is built to
            if sums or not plan.entries:
                value = module(*inputs.values())
                if not isinstance(value, Tensor) or value.dim():
                    raise plan.no_number(value)
                # Half precision has no room for a denominator.
                return value.float() if value.dtype.itemsize < _SINGLE else value
            module = self._unreduced_twin(plan, module)
        total, _ = numerator(
            plan.definition,
            module,
            inputs,
            reduction=plan.reduction,
            keep=keep,
            sample_weight=weight,
        )
        return total

    def _unreduced_twin(self, plan: Plan, module: nn.Module) -> nn.Module:
        """The same loss without its reduction: all that can change is shared with it."""
        if plan.twin is None:
            term, path = plan.term, ("terms", plan.name)
            with torch.random.fork_rng(devices=[]):  # what it draws is not kept
                plan.twin = unreduced_twin(plan.definition, term.params, path, term.origin, module)
        if plan.twin.training != module.training:
            plan.twin.train(module.training)
        return plan.twin

    def described(self, name: str, values: Any) -> str:
        """What a term was given, for a message about a value that is not finite."""
        found = self._router.run(values)
        (plan,) = (each for each in self._plans if each.name == name)
        return plan.given(found, values)
