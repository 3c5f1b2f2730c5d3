"""Schedules: numbers as pure functions of the number of completed steps (or epochs).

A schedule stands for a weight, or for a number of a transform; below, both are called a weight.
`value(t)` is the weight after t completed `loss.step()` calls (`loss.step_epoch()` with
`unit: epoch`).

One closed table of models: a schedule's arguments, with their bounds and descriptions, are its
fields, and a rule over several arguments is a validator of the model. To add a schedule, add its
model, enter it in `SCHEDULES`, and add a case to its test.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SCHEDULES", "Schedule"]


class Schedule(BaseModel):
    """A weight as a function of time.

    Attributes:
        name: The schedule's name.
        gives: The weight after t steps, for the docs.
        unit: What moves the schedule: steps or epochs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    name: ClassVar[str]
    gives: ClassVar[str]

    unit: Literal["step", "epoch"] = Field(
        "step", description="What moves it: loss.step() or loss.step_epoch()."
    )

    def value(self, t: int) -> float:
        """The weight after `t` completed steps or epochs.

        Args:
            t: The number of completed steps or epochs, from 0.
        """
        raise NotImplementedError

    def turns(self) -> Iterable[int]:
        """Times between which the weight only rises, only falls or stays; after the last it stays.

        A periodic schedule names the times of its first period.
        """
        raise NotImplementedError

    def bounds(self) -> tuple[float, float]:
        """The least and the greatest weight at any time.

        A schedule that approaches a weight without reaching it must override this.
        """
        weights = [self.value(t) for t in self.turns()]
        return min(weights), max(weights)

    def numbers(self) -> Iterable[float]:
        """The weights that the schedule is written with."""
        return self.bounds()

    def in_words(self) -> str:
        """The weight over time as a phrase that names every field; this one serves any schedule."""
        fields = ", ".join(f"{name} {_plain(value)}" for name, value in self.model_dump().items())
        return f"{self.name} with {fields}"

    def __hash__(self) -> int:
        return hash(str(self))  # a list of points has no hash

    def __str__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.model_dump().items())
        return f"{self.name}({fields})"


def _plain(value: Any) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


class Constant(Schedule):
    """Always the same weight."""

    name = "constant"
    gives = "weight"

    weight: float = Field(description="The weight.")

    def value(self, t: int) -> float:  # noqa: ARG002 - a constant does not depend on the time
        return self.weight

    def turns(self) -> Iterable[int]:
        return (0,)


class _Ramp(Schedule):
    """From one weight to another."""

    start: float = Field(description="The weight at first.")
    end: float = Field(description="The weight from the last step on.")
    steps: int = Field(ge=1, description="How many steps or epochs it takes.")

    def value(self, t: int) -> float:
        if t <= 0:
            return self.start
        if t >= self.steps:
            return self.end
        return _within(self.start, self.end, self._between(t / self.steps))

    def turns(self) -> Iterable[int]:
        return 0, self.steps

    def in_words(self) -> str:
        start, end = _plain(self.start), _plain(self.end)
        return f"{self.name} from {start} to {end} over {self.unit}s 0-{self.steps}, then {end}"

    def _between(self, part: float) -> float:
        raise NotImplementedError


class Linear(_Ramp):
    """From start to end in equal steps."""

    name = "linear"
    gives = "start + (end - start) · t / steps; end from t = steps on"

    def _between(self, part: float) -> float:
        return self.start + (self.end - self.start) * part


class Cosine(_Ramp):
    """From start to end along half a cosine: slow at both ends."""

    name = "cosine"
    gives = "start + (end - start) · (1 - cos(π t / steps)) / 2; end from t = steps on"

    def _between(self, part: float) -> float:
        return self.start + (self.end - self.start) * (1 - math.cos(math.pi * part)) / 2


class Exponential(_Ramp):
    """From start to end by a constant factor; both must have the same sign and not be 0."""

    name = "exponential"
    gives = "start · (end / start)^(t / steps); end from t = steps on; both of one sign, neither 0"

    @model_validator(mode="after")
    def _same_sign(self) -> Exponential:
        if self.start == 0 or self.end == 0 or (self.start > 0) != (self.end > 0):
            raise ValueError("an exponential needs a start and an end of the same sign, not 0")
        return self

    def _between(self, part: float) -> float:
        # In logarithms, because the quotient of two weights may overflow a float.
        first, last = math.log(abs(self.start)), math.log(abs(self.end))
        return math.copysign(math.exp(first + (last - first) * part), self.start)


def _within(start: float, end: float, weight: float) -> float:
    """A weight clipped to the range between two others, which rounding may exceed."""
    return min(max(weight, min(start, end)), max(start, end))


def _pair(value: Any) -> Any:
    if not isinstance(value, list | tuple) or len(value) != 2:  # noqa: PLR2004
        raise ValueError("a point is a pair: a step and the weight there")
    return tuple(value)


_Point: TypeAlias = Annotated[
    tuple[Annotated[int, Field(ge=0)], float], BeforeValidator(_pair, json_schema_input_type=list)
]


def _in_order(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    for index, ((before, _), (step, _)) in enumerate(pairwise(points), 1):
        if step < before:
            message = "expected a step of at least {before}, the one before, found {step}"
            # With the index, a config's fault is reported at the point.
            context = {"index": index, "before": before, "step": step}
            raise PydanticCustomError("misplaced", message, context)
    return points


class Piecewise(Schedule):
    """From point to point; before the first and after the last, their weights.

    Two points at the same step make a jump: from that step on, the second one counts.
    """

    name = "piecewise"
    gives = (
        "from one `[step, weight]` pair to the next: with `between: lines` in a straight line, "
        "with `between: steps` the weight stays until the next pair; before the first and after "
        "the last pair, its weight; two pairs at one step make a jump"
    )

    points: Annotated[list[_Point], AfterValidator(_in_order)] = Field(
        min_length=1, description="Pairs of a step and the weight there, in the order of the steps."
    )
    between: Literal["lines", "steps"] = Field(
        description="What the weight does between two points: with 'lines' it goes from one to the "
        "other in a straight line, with 'steps' it stays until the second."
    )

    def turns(self) -> Iterable[int]:
        # The last step before a jump is also a turn.
        return {max(step - before, 0) for step, _ in self.points for before in (0, 1)}

    def numbers(self) -> Iterable[float]:
        return (weight for _, weight in self.points)

    def in_words(self) -> str:
        points = [f"{_plain(weight)} at {self.unit} {step}" for step, weight in self.points]
        way = "in straight lines" if self.between == "lines" else "in jumps"
        return f"{way} through {', '.join(points)}"

    def value(self, t: int) -> float:
        after = bisect_right(self.points, t, key=lambda point: point[0])
        if after == 0:
            return self.points[0][1]
        before, weight = self.points[after - 1]
        if after == len(self.points):
            return weight
        if self.between == "steps":
            return weight
        step, following = self.points[after]
        between = weight + (following - weight) * ((t - before) / (step - before))
        return _within(weight, following, between)


class Cyclic(Schedule):
    """From start to end, repeated.

    Each cycle rises over its first part and stays at the end for the rest of it (Fu et al.,
    Cyclical Annealing Schedule, NAACL 2019, https://arxiv.org/abs/1903.10145).
    """

    name = "cyclic"
    gives = (
        "in each cycle of `steps`, linear from start to end over its first part, `ramp`, then end"
    )

    start: float = Field(description="The weight at the beginning of each cycle.")
    end: float = Field(description="The weight at the end of each cycle.")
    steps: int = Field(ge=1, description="How many steps or epochs a cycle takes.")
    ramp: float = Field(
        0.5, gt=0, le=1, description="Which part of a cycle goes from start to end; the rest stays."
    )

    def turns(self) -> Iterable[int]:
        return 0, self.steps - 1

    def numbers(self) -> Iterable[float]:
        return self.start, self.end

    def in_words(self) -> str:
        start, end, unit = _plain(self.start), _plain(self.end), self.unit
        rising = f"from {start} to {end} over the first {_plain(self.ramp)} of it, then {end}"
        return f"in each cycle of {self.steps} {unit}s, {rising}"

    def value(self, t: int) -> float:
        part = (max(t, 0) % self.steps) / self.steps
        if part >= self.ramp:
            return self.end
        between = self.start + (self.end - self.start) * (part / self.ramp)
        return _within(self.start, self.end, between)


SCHEDULES: dict[str, type[Schedule]] = {
    schedule.name: schedule
    for schedule in (Constant, Linear, Cosine, Exponential, Piecewise, Cyclic)
}
"""Every schedule by name: a closed list, because `piecewise` covers the rest."""
