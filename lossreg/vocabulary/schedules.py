"""Weights over time: each schedule is a pure function of how many steps (or epochs) are done.

`value(t)` is the weight after t completed `loss.step()` calls (`loss.step_epoch()` with
`unit: epoch`): `start` at 0, and `end` from t = `steps` on.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SCHEDULES", "Schedule"]


class Schedule(BaseModel):
    """A weight as a function of time."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    name: ClassVar[str]

    unit: Literal["step", "epoch"] = Field(
        "step", description="What moves it: loss.step() or loss.step_epoch()."
    )

    def value(self, t: int) -> float:
        """The weight after `t` completed steps or epochs.

        Args:
            t: How many, from 0.
        """
        raise NotImplementedError

    def bounds(self) -> tuple[float, float]:
        """The least and the greatest weight there will be."""
        raise NotImplementedError

    def numbers(self) -> Iterable[float]:
        """The weights that it is made from."""
        return self.bounds()

    def __str__(self) -> str:
        given = ", ".join(f"{name}={each!r}" for name, each in self.model_dump().items())
        return f"{self.name}({given})"


class Constant(Schedule):
    """The same weight always."""

    name = "constant"

    weight: float = Field(description="The weight.")

    def value(self, t: int) -> float:  # noqa: ARG002 - a constant does not look at the time
        return self.weight

    def bounds(self) -> tuple[float, float]:
        return self.weight, self.weight


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
        return _within(self.bounds(), self._between(t / self.steps))

    def bounds(self) -> tuple[float, float]:
        return min(self.start, self.end), max(self.start, self.end)

    def _between(self, part: float) -> float:
        raise NotImplementedError


class Linear(_Ramp):
    """From start to end in equal steps."""

    name = "linear"

    def _between(self, part: float) -> float:
        return self.start + (self.end - self.start) * part


class Cosine(_Ramp):
    """From start to end along half a cosine: slow at both ends."""

    name = "cosine"

    def _between(self, part: float) -> float:
        return self.start + (self.end - self.start) * (1 - math.cos(math.pi * part)) / 2


class Exponential(_Ramp):
    """From start to end by a constant factor; both must have the same sign and not be 0."""

    name = "exponential"

    @model_validator(mode="after")
    def _same_sign(self) -> Exponential:
        if self.start == 0 or self.end == 0 or (self.start > 0) != (self.end > 0):
            raise ValueError("an exponential needs a start and an end of the same sign, not 0")
        return self

    def _between(self, part: float) -> float:
        # In logarithms, for the quotient of two weights may be beyond what a float holds.
        first, last = math.log(abs(self.start)), math.log(abs(self.end))
        return math.copysign(math.exp(first + (last - first) * part), self.start)


def _within(bounds: tuple[float, float], weight: float) -> float:
    """The weight, which rounding may have put a little beyond its bounds."""
    least, greatest = bounds
    return min(max(weight, least), greatest)


def _pair(value: Any) -> Any:
    if not isinstance(value, list | tuple) or len(value) != 2:  # noqa: PLR2004
        raise ValueError("a point is a pair: a step and the weight there")
    return tuple(value)


_Point: TypeAlias = Annotated[
    tuple[Annotated[int, Field(ge=0)], float], BeforeValidator(_pair, json_schema_input_type=list)
]


class Piecewise(Schedule):
    """Straight lines between points; before the first and after the last, their weights.

    Two points at the same step make a jump: from that step on, the second one counts.
    """

    name = "piecewise"

    points: list[_Point] = Field(
        min_length=1, description="Pairs of a step and the weight there, in the order of the steps."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Piecewise:
        steps = [step for step, _ in self.points]
        if steps != sorted(steps):
            raise ValueError("the points must stand in the order of their steps")
        return self

    def bounds(self) -> tuple[float, float]:
        weights = [weight for _, weight in self.points]
        return min(weights), max(weights)

    def numbers(self) -> Iterable[float]:
        return (weight for _, weight in self.points)

    def value(self, t: int) -> float:
        after = bisect_right(self.points, t, key=lambda point: point[0])
        if after == 0:
            return self.points[0][1]
        before, weight = self.points[after - 1]
        if after == len(self.points):
            return weight
        step, following = self.points[after]
        between = weight + (following - weight) * ((t - before) / (step - before))
        return _within((min(weight, following), max(weight, following)), between)


class Cyclic(Schedule):
    """Again and again from start to end.

    Each cycle rises over its first part and stays at the end for the rest of it (Fu et al.,
    Cyclical Annealing Schedule, NAACL 2019, https://arxiv.org/abs/1903.10145).
    """

    name = "cyclic"

    start: float = Field(description="The weight at the beginning of each cycle.")
    end: float = Field(description="The weight at the end of each cycle.")
    steps: int = Field(ge=1, description="How many steps or epochs a cycle takes.")
    ramp: float = Field(
        0.5, gt=0, le=1, description="Which part of a cycle goes from start to end; the rest stays."
    )

    def bounds(self) -> tuple[float, float]:
        return min(self.start, self.end), max(self.start, self.end)

    def value(self, t: int) -> float:
        part = (max(t, 0) % self.steps) / self.steps
        if part >= self.ramp:
            return self.end
        between = self.start + (self.end - self.start) * (part / self.ramp)
        return _within(self.bounds(), between)


SCHEDULES: dict[str, type[Schedule]] = {
    each.name: each for each in (Constant, Linear, Cosine, Exponential, Piecewise, Cyclic)
}
"""Every schedule by name: a closed list, for `piecewise` covers the rest."""
