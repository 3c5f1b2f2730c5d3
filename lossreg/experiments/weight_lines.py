"""The weight of each term over time, from its config only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lossreg.config.models import Active, CompositeConfig, TermConfig
    from lossreg.vocabulary.schedules import Schedule

__all__ = ["Line", "TimeError", "Timeline", "timeline"]

_POINTS = 1000  # on a line, besides those where it turns
_MOST_TURNS = 5000
_PERIODS = 3  # of what repeats, if nothing else says how far a picture goes
_STILL = 100  # steps, where nothing ever changes


class TimeError(ValueError):
    """The length of a picture is not known, or does not fit what the schedules count."""


class Line(NamedTuple):
    """One term's weight over time.

    Attributes:
        name: The term.
        times: Steps or epochs, in order.
        weights: The weight at each time, as it enters the total; nan where the term is not active.
        note: What to know besides; empty if nothing.
        is_pulsed: Whether the term is active only at each so many times.
    """

    name: str
    times: tuple[int, ...]
    weights: tuple[float, ...]
    note: str = ""
    is_pulsed: bool = False

    @property
    def active(self) -> list[tuple[int, float]]:
        """Its times and weights where the term is active."""
        pairs = zip(self.times, self.weights, strict=True)
        return [(time, weight) for time, weight in pairs if not math.isnan(weight)]


class Timeline(NamedTuple):
    """The weights of the terms of one objective or several.

    Attributes:
        unit: What is counted, `step` or `epoch`.
        end: The last time.
        objectives: The lines of each objective, by its name.
        not_drawn: The terms without a line, each with the reason.
    """

    unit: str
    end: int
    objectives: Mapping[str, tuple[Line, ...]]
    not_drawn: Mapping[str, str]


class _Clock(NamedTuple):
    """What a time on the axis is in steps and in epochs."""

    unit: str
    steps_per_epoch: int

    def steps_and_epochs(self, time: int) -> tuple[int, int]:
        if self.unit == "epoch":
            return time, time  # nothing counts steps
        return time, time // self.steps_per_epoch

    def on_axis(self, time: int, unit: str) -> int:
        return time * self.steps_per_epoch if unit != self.unit else time


def timeline(
    configs: Mapping[str, CompositeConfig],
    *,
    steps: int | None = None,
    steps_per_epoch: int | None = None,
) -> Timeline:
    """The weights over time.

    Args:
        configs: The objectives by name.
        steps: How many steps to draw; by default to the end of the last schedule or active window,
            and a tenth more.
        steps_per_epoch: How many steps an epoch has. Without it, time is counted in epochs if
            everything counts epochs.

    Raises:
        TimeError: Some count steps and some epochs, and it is not said how many steps an epoch has.
    """
    terms = [term for config in configs.values() for term in config.terms if term.enabled]
    clock = _clock(terms, steps, steps_per_epoch)
    end = steps if steps is not None else _end(terms, clock)
    not_drawn = {
        term.name: "its weight is known only in a step: " + " * ".join(map(str, term.weight.routes))
        for term in terms
        if term.weight.routes
    }
    objectives = {
        name: tuple(
            _line(term, clock, end)
            for term in config.terms
            if term.enabled and not term.weight.routes
        )
        for name, config in configs.items()
    }
    return Timeline(clock.unit, end, objectives, not_drawn)


def _clock(terms: Iterable[TermConfig], steps: int | None, steps_per_epoch: int | None) -> _Clock:
    counting: dict[str, str] = {}
    for term in terms:
        for unit in _units(term):
            counting.setdefault(unit, term.name)
    if steps_per_epoch is not None:
        return _Clock("step", steps_per_epoch)
    if "epoch" not in counting:
        return _Clock("step", 1)
    if "step" in counting:
        raise TimeError(
            f"the term '{counting['epoch']}' counts epochs and '{counting['step']}' counts steps; "
            "say how many steps an epoch has, as in --steps-per-epoch 500"
        )
    if steps is not None:
        raise TimeError(
            f"--steps counts steps and the term '{counting['epoch']}' counts epochs; say how many "
            "steps an epoch has, as in --steps-per-epoch 500"
        )
    return _Clock("epoch", 1)


def _units(term: TermConfig) -> Iterator[str]:
    for schedule in term.weight.schedules:
        if len({*schedule.numbers()}) > 1:
            yield schedule.unit
    for times in term.active:
        if not times.is_always:
            yield times.unit


def _end(terms: Iterable[TermConfig], clock: _Clock) -> int:
    ends = [0]
    for term in terms:
        for schedule in term.weight.schedules:
            last = max(schedule.turns())
            is_periodic = schedule.value(last + 1) != schedule.value(last)
            ends.append(
                clock.on_axis(_PERIODS * (last + 1) if is_periodic else last, schedule.unit)
            )
        for times in term.active:
            stop = times.start if times.stop is None else times.stop
            repeats = times.start + _PERIODS * times.every if times.every > 1 else 0
            ends.append(clock.on_axis(max(stop, repeats), times.unit))
    end = max(ends)
    return end + max(end // 10, 1) if end else _STILL


def _line(term: TermConfig, clock: _Clock, end: int) -> Line:
    notes = [_window(times) for times in term.active if not times.is_always]
    notes += [
        f"repeats every {period} {schedule.unit}s"
        for schedule in term.weight.schedules
        if (period := _period(schedule))
    ]
    factor = float(math.prod(times.factor for times in term.active))
    learned = term.weight.learned
    if learned is not None:
        # exp(-s), of which `kendall` takes half.
        factor *= math.exp(-learned.initial) * (0.5 if learned.form == "kendall" else 1.0)
        notes.append("learned; its first value")
    is_pulsed = any(times.every > 1 and times.unit == clock.unit for times in term.active)
    chosen = sorted(_pulses(term.active, clock, end) if is_pulsed else _times(term, clock, end))
    weights = []
    for time in chosen:
        now = clock.steps_and_epochs(time)
        holds = all(times.holds(*now, training=True) for times in term.active)
        weights.append(term.weight.value(*now) * factor if holds else math.nan)
    return Line(term.name, tuple(chosen), tuple(weights), ", ".join(notes), is_pulsed)


def _window(times: Active) -> str:
    """When a term is active, in a few words."""
    words = f"from {times.unit} {times.start}" if times.start else ""
    words += f" until {times.unit} {times.stop}" if times.stop is not None else ""
    if times.every > 1:
        words += f" every {times.every} {times.unit}s"
        words += f", times {times.every}" if times.factor > 1 else ""
    return words.strip()


def _period(schedule: Schedule) -> int:
    """After how many steps or epochs a schedule repeats; 0 if it does not."""
    last = max(schedule.turns())
    return last + 1 if schedule.value(last + 1) != schedule.value(last) else 0


def _times(term: TermConfig, clock: _Clock, end: int) -> set[int]:
    """The times at which a line has a point: evenly spread, and around each turn."""
    times = {round(end * index / _POINTS) for index in range(_POINTS + 1)}
    for schedule in term.weight.schedules:
        turns = set(schedule.turns())
        period = clock.on_axis(_period(schedule), schedule.unit) or end + 1
        for begin in range(0, end + 1, max(period, end // _MOST_TURNS, 1)):
            for turn in turns:
                place = begin + clock.on_axis(turn, schedule.unit)
                times |= {place - 1, place, place + 1}
    units: set[str] = {schedule.unit for schedule in term.weight.schedules}
    if (units | {active.unit for active in term.active}) - {clock.unit}:
        epoch = max(clock.steps_per_epoch, end // _MOST_TURNS)
        for place in range(0, end + 1, epoch):
            times |= {place - 1, place}
    for active in term.active:
        for edge in (active.start, active.stop):
            if edge is not None:
                place = clock.on_axis(edge, active.unit)
                times |= {place - 1, place}
    return {time for time in times if 0 <= time <= end}


def _pulses(active: Iterable[Active], clock: _Clock, end: int) -> Iterator[int]:
    """The times at which a term is active that is so only at each so many times."""
    rarest = max(
        (times for times in active if times.unit == clock.unit), key=lambda times: times.every
    )
    every, first = rarest.every, rarest.start
    # Of very many, a part is enough for a line.
    every *= max((end - first) // every // _MOST_TURNS, 1)
    yield from range(first, end + 1, every)
