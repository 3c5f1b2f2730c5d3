"""What can be known of a term before its first batch, and what is said of it when one is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from lossreg.checks import check_result
from lossreg.errors import InputError
from lossreg.nonfinite import describe
from lossreg.routing import find

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from lossreg.config.schema import TermConfig
    from lossreg.plugin import LossDefinition
    from lossreg.routing import Router
    from lossreg.unsaved import ClassWeights

__all__ = ["Plan"]


class Plan:
    """What can be known of a term before its first batch.

    Args:
        term: The term's config.
        router: What finds its tensors.
        class_weights: Those of its built loss.

    Attributes:
        inputs: Each argument of the loss, in order, and its place in what the router finds.
        needs: The places of all its tensors.
        entries: Whether the loss has an unreduced form.
        twin: That form, once it is needed.
    """

    __slots__ = (
        "class_weights",
        "definition",
        "denominator",
        "entries",
        "ignore",
        "in_graph",
        "inputs",
        "mask",
        "name",
        "needs",
        "optional",
        "reduction",
        "sample_weight",
        "term",
        "twin",
        "unreduced",
    )

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
        self.unreduced = term.unreduced
        self.entries = "none" in term.definition.reductions
        self.in_graph = term.weight.in_graph
        self.twin: nn.Module | None = None
        inputs, needs = [], []
        for each, route in term.inputs.items():
            place = router.add(route, name, each, optional)
            inputs.append((each, place))
            needs.append(place)
        self.inputs, self.needs = tuple(inputs), needs
        self.mask = self.sample_weight = None
        if term.mask is not None:
            self.mask = router.add(term.mask, name, "mask", optional)
            self.needs.append(self.mask)
        if term.sample_weight is not None:
            self.sample_weight = router.add(term.sample_weight, name, "sample_weight", optional)
            self.needs.append(self.sample_weight)

    @property
    def plain(self) -> bool:
        """Whether the term is no more than its loss of its inputs."""
        special = self.optional or not self.in_graph or self.definition.check is not None
        # Without any of the entries' keys, that is: they make a term unreduced.
        return not special and not self.unreduced and self.denominator is None

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

    def no_number(self, value: object) -> InputError:
        """An error for a result that is not a tensor, or has dimensions."""
        found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        return self._blamed(f"expected one number, found {found}")

    def versions(self, found: Sequence[Any]) -> list[int | None]:
        """How often each input was written to; None where torch does not count it."""
        return [
            None if tensor.is_inference() else tensor._version  # noqa: SLF001 - torch has no other name for it
            for tensor in (found[place] for _, place in self.inputs)
        ]

    def judge(self, found: Sequence[Any], versions: list[int | None], value: Tensor) -> None:
        """Look at what a loss did with its inputs.

        Args:
            found: What the router found.
            versions: What `versions` said of it before.
            value: What the loss returned.

        Raises:
            InputError: The result cannot be trained with, or an input was written to.
        """
        after = zip(self.inputs, versions, self.versions(found), strict=True)
        changed = [name for (name, _), old, new in after if old != new]
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
