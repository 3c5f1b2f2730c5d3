"""The names in a formula that stand for more than a path, and what they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lossreg.config.fingerprint import in_text
from lossreg.config.tools.expressions import Call, Infix, Name, number, path
from lossreg.vocabulary.arguments import REQUIRED
from lossreg.vocabulary.routes import Route, is_schedule
from lossreg.vocabulary.transforms import definition_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lossreg.config.models import ElementWeights, TermConfig
    from lossreg.config.tools.expressions import Expression
    from lossreg.vocabulary.routes import Transform
    from lossreg.vocabulary.schedules import Schedule

__all__ = ["TIMES", "Symbols"]

TIMES = {
    "step": ("t", "the number of completed steps"),
    "epoch": ("e", "the number of completed epochs"),
}
"""By unit, the letter for the time and what it counts."""


class Symbols:
    """Names for derived routes, schedules, elements' weights and what is learned.

    Args:
        derive: The derived routes by name, each after those that it reads.
        terms: The terms of the formula.
    """

    def __init__(self, derive: Sequence[tuple[str, Route]], terms: Sequence[TermConfig]) -> None:
        self._derive = derive
        self._terms = terms
        schedules = dict.fromkeys(
            schedule for term in terms for schedule in (*term.weight.schedules, *term.schedules)
        )
        schedules.update((schedule, None) for _, route in derive for schedule in route.schedules)
        self._schedules = {
            schedule: Name(f"w{ending}({TIMES[schedule.unit][0]})", is_symbol=True)
            for schedule, ending in zip(schedules, _endings(len(schedules)), strict=True)
        }
        units: set[str] = {schedule.unit for schedule in schedules}
        units.update(
            active.unit for term in terms for active in term.active if not active.is_always
        )
        self._units = [unit for unit in TIMES if unit in units]
        weights = [term.each.weights for term in terms if term.each and term.each.weights]
        distinct = list(dict.fromkeys(weights))
        self._weights = {
            weight: Name(f"u{ending}(i)", is_symbol=True)
            for weight, ending in zip(distinct, _endings(len(distinct)), strict=True)
        }

    def schedule(self, schedule: Schedule) -> Name:
        """The name of a schedule."""
        return self._schedules[schedule]

    def element_weights(self, weights: ElementWeights) -> Name:
        """The name of elements' weights."""
        return self._weights[weights]

    def path(self, text: str) -> Name:
        """A path, or its first key; in quotes if it could be read as something else."""
        is_time = text in (TIMES[unit][0] for unit in self._units)
        return Name(repr(text)) if is_time else path(text)

    def learned(self, term: str) -> Name:
        """The name of a term's parameter of its weight."""
        return Name(f"s({path(term).text})", is_symbol=True)

    def route(self, route: Route) -> Expression:
        """A route as an expression; where it begins as a derived one does, with that one's name."""
        return self._route(route, len(self._derive))

    def value(self, value: Any) -> Expression:
        """A value of an argument as an expression."""
        return self._value(value, len(self._derive))

    def meanings(self) -> Iterator[tuple[Name, Expression | str]]:
        """Each name with what it stands for."""
        for index, (name, route) in enumerate(self._derive):
            yield self.path(name), self._route(route, index)
        for schedule, symbol in self._schedules.items():
            yield symbol, schedule.in_words()
        for weights, symbol in self._weights.items():
            yield symbol, _weights_in_words(weights)
        for term in self._terms:
            learned = term.weight.learned
            if learned is not None:
                initial = number(learned.initial).text
                yield self.learned(term.name), f"learned with the model, at first {initial}"
        for unit in self._units:
            letter, words = TIMES[unit]
            yield Name(letter, is_symbol=True), words

    def _route(self, route: Route, known: int) -> Expression:
        """A route as an expression.

        Args:
            route: The route.
            known: How many of the derived names it may use.
        """
        start, done = str(route.path), -1
        for name, base in self._derive[:known]:
            length = len(base.transforms)
            is_same = base.path == route.path and base.transforms == route.transforms[:length]
            if is_same and length > done:
                start, done = name, length
        expression: Expression = self.path(start)
        for transform in route.transforms[max(done, 0) :]:
            expression = self._applied(expression, transform, known)
        return expression

    def _applied(self, tensor: Expression, transform: Transform, known: int) -> Expression:
        definition = definition_of(transform.name)
        values = [self._value(value, known) for _, value in transform.arguments]
        if transform.name == "number":
            return values[0]
        if transform.name == "listed":
            return Call("list", (tensor,))
        if transform.name == "appended" and isinstance(tensor, Call):
            return Call("list", (*tensor.arguments, *values))
        if transform.name == "detach_all":
            return Call("detach", (tensor,))
        defaults = {argument.name: argument.default for argument in definition.arguments}
        options = [
            (name, self._value(value, known))
            for name, value in transform.arguments
            if defaults[name] is REQUIRED or value != defaults[name]
        ]
        if len(defaults) == len(options) == 1:
            ((_, other),) = options
            if definition.sign:
                return Infix(tensor, definition.sign, other)
            if definition.arguments[0].kind.is_routed:
                return Call(transform.name, (tensor, other))
        return Call(transform.name, (tensor,), tuple(options))

    def _value(self, value: Any, known: int) -> Expression:
        if isinstance(value, Route):
            return self._route(value, known)
        if is_schedule(value):
            return self.schedule(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return number(value)
        return Name(in_text(value))


def _endings(count: int) -> list[str]:
    return [""] if count == 1 else [str(index + 1) for index in range(count)]


def _weights_in_words(weights: ElementWeights) -> str:
    if weights.listed:
        words = f"number i of {in_text(weights.listed)}"
    elif weights.decay == 1 and weights.towards == "first":
        words = "1"
    else:
        power = "i" if weights.towards == "first" else "(n - 1 - i)"
        words = f"{number(weights.decay).text}^{power} for place i of n, from 0"
    if weights.zero:
        words += f"; 0 at the places {in_text(weights.zero)}"
    return words + "; divided by their sum" * weights.sum_to_one
