"""The frozen models that a config becomes. Imports no reader of configs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from lossreg.vocabulary.paths import ValuePath
from lossreg.vocabulary.routes import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lossreg.config.declare.trainer import TrainerConfig
    from lossreg.plugin import LossConfig, LossDefinition, TaskDefinition
    from lossreg.registry.plugins import Origin
    from lossreg.vocabulary.schedules import Schedule

__all__ = [
    "Active",
    "CompositeConfig",
    "Divisor",
    "Each",
    "ElementWeights",
    "ExperimentConfig",
    "Learned",
    "TermConfig",
    "Weight",
]

Checks: TypeAlias = Literal["never", "first", "always"]
"""When tensors are checked before the losses get them."""

OnNonFinite: TypeAlias = Literal["raise", "warn", "ignore"]
"""What happens when a term becomes nan or infinite."""


class Learned(NamedTuple):
    """A weight that is a function of a parameter s, which is trained with the model.

    Attributes:
        form: `log_variance` for exp(-s)·L + s, or `kendall` for half of each.
        initial: The value of s at first.

    >>> str(Learned("log_variance")), str(Learned("kendall", 1.0))
    ('learned(log_variance)', 'learned(kendall, initial=1)')
    """

    form: str
    initial: float = 0.0

    @property
    def share(self) -> float:
        """How much of exp(-s)·L + s it adds to the total."""
        return 0.5 if self.form == "kendall" else 1.0

    def __str__(self) -> str:
        initial = f"{self.initial!r}".removesuffix(".0")
        return f"learned({self.form}{f', initial={initial}' if self.initial else ''})"


class Weight(NamedTuple):
    """The multiplier of a term's raw value: a number times schedules times tensors of the step.

    Attributes:
        factor: The term's number times the numbers of its groups; negative if it is maximised.
        schedules: The schedules of the term and its groups.
        routes: Where the tensors of the step are that multiply it, of the term and its groups.
        learned: How it is learned; it is then a product with nothing else.
    """

    factor: float = 1.0
    schedules: tuple[Schedule, ...] = ()
    routes: tuple[Route, ...] = ()
    learned: Learned | None = None

    @property
    def is_zero(self) -> bool:
        """Whether it is always 0, so that its term stays outside the graph."""
        return self.factor == 0

    @property
    def largest(self) -> float:
        """An upper bound of its absolute value."""
        value = abs(self.factor)
        for schedule in self.schedules:
            value *= max(map(abs, schedule.bounds()))
        return value

    @property
    def smallest(self) -> float:
        """The smallest absolute value other than 0 among its products; 0 if it is always 0."""
        value = abs(self.factor)
        for schedule in self.schedules:
            least = min((abs(number) for number in schedule.numbers() if number), default=0.0)
            value = _product(value, least)
        return value

    @property
    def least(self) -> float:
        """A lower bound of its number and schedules."""
        low = high = self.factor
        for schedule in self.schedules:
            ends = [end * bound for end in (low, high) for bound in schedule.bounds()]
            low, high = min(ends), max(ends)
        return low

    def value(self, steps: int, epochs: int) -> float:
        """Its number times its schedules after a number of completed steps and epochs."""
        value = self.factor
        for schedule in self.schedules:
            value *= schedule.value(epochs if schedule.unit == "epoch" else steps)
        return value

    def times(self, other: Weight) -> Weight:
        """The product of two weights."""
        return Weight(
            _product(self.factor, other.factor),
            self.schedules + other.schedules,
            self.routes + other.routes,
            self.learned or other.learned,
        )

    def with_routes(self, change: Callable[[Route], Route]) -> Weight:
        """The same weight with the routes of its tensors changed."""
        return self._replace(routes=tuple(map(change, self.routes))) if self.routes else self

    def __str__(self) -> str:
        parts = [str(schedule) for schedule in self.schedules]
        parts += [f"from({route})" for route in self.routes]
        if self.learned is not None:
            parts.append(str(self.learned))
        if self.factor != 1 or not parts:
            # With every digit, since a state_dict compares configs by this text.
            parts.insert(0, repr(self.factor).removesuffix(".0"))
        return " * ".join(parts)


def _product(first: float, second: float) -> float:
    """The product; the smallest float instead of 0 if neither factor is 0."""
    product = first * second
    return product if product or not (first and second) else math.ulp(0.0)


class Divisor(NamedTuple):
    """What a term's sum is divided by, where the config says so.

    Attributes:
        by: `weights`, `kept`, `entries`, `rows` or `kept_rows`; or `number`, with a route.
        route: For `rows` and `entries` another tensor that has them, for `number` the number.
        within_row: How the entries of a row become one number, `sum` or `mean`.
    """

    by: str
    route: Route | None = None
    within_row: str = "sum"

    @property
    def counts_rows(self) -> bool:
        """Whether it is a number of rows."""
        return self.by.endswith("rows")

    def in_words(self, route: str) -> str:
        """The divisor as it is written, with these words for its route."""
        words = self.by if self.route is None else f"{{{self.by}: {route}}}"
        return words if self.within_row == "sum" else f"{words}, {self.within_row} within a row"

    def __str__(self) -> str:
        return self.in_words(str(self.route))


class ElementWeights(NamedTuple):
    """How much each element of `each` counts, by its place in the innermost list.

    Attributes:
        listed: One number a place; empty where the other attributes say the weights.
        decay: Each weight over that of its neighbour which is nearer to the end of weight 1.
        towards: The end of weight 1, `first` or `last`.
        zero: Places of weight 0; negative ones count from the end.
        sum_to_one: Whether all weights are divided by their sum.
    """

    listed: tuple[float, ...] = ()
    decay: float = 1.0
    towards: str = "first"
    zero: tuple[int, ...] = ()
    sum_to_one: bool = False

    def of(self, size: int) -> list[float]:
        """The weights of one list's elements, before they are divided by their sum."""
        if self.listed:
            return list(self.listed)
        powers = range(size) if self.towards == "first" else range(size - 1, -1, -1)
        weights = [self.decay**power for power in powers]
        for place in self.zero:
            weights[place] = 0.0
        return weights


class Each(NamedTuple):
    """The lists that a group's terms are repeated over.

    Attributes:
        over: By name, where a list comes from; or the routes of its elements, one by one. The name
            is the first key of a path that starts at the element.
        combine: How the elements' values become one: `sum`, `mean` or `pooled`.
        nested: How many levels of lists there are.
        pick: By name, the start, end and step of the part of its innermost lists that is taken;
            None where all lists are taken whole.
        weights: How much each element counts; None for 1 each.
        origin: Where the paths of the group start that do not start at the element.
    """

    over: Mapping[str, Route | tuple[Route, ...]]
    combine: str
    nested: int = 1
    pick: Mapping[str, tuple[int | None, int | None, int]] | None = None
    weights: ElementWeights | None = None
    origin: ValuePath = ValuePath(())

    @property
    def routes(self) -> Iterator[Route]:
        """Where the lists and single elements come from."""
        for source in self.over.values():
            yield from ((source,) if isinstance(source, Route) else source)

    def starts(self, path: ValuePath) -> bool:
        """Whether a path starts at the element."""
        return path.steps[:1] != () and path.steps[0] in self.over

    def varies(self, route: Route) -> bool:
        """Whether a tensor differs from element to element."""
        return any(self.starts(path) for path in route.paths)


class Active(NamedTuple):
    """When a term is active: at t completed steps or epochs, from start to before stop.

    Attributes:
        start: The first time.
        stop: The first time at which it is not active any more; None for no end.
        every: Of the times from the first, only each so many.
        times_every: Whether the term's weight is multiplied by `every`.
        unit: What is counted, `step` or `epoch`.

    >>> str(Active(start=10, every=16, times_every=True))
    '{from_step: 10, every_steps: 16, times_every: true}'
    """

    start: int = 0
    stop: int | None = None
    every: int = 1
    times_every: bool = False
    unit: str = "step"

    @property
    def is_always(self) -> bool:
        """Whether it changes nothing."""
        return self.start == 0 and self.stop is None and self.every == 1

    @property
    def factor(self) -> int:
        """What the weight is multiplied by, in training."""
        return self.every if self.times_every else 1

    def holds(self, steps: int, epochs: int, *, training: bool) -> bool:
        """Whether the term is active after a number of completed steps and epochs.

        Args:
            steps: The completed steps.
            epochs: The completed epochs.
            training: Whether `every` counts.
        """
        t = epochs if self.unit == "epoch" else steps
        is_within = self.start <= t and (self.stop is None or t < self.stop)
        return is_within and not (training and (t - self.start) % self.every)

    def __str__(self) -> str:
        parts = [f"from_{self.unit}: {self.start}"] if self.start else []
        parts += [f"until_{self.unit}: {self.stop}"] if self.stop is not None else []
        parts += [f"every_{self.unit}s: {self.every}"] if self.every != 1 else []
        parts += ["times_every: true"] if self.factor != 1 else []
        return f"{{{', '.join(parts)}}}"


class TermConfig(NamedTuple):
    """One named, weighted, routed loss.

    Attributes:
        name: The term's name, in a group after the group's name and a `/`.
        type: The loss's name, as written.
        definition: The loss definition of that name.
        params: Its validated parameters.
        weight: The multiplier of the raw value.
        inputs: The route of the tensor of each forward argument, in order; it ends in the transform
            `detach` where no gradient goes through the argument, and has it after its path where
            the path is frozen.
        class_dim: Where the classes are in every input that has them.
        detach: The arguments that no gradient goes through, as declared; None if nothing says
            whether a target may have a gradient.
        mask: Which entries count, or None for all.
        sample_weight: How much entries count, or None for one each.
        ignore: Entries whose target has this value do not count; nan for nan.
        divide_by: What the sum is divided by; None for the mean's own.
        optional: Whether batches without its tensors are fine.
        active: Its times and those of its groups: it is active where all of them hold.
        enabled: Whether the term is built.
        each: The lists that it is repeated over, or None. Of its routes, those whose path starts
            with one of their names start at the element.
        origin: The source of the loss, for messages about its faults.
    """

    name: str
    type: str
    definition: LossDefinition
    params: LossConfig
    weight: Weight
    inputs: Mapping[str, Route]
    class_dim: int = 1
    detach: tuple[str, ...] | None = None
    mask: Route | None = None
    sample_weight: Route | None = None
    ignore: float | None = None
    divide_by: Divisor | None = None
    optional: bool = False
    active: tuple[Active, ...] = ()
    enabled: bool = True
    each: Each | None = None
    origin: Origin | None = None

    @property
    def reduction(self) -> str:
        """How entries become one number."""
        return getattr(self.params, "reduction", "mean")

    @property
    def schedules(self) -> Iterator[Schedule]:
        """The schedules in the transforms of its tensors."""
        divisor = None if self.divide_by is None else self.divide_by.route
        lists = () if self.each is None else self.each.routes
        routes = (
            *self.inputs.values(),
            self.mask,
            self.sample_weight,
            divisor,
            *self.weight.routes,
            *lists,
        )
        return (number for route in routes if route is not None for number in route.schedules)

    @property
    def reduced_by_lossreg(self) -> bool:
        """Whether the loss is built without its own reduction, for lossreg to do it."""
        if self.definition.mask is None and (
            self.mask is not None or self.sample_weight is not None or self.ignore is not None
        ):
            return True
        is_pooled = self.each is not None and self.each.combine == "pooled"
        # A loss without entries is built with its own sum.
        return (self.divide_by is not None or is_pooled) and "none" in self.definition.reductions


class CompositeConfig(NamedTuple):
    """A composite objective.

    Attributes:
        terms: Its terms, in the order of the file, the disabled ones included.
        checks: When tensors are checked before the losses get them.
        on_nonfinite: What happens when a term becomes nan or infinite.
        frozen: Paths that no gradient goes through; the terms' routes say so as well.
        derive: Derived names, each with its route; the terms' routes have them written out.
    """

    terms: tuple[TermConfig, ...]
    checks: Checks = "first"
    on_nonfinite: OnNonFinite = "raise"
    frozen: tuple[ValuePath, ...] = ()
    derive: tuple[tuple[str, Route], ...] = ()


class ExperimentConfig(NamedTuple):
    """A task, trained with an objective.

    Attributes:
        task: The task's name, as written.
        definition: The task definition of that name.
        origin: Where the task is from, for messages about its faults.
        seed: Seeds every random generator.
        trainer: Options for Lightning's Trainer.
        loss: The objective.
    """

    task: str
    definition: TaskDefinition
    origin: Origin
    seed: int
    trainer: TrainerConfig
    loss: CompositeConfig
