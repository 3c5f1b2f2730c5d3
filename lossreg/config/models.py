"""The frozen models that a config becomes. Imports no reader of configs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lossreg.config.declare.trainer import TrainerConfig
    from lossreg.plugin import LossConfig, LossDefinition, TaskDefinition
    from lossreg.registry.plugins import Origin
    from lossreg.vocabulary.paths import ValuePath
    from lossreg.vocabulary.routes import Route
    from lossreg.vocabulary.schedules import Schedule

__all__ = ["Active", "CompositeConfig", "Divisor", "ExperimentConfig", "TermConfig", "Weight"]

Checks: TypeAlias = Literal["off", "first", "always"]
"""When tensors are checked before the losses get them."""

OnNonFinite: TypeAlias = Literal["raise", "warn", "ignore"]
"""What happens when a term becomes nan or infinite."""


class Weight(NamedTuple):
    """The multiplier of a term's raw value: a number times schedules.

    Attributes:
        factor: The term's number times the numbers of its groups.
        schedules: The schedules of the term and its groups.
    """

    factor: float = 1.0
    schedules: tuple[Schedule, ...] = ()

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

    def value(self, steps: int, epochs: int) -> float:
        """The weight after a number of completed steps and epochs."""
        value = self.factor
        for schedule in self.schedules:
            value *= schedule.value(epochs if schedule.unit == "epoch" else steps)
        return value

    def times(self, other: Weight) -> Weight:
        """The product of two weights."""
        return Weight(_product(self.factor, other.factor), self.schedules + other.schedules)

    def __str__(self) -> str:
        parts = [str(schedule) for schedule in self.schedules]
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
    origin: Origin | None = None

    @property
    def reduction(self) -> str:
        """How entries become one number."""
        return getattr(self.params, "reduction", "mean")

    @property
    def schedules(self) -> Iterator[Schedule]:
        """The schedules in the transforms of its tensors."""
        divisor = None if self.divide_by is None else self.divide_by.route
        routes = (*self.inputs.values(), self.mask, self.sample_weight, divisor)
        return (number for route in routes if route is not None for number in route.schedules)

    @property
    def reduced_by_lossreg(self) -> bool:
        """Whether the loss is built without its own reduction, for lossreg to do it."""
        if self.mask is not None or self.sample_weight is not None or self.ignore is not None:
            return True
        # A loss without entries is built with its own sum.
        return self.divide_by is not None and "none" in self.definition.reductions


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
