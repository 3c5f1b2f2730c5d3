"""A term's routes and options, fixed at build time, and its errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lossreg.errors import InputError, printable
from lossreg.plugin.calls import by_position_and_name, called
from lossreg.runtime.arguments import of_inputs, tensors_in
from lossreg.runtime.checks import CLASS_DIM, check_divisor, check_result, is_changed
from lossreg.runtime.dimensions import placed
from lossreg.runtime.factors import Factors
from lossreg.runtime.nonfinite import describe
from lossreg.runtime.reduction import Misfit, entry_shape, kept_entries, spread
from lossreg.runtime.routing import find, follows
from lossreg.vocabulary.routes import Transform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import nn

    from lossreg.config.models import TermConfig
    from lossreg.plugin import LossInput
    from lossreg.runtime.routing import Router
    from lossreg.runtime.unsaved import ClassWeights
    from lossreg.vocabulary.routes import Route

__all__ = ["DETACHING", "TARGETS", "Plan", "seen"]

DETACHING = ("detach", "detach_all")
"""The transforms that end a gradient's way."""

TARGETS = ("target", "targets")
"""The arguments that are mostly data, and have a gradient only if the config says so."""


def _is_detached(term: TermConfig, argument: str) -> bool:
    return any(transform.name in DETACHING for transform in term.inputs[argument].transforms)


def _others(term: TermConfig) -> tuple[LossInput, ...]:
    """The inputs of a term that are a list or a number."""
    inputs = (argument for argument in term.definition.inputs if argument.name in term.inputs)
    return tuple(argument for argument in inputs if argument.holds != "tensor")


def _takes_mask(term: TermConfig) -> str | None:
    """The input of a term's loss that takes its mask, if there is a mask and such an input."""
    is_masked = term.mask is not None or term.ignore is not None
    return term.definition.mask if is_masked else None


def seen(term: TermConfig, argument: str) -> Route:
    """The route of an argument, with its classes moved to where the loss expects them."""
    route = term.inputs[argument]
    if term.class_dim == CLASS_DIM:
        return route
    definition = term.definition
    # Only probabilities have classes, and the tensor's dtype says whether it holds them.
    entry = definition.input(argument)
    is_soft = entry.domain == "class index or probability" and entry.holds == "tensor"
    if not is_soft and argument not in definition.with_classes:
        return route
    moved = Transform("class_dim", (("dim", term.class_dim), ("floats_only", is_soft)))
    return route._replace(transforms=(*route.transforms, moved))


class Plan:
    """A term's routes and options, fixed at build time.

    Args:
        term: The term's config.
        router: Finds its tensors.
        class_weights: The class weights of its built loss.

    Attributes:
        definition: The loss, with the inputs that the term has.
        takes_mask: The input that takes the mask, if the loss does.
        by_position: The inputs that go by position.
        by_name: The inputs that go by keyword.
        inputs: Each argument of the loss, in order, and its place in the router's tensors.
        first: The first argument that is a tensor, and its place; None if there is none.
        others: The arguments that are a list or a number.
        places: Each tensor of the term by argument, with its mask and sample weight, and its place.
        needs: The places of the loss's arguments only.
        follows: Whether it has class weights, which follow the tensors to their device.
        handled: Whether every step does more than call the loss with its arguments.
        counted: The arguments that are known before the model runs.
        number: The place of what the sum is divided by, if that is a transformed tensor.
        factors: The step's numbers that multiply the term's weight; None if there are none.
        needed: All tensors without which an optional term is absent, as `places` has them.
        cuts: The mask and the sample weight, if no gradient goes through them.
        targets: The targets of which nothing says whether they may have a gradient.
        entries: Whether the loss has an unreduced form.
        twin: The unreduced form, built when it is first needed.
    """

    def __init__(self, term: TermConfig, router: Router, class_weights: ClassWeights) -> None:
        name, optional = term.name, term.optional
        self.class_weights = class_weights
        self._derived = router.derived
        self.follows = bool(class_weights)
        # Read here, since a graph cannot look at the config's fields.
        self.term = term
        self.name = name
        self.optional = optional
        self.definition = of_inputs(term.definition, term.inputs)
        self.takes_mask = _takes_mask(term)
        names = (*term.inputs, *filter(None, [self.takes_mask]))
        self.by_position, self.by_name = by_position_and_name(term.definition, names)
        self.class_dim = term.class_dim
        self.ignore = term.ignore
        self.divisor = term.divide_by
        self.reduction = term.reduction
        self.reduced_here = term.reduced_by_lossreg
        self.is_masked = self.reduced_here or self.takes_mask is not None
        self.entries = "none" in term.definition.reductions
        # Masks and sample weights make a term unreduced; the fast way is for tensors by position.
        is_plain = self.definition is term.definition and not (
            self.by_name or self.definition.check
        )
        self.handled = self.reduced_here or term.divide_by is not None or not is_plain
        # Its micro-batches' own means are averaged.
        self.averages = self.definition.denominator.averaged and not self.reduced_here
        self.in_graph = not term.weight.is_zero
        self.twin: nn.Module | None = None
        like = self._met(router)
        self.inputs = tuple(
            (entry.name, self._added(entry, router, like))
            for entry in term.definition.inputs
            if entry.name in term.inputs
        )
        of_tensors = {argument.name for argument in self.definition.inputs}
        self.first = next((entry for entry in self.inputs if entry[0] in of_tensors), None)
        self.others = _others(term)
        places = list(self.inputs)
        self.mask = self.sample_weight = self.mask_dims = self.weight_dims = None
        if term.mask is not None:
            self.mask = router.add(term.mask, name, "mask", optional, like=like)
            self.mask_dims = term.mask.dims
            places.append(("mask", self.mask))
        if term.sample_weight is not None:
            self.sample_weight = router.add(
                term.sample_weight, name, "sample_weight", optional, like=like
            )
            self.weight_dims = term.sample_weight.dims
            places.append(("sample_weight", self.sample_weight))
        self.counted = [argument for argument in self.definition.inputs if argument.counted]
        self.number: int | None = None
        route = None if term.divide_by is None else term.divide_by.route
        if route is not None and route.transforms:
            self.number = router.add(route, name, "divide_by", optional)
        self.factors = Factors(term, router) if term.weight.routes else None
        self.places = tuple(places)
        self.needed = self.places + (self.factors.places if self.factors else ())
        self.needs = [place for _, place in self.inputs]
        self.learns_sample_weight = term.sample_weight is not None and term.sample_weight.gradient
        self.cuts = tuple(
            (argument, place)
            for argument, place in self.places[len(self.inputs) :]
            if not (argument == "sample_weight" and self.learns_sample_weight)
        )
        self.targets = tuple(
            (argument, place)
            for argument, place in self.inputs
            if argument in TARGETS and term.detach is None and not _is_detached(term, argument)
        )

    def _added(self, argument: LossInput, router: Router, like: int | None) -> int:
        route, name = seen(self.term, argument.name), argument.name
        holds = argument.holds
        return router.add(route, self.name, name, self.optional, like=like, holds=holds)

    def device_of(self, inputs: Mapping[str, Any]) -> torch.device | None:
        """Where the first argument that is a tensor is; None if there is none."""
        return inputs[self.first[0]].device if self.first is not None else None

    def _met(self, router: Router) -> int | None:
        """The place of the tensor whose dtype others follow, as `one_hot` does.

        It is that of the first argument that holds floating-point numbers and follows none itself.
        """
        term, routes = self.term, self.term.inputs
        read = (*routes.values(), term.mask, term.sample_weight)
        if not any(route.transforms for route in read if route is not None):
            return None  # the common case: nothing follows a dtype
        # Arguments that may also hold integers come last; where they do, nothing follows them.
        for argument in sorted(self.definition.inputs, key=lambda entry: entry.dtype != "float"):
            name = argument.name
            if argument.holds != "tensor" or argument.dtype == "int" or name not in routes:
                continue
            if not follows(routes[name]):
                return router.add(routes[name], self.name, name, self.optional)
        return None

    def called(self, module: nn.Module, inputs: Mapping[str, Any]) -> Any:
        """The result of its loss for its inputs."""
        return called(module, inputs, self.by_position, self.by_name)

    def with_mask(self, inputs: Mapping[str, Any], keep: Tensor) -> dict[str, Any]:
        """The arguments with the one that takes the mask, in its shape and kind of dtype."""
        name = self.takes_mask
        assert name is not None  # noqa: S101 - the caller has looked
        shape = entry_shape(self.definition, inputs)
        mask = keep if shape is None else spread("mask", keep, shape).expand(shape)
        if self.term.definition.input(name).dtype == "float":
            first = mask if self.first is None else inputs[self.first[0]]
            floats = first.dtype if first.is_floating_point() else torch.get_default_dtype()
            mask = mask.to(floats)
        return {**inputs, name: mask}

    def absent(self, tensors: Sequence[Any]) -> tuple[str, int] | None:
        """The first argument without a tensor, and its place."""
        for argument, place in self.needed:
            if tensors[place] is None:
                return argument, place
        return None

    def factor(self, tensors: Sequence[Any]) -> Tensor:
        """The step's number that multiplies its weight, if there is one."""
        assert self.factors is not None  # noqa: S101 - the caller has looked
        return self.factors.product(tensors)

    def missing(self, router: Router, values: Any) -> tuple[str, int] | None:
        """As `absent`, by the paths only: nothing is transformed."""
        for argument, place in self.needed:
            if router.peek(values, place) is None:
                return argument, place
        return None

    def absence(self, router: Router, values: Any, argument: str, place: int) -> str:
        """Why the tensor at a place is missing."""
        return router.absence(values, place, term=self.name, argument=argument)

    def found(self, router: Router, values: Any, place: int) -> object:
        """One of its tensors, by its place."""
        return router.get(values, place)

    @property
    def divides_by_weights(self) -> bool:
        """Whether the term is divided by the sum of its sample weights."""
        return self.divisor is not None and self.divisor.by == "weights"

    def place(self, argument: str) -> str:
        """Where one of the term's tensors comes from, as the start of a message."""
        return f"term '{self.name}', '{argument}' (path '{self.routes.get(argument, '')}')"

    @property
    def routes(self) -> dict[str, str]:
        """Where each of the term's tensors comes from, for messages."""
        term = self.term
        extra = {"mask": term.mask, "sample_weight": term.sample_weight}
        divisor = None if term.divide_by is None else term.divide_by.route
        routes = {**term.inputs, **extra, "divide_by": divisor}
        shown = self._derived.shown
        named = {name: shown(route) for name, route in routes.items() if route is not None}
        if term.weight.routes:
            named["weight"] = " times ".join(map(shown, term.weight.routes))
        return named

    @property
    def loss(self) -> str:
        """The loss and where it is from, for messages."""
        name, origin = self.definition.name, self.term.origin
        return name if origin is None else f"{name} ({origin})"

    def kept(self, mask: Tensor | None, inputs: Mapping[str, Tensor]) -> Tensor | None:
        """Which entries count: the mask keeps them, and their target is not `ignore`."""
        if mask is not None:
            mask = placed(self.definition, "mask", mask, self.mask_dims, inputs)
        if self.ignore is None:
            return kept_entries(mask, None, None)
        name = self.definition.target or ""  # the config refuses `ignore` without a target
        target = inputs[name]
        argument = self.definition.input(name)
        if argument.letters_of(target, self.definition.inputs[0]) is not argument.letters:
            raise Misfit(
                name, "expected class indices, because 'ignore' is one; found probabilities"
            )
        return kept_entries(mask, target, self.ignore)

    def weights(self, weight: Tensor | None, inputs: Mapping[str, Tensor]) -> Tensor | None:
        """How much entries count, in the shape of the unreduced loss or its leading dimensions."""
        if weight is None:
            return None
        if not self.learns_sample_weight:
            # A model that could choose the weights would choose 0.
            weight = weight.detach()
        return placed(self.definition, "sample_weight", weight, self.weight_dims, inputs)

    def refuse_unsafe(self, module: nn.Module, inputs: Mapping[str, Tensor]) -> None:
        """Refuse values that would make torch's CPU kernels read outside of their memory."""
        unsafe = self.definition.check
        first = self.first
        if unsafe is None or (first is not None and inputs[first[0]].device.type != "cpu"):
            return
        problem = unsafe(module, inputs)
        if problem is not None:
            raise InputError(f"term '{self.name}': expected {problem}", term=self.name)

    def given_divisor(
        self, like: Tensor, values: Any, tensor_at: Callable[[int], Tensor | None]
    ) -> Tensor:
        """What the term's sum is divided by, where the config gives a path.

        Where reading it would wait for the device, or is not possible, an invalid one becomes nan.

        Args:
            like: A tensor of the wanted dtype.
            values: The step's values.
            tensor_at: Gives the router's tensor at a place.

        Raises:
            InputError: The path is missing.
            Misfit: It is not one number, or not a valid divisor.
        """
        divisor = self.divisor
        assert divisor is not None  # noqa: S101 - the caller has looked
        assert divisor.route is not None  # noqa: S101
        if self.number is not None:
            value: Any = tensor_at(self.number)
        else:
            value = find(values, divisor.route.path, term=self.name, argument="divide_by")
        if divisor.by == "number":
            return _divisor(value, like)
        if not isinstance(value, Tensor):
            message = f"expected a tensor whose {divisor.by} are counted, found a "
            raise Misfit("divide_by", f"{message}{type(value).__name__}")
        if divisor.by == "entries":
            return like.new_full((), value.numel())
        if not value.dim():
            raise Misfit("divide_by", "expected a tensor with rows, found one without dimensions")
        return like.new_full((), value.shape[0])

    def positive(self, total: Tensor) -> Tensor:
        """The sum of the weights that a mean divides by, which has to be above 0.

        Raises:
            InputError: It is not. Where reading it would wait for the device, or is not possible,
                the sum becomes nan.
        """
        if torch.compiler.is_compiling() or not total.is_cpu:
            return torch.where(total > 0, total, math.nan)
        if not float(total) > 0:
            raise InputError(
                f"term '{self.name}': divide_by: weights needs weights that add up to more than "
                f"0 over the entries that count, found {float(total):g}; write divide_by: kept, "
                "entries or rows if that can be",
                term=self.name,
            )
        return total

    @staticmethod
    def shape_of_weights(keep: Tensor | None, weight: Tensor | None) -> torch.Size | None:
        """The unreduced loss's shape, if the mask or the weight has all of its dimensions."""
        shapes = [tensor.shape for tensor in (keep, weight) if tensor is not None]
        return max(shapes, key=len, default=None)

    def no_number(self, value: object) -> InputError:
        """An error for a result that is not a tensor, or has dimensions."""
        result = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        return self._blamed(f"expected one number, found {result}")

    def versions(self, tensors: Sequence[Any]) -> list[int | None]:
        """How often each tensor was written to; None where torch does not count it."""
        return [
            None if tensor.is_inference() else tensor._version  # noqa: SLF001 - torch has no other name for it
            for _, tensor in self._tensors(tensors)
        ]

    def copies(self, tensors: Sequence[Any]) -> list[Tensor]:
        """A copy of each tensor: torch does not count writes through `.data` or numpy."""
        return [tensor.detach().clone() for _, tensor in self._tensors(tensors)]

    def _tensors(self, tensors: Sequence[Any]) -> list[tuple[str, Tensor]]:
        """Each tensor that the loss or its reduction gets, with its argument; numbers are none."""
        return [
            (name, tensor) for name, place in self.places for tensor in tensors_in(tensors[place])
        ]

    def judge(
        self,
        tensors: Sequence[Any],
        versions: list[int | None],
        copies: list[Tensor],
        value: Tensor,
    ) -> None:
        """Check the result of a loss, and that it did not change its inputs.

        Args:
            tensors: The router's tensors.
            versions: The result of `versions` before the call.
            copies: The result of `copies` before the call; empty to skip the comparison.
            value: What the loss returned.

        Raises:
            InputError: The result cannot be used for training, or an input was changed in place.
        """
        # A list: torch 2.6 cannot go on with a strict `zip` after a graph break.
        own = self._tensors(tensors)
        after = list(zip(own, versions, self.versions(tensors), strict=True))
        changed = [name for (name, _), old, new in after if old != new]
        if copies:
            changed += [
                name
                for (name, tensor), copy in zip(own, copies, strict=True)
                if is_changed(copy, tensor)
            ]
        if changed:
            raise self._blamed(
                f"expected inputs left as they are, found '{changed[0]}' from "
                f"'{self.routes[changed[0]]}' changed in place"
            )
        problem = check_result(
            self.term.definition,
            {name: tensors_in(tensors[place]) for name, place in self.inputs},
            value,
        )
        if problem:
            raise self._blamed(problem)

    def _blamed(self, problem: str) -> InputError:
        return InputError(f"term '{self.name}': {problem}; the loss is {self.loss}", term=self.name)

    def refused(self, tensors: Sequence[Any], error: Exception) -> InputError:
        """An error for inputs that the loss refused."""
        inputs = [(name, tensors[place]) for name, place in self.inputs]
        shown = "; ".join(
            f"'{name}' from '{self.routes[name]}' {_shown(value)}" for name, value in inputs
        )
        reason = str(error).strip().partition("\n")[0]
        first, weights = self.first, self.class_weights.dtype
        if first is not None and weights is not None and "scalar type" in reason:
            argument, dtype = first[0], tensors[first[1]].dtype
            if weights != dtype:
                return InputError(
                    f"{self.place(argument)}: expected {weights}, the dtype of the class weights, "
                    f"found {dtype}; write loss.to({dtype})",
                    term=self.name,
                    argument=argument,
                    path=self.routes[argument],
                )
        # torch refuses some losses under autocast; their definitions say what to use instead.
        hint = f". {self.definition.avoid_when}" if "autocast" in reason else ""
        return InputError(
            f"term '{self.name}': {self.loss} refused its inputs: {reason}; "
            f"they were {shown}{hint}",
            term=self.name,
        )

    def described(self, module: nn.Module, tensors: Sequence[Any], values: Any) -> str:
        """Describe its inputs and what the plugin says of them, where its value is not finite."""
        return self.describe_inputs(tensors, values) + self.explanation(module, tensors)

    def describe_inputs(self, tensors: Sequence[Any], values: Any) -> str:
        """Describe the term's inputs, for a message about a value that is not finite."""
        inputs: dict[str, Any] = {argument: tensors[place] for argument, place in self.inputs}
        if self.sample_weight is not None:
            inputs["sample_weight"] = tensors[self.sample_weight]
        divisor = self.divisor
        if divisor is not None and divisor.route is not None and self.number is None:
            path = divisor.route.path
            inputs["divide_by"] = find(values, path, term=self.name, argument="divide_by")
        elif self.number is not None:
            inputs["divide_by"] = tensors[self.number]
        shown = "; ".join(
            f"'{argument}' at '{self.routes[argument]}': "
            + (", ".join(map(describe, tensors_in(value))) or str(value))
            for argument, value in inputs.items()
            if value is not None
        )
        return f"{shown}; the loss is {self.loss}"

    def explanation(self, module: nn.Module, tensors: Sequence[Any]) -> str:
        """What the plugin says of a value that is not finite, to end a message with."""
        if self.definition.explain is None:
            return ""
        inputs = {argument: tensors[place] for argument, place in self.inputs}
        try:
            sentence = self.definition.explain(module, inputs)
        except Exception:  # noqa: BLE001 - the value is reported, whatever the explanation raises
            return ""
        return f". {printable(sentence)}" if sentence else ""


def _shown(value: Any) -> str:
    # A nested tensor may have no shape.
    texts = [
        f"{'nested' if tensor.is_nested else tuple(tensor.shape)} {tensor.dtype}"
        for tensor in tensors_in(value)
    ]
    return ", ".join(texts) or str(value)


def _divisor(value: Any, like: Tensor) -> Tensor:
    """A number of the step, as a divisor."""
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise Misfit("divide_by", f"expected one number, found {tuple(value.shape)}")
        if value.is_complex() or value.dtype == torch.bool:
            raise Misfit("divide_by", f"expected a number, found {value.dtype}")
        number = value.detach().reshape(()).to(like.dtype)
        readable = value.is_cpu
    else:
        # A tuple: torch 2.6 does not trace `isinstance` of a union.
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Misfit("divide_by", f"expected a number, found a {type(value).__name__}")
        number, readable = torch.tensor(value, dtype=like.dtype), True
    if torch.compiler.is_compiling() or not readable:
        return torch.where((number >= 0) & (number < math.inf), number, math.nan)
    check_divisor(value, number)
    return number
