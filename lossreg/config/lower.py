"""From a declared objective to its models.

Groups dissolve: names join, paths start where the group starts, weights multiply.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from lossreg.config.declare.divisors import check_divisor, check_within_row
from lossreg.config.declare.fields import LARGEST, SMALLEST_NORMAL
from lossreg.config.faults.faults import clipped
from lossreg.config.grammar import COMPOSITE, GROUP
from lossreg.config.models import CompositeConfig, TermConfig, Weight
from lossreg.names import closest
from lossreg.vocabulary.paths import ValuePath
from lossreg.vocabulary.routes import Route, Transform
from lossreg.vocabulary.transforms import definition_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lossreg.config.declare.derived import Derived
    from lossreg.config.declare.tree import Declared, Loss
    from lossreg.config.faults.faults import Faults
    from lossreg.config.models import Active, Divisor, Each

__all__ = ["lower"]

# Each guess at a path compares it with all that are known.
_MOST_KNOWN, _MOST_GUESSED = 1_000, 20
_ORDINARY = 1e-9  # it and its reciprocal are far within float32
_HERE, _ONE, _MINUS = ValuePath(()), Weight(), Weight(-1.0)
_DETACH, _DETACH_ALL = Transform("detach"), Transform("detach_all")
# Fields of the model that are a key's value as it was read; groups may still add to them.
_AS_READ = frozenset(TermConfig._fields).difference(
    ("name", "weight", "inputs", "divide_by", "active")
)


def lower(composite: Declared, faults: Faults) -> CompositeConfig | None:
    """The declared composite; None if it cannot be trained, after noting why.

    Args:
        composite: The objective as it is written.
        faults: Takes the faults of the whole, and those that groups cause in their terms.
    """
    derived = _derived(composite)
    around = _WHOLE if derived is None else _Around(derived=derived)
    terms = _terms(composite.values["terms"], around, faults)
    enabled = [term for term in terms if term is None or term.enabled]
    place, key = composite.terms_path, composite.node.keys["terms"]
    if not enabled:
        message = "every term is disabled" if terms else "expected at least one term, found none"
        faults.add("LR108", place, message, key)
    known = tuple(term for term in terms if term is not None)
    if len(known) < len(terms) or not composite.is_complete:
        return None
    _check_regularizers(known, composite, faults)
    is_zero = all(term.weight.is_zero for term in known if term.enabled)
    if enabled and is_zero and not faults.has_errors:
        message = "all weights are zero, so nothing is learnt"
        faults.add("LR903", place, message, key, severity="warning")
    options = {
        name: composite.get(name) for name, key in COMPOSITE.keys.items() if key.reads != "terms"
    }
    options["derive"] = () if derived is None else tuple(derived.routes.items())
    if derived is not None:
        derived.check_used(_read(known), faults)
    config = CompositeConfig(terms=known, **options)
    if not config.frozen:
        return config
    _check_frozen(composite, known, faults)
    return _with_frozen(config)


def _derived(composite: Declared) -> Derived | None:
    if not composite.get("derive"):
        return None
    from lossreg.config.declare.derived import Derived  # imported late: few derive anything

    frozen = composite.get("frozen")
    return Derived(composite, frozen, partial(_stopped, {path.steps for path in frozen}))


class _Around(NamedTuple):
    """The combined settings of the groups around a term."""

    prefix: str = ""
    origin: ValuePath = _HERE
    weight: Weight = _ONE
    divide_by: Divisor | None = None
    detach: tuple[str, ...] | None = None
    optional: bool = False
    active: tuple[Active, ...] = ()
    enabled: bool = True
    derived: Derived | None = None
    each: Each | None = None

    def inside(self, group: Declared) -> _Around:
        """The settings for the terms of a group."""
        detach = group.get("detach")
        origin = self.located(group.get("from") or _HERE)
        return _Around(
            prefix=f"{self.prefix}{group.name}/",
            origin=origin,
            weight=self.weight.times(_weight(group).with_routes(self._moved)),
            divide_by=self.divisor(group),
            detach=self.detach if detach is None else detach,
            optional=self.optional or group.get("optional"),
            active=self.active + _times(group),
            enabled=self.enabled and group.get("enabled"),
            derived=self.derived,
            each=self.each or _located_each(group.get("each"), origin),
        )

    def adopted(self, term: TermConfig) -> TermConfig:
        """A term with the settings of the groups applied."""
        return term._replace(
            name=self.prefix + term.name,
            weight=self.weight.times(term.weight.with_routes(self._moved)),
            inputs={name: self._moved(route) for name, route in term.inputs.items()},
            mask=None if term.mask is None else self._moved(term.mask),
            sample_weight=None if term.sample_weight is None else self._moved(term.sample_weight),
            detach=self._detached(term),
            optional=self.optional or term.optional,
            active=self.active + term.active,
            enabled=self.enabled and term.enabled,
            each=self.each,
        )

    def _detached(self, term: TermConfig) -> tuple[str, ...] | None:
        if term.detach is not None or self.detach is None:
            return term.detach
        names = tuple(name for name in self.detach if name in term.inputs)
        # A group that names other arguments says nothing of this term's.
        return names if names or not self.detach else None

    def located(self, path: ValuePath) -> ValuePath:
        located = ValuePath(self.origin.steps + path.steps)
        if self.each is None or self.each.starts(located):
            return located
        inside = ValuePath(located.steps[len(self.each.origin.steps) :])
        return inside if self.each.starts(inside) else located

    def divisor(self, declared: Declared) -> Divisor | None:
        """What a group's or a term's sum is divided by: its own keys go before these settings."""
        own: Divisor | None = declared.get("divide_by")
        divisor = self.divide_by if own is None else own
        if own is not None and own.route is not None:
            # A group's is looked up where the group stands, not where its own paths start.
            divisor = own._replace(route=self._moved(own.route))
        if divisor is not None and "within_row" in declared.values:
            divisor = divisor._replace(within_row=declared.get("within_row"))
        return divisor

    def _moved(self, route: Route) -> Route:
        if self.derived is not None:
            return self.derived.placed(route, self.located)
        return route.relocated(self.located)


_WHOLE = _Around()


def _located_each(each: Each | None, origin: ValuePath) -> Each | None:
    """What a group is repeated over, with its paths where the group's start."""
    if each is None:
        return None

    def moved(route: Route) -> Route:
        return route.relocated(lambda path: ValuePath(origin.steps + path.steps))

    over = {
        name: moved(source) if isinstance(source, Route) else tuple(map(moved, source))
        for name, source in each.over.items()
    }
    return each._replace(over=over, origin=origin)


def _weight(declared: Declared) -> Weight:
    weight: Weight | None = declared.values.get("weight")
    return _ONE if weight is None else weight


def _times(declared: Declared) -> tuple[Active, ...]:
    active: Active | None = declared.get("active")
    return () if active is None else (active,)


def _terms(
    declared: list[Declared | None], around: _Around, faults: Faults
) -> list[TermConfig | None]:
    terms: list[TermConfig | None] = []
    for term in declared:
        if term is None:
            terms.append(None)
        elif term.construct is GROUP and faults.interpolations and not term.is_complete:
            terms.append(None)  # what its terms read is not known
        elif term.construct is GROUP:
            check_within_row(term, around.divisor(term), faults)
            if around.derived is not None:
                around.derived.check(term, faults)
            inner = term.get("terms")
            lowered: list[TermConfig | None] = [None]
            if inner is not None:
                lowered = _terms(inner, around.inside(term), faults)
            if "each" in term.values:
                _check_each(term, lowered, around, faults)
            terms += lowered
        else:
            terms.append(_term(term, around, faults))
    return terms


def _check_each(
    group: Declared, terms: list[TermConfig | None], around: _Around, faults: Faults
) -> None:
    from lossreg.config.declare.each import check_group  # imported late: few groups have it

    if around.each is not None:
        message = (
            "a group inside an 'each' cannot have one; for lists of lists write nested: 2 in the "
            "outer one"
        )
        faults.add("LR220", (group.path, "each"), message, group.node.keys["each"])
    elif group.get("each") is not None:
        known = [term for term in terms if term is not None]
        whole = known if len(known) == len(terms) else []
        check_group(group, whole, around.inside(group), faults)


def _term(term: Declared, around: _Around, faults: Faults) -> TermConfig | None:
    loss, divisor = term.loss, around.divisor(term)
    if around.derived is not None:
        around.derived.check(term, faults)
    if divisor is not None or "sample_weight" in term.values or "within_row" in term.values:
        check_within_row(term, divisor, faults)
        if loss is not None:
            check_divisor(term, loss.definition, divisor, faults)
    _check_beside_groups(term, around.weight, faults)
    if loss is None or not term.is_complete:
        return None
    read = {key: value for key, value in term.values.items() if key in _AS_READ}
    config = TermConfig(
        name=term.name,
        definition=loss.definition,
        weight=_weight(term).times(_MINUS) if term.get("maximize") else _weight(term),
        inputs=_inputs(term, loss),
        origin=loss.origin,
        divide_by=divisor,
        active=_times(term),
        **read,
    )
    if around is not _WHOLE:
        config = around.adopted(config)
    if around.each is not None:
        from lossreg.config.declare.each import check_repeated

        check_repeated(term, config, around.each, faults)
    if config.detach:
        config = config._replace(inputs=_with_detached(config, config.detach))
    if around.derived is not None and term.is_complete:
        around.derived.check_lists(term, config, faults)
    _check_size(term, config, faults)
    _check_requirements(term, config, faults)
    return config


def _check_requirements(term: Declared, config: TermConfig, faults: Faults) -> None:
    """Note what a loss needs and what is not installed."""
    if config.definition.requires and config.enabled:
        from lossreg.plugin.requirements import unmet  # imported late: few losses need more

        for lacking in unmet(config.definition.requires):
            message = f"'{config.type}' needs {lacking}"
            place = term.node.value["type"]
            faults.add("LR907", (term.path, "type"), message, place, severity="warning")


def _check_size(term: Declared, config: TermConfig, faults: Faults) -> None:
    """Note a weight that, with all that multiplies it, float32 cannot hold."""
    if len(config.active) > 1:
        from lossreg.config.declare.active import check_together  # imported late: few have times

        check_together(term, config.active, faults)
    factor = math.prod(active.factor for active in config.active)
    if factor != 1 and config.weight.learned is not None:
        message = "a learned weight is multiplied by nothing else; remove 'times_every'"
        faults.add("LR215", (term.path, "weight"), message, term.place("weight"))
    misfit = _beyond_float32(config.weight if factor == 1 else config.weight.times(Weight(factor)))
    if misfit:
        times = " and 'times_every'" if factor != 1 else ""
        message = f"expected the weight times the weights of its groups{times} to be {misfit}"
        faults.add("LR202", (term.path, "weight"), message, term.place("weight"))


def _check_beside_groups(term: Declared, around: Weight, faults: Faults) -> None:
    """Note a learned weight, or `maximize`, that the weights of its groups contradict."""
    if around == _ONE:
        return
    if _weight(term).learned is not None:
        message = (
            "a learned weight cannot be multiplied by the weight of a group; remove the group's "
            "weight, or move the term out of the group"
        )
        faults.add("LR215", (term.path, "weight"), message, term.node.value["weight"])
    elif term.get("maximize") and around.least < 0:
        message = (
            "maximize: true in a group of negative weight minimises the term; give the group a "
            "positive weight"
        )
        faults.add("LR215", (term.path, "maximize"), message, term.node.keys["maximize"])


def _check_regularizers(terms: tuple[TermConfig, ...], composite: Declared, faults: Faults) -> None:
    """Note a term whose name is that of another one's regularizer in a log."""
    names = {term.name for term in terms}
    written = composite.node.value["terms"]
    for name in names:
        regularized = name.removeprefix("regularizer/")
        if regularized != name and regularized in names:
            message = (
                f"'{clipped(name)}' is what a log calls the regularizer of a learned weight of "
                f"'{clipped(regularized)}'; choose another name for the group 'regularizer'"
            )
            place = (composite.terms_path, "regularizer")
            faults.add("LR107", place, message, written.keys.get("regularizer", written))


def _inputs(term: Declared, loss: Loss) -> dict[str, Route]:
    routes: dict[str, Route] | None = term.values.get("inputs")
    return routes or {name: Route(ValuePath((name,))) for name in loss.required}


def _with_detached(term: TermConfig, names: tuple[str, ...]) -> dict[str, Route]:
    routes = dict(term.inputs)
    for name in names:
        holds = term.definition.input(name).holds
        stop = _DETACH_ALL if holds == "list" else _DETACH
        if holds != "number" and routes[name].transforms[-1:] != (stop,):
            routes[name] = routes[name]._replace(transforms=(*routes[name].transforms, stop))
    return routes


def _with_frozen(config: CompositeConfig) -> CompositeConfig:
    """With a detached start for each route that reads a frozen path or what is below."""
    stopped = partial(_stopped, {path.steps for path in config.frozen})

    def stopped_list(source: Route | tuple[Route, ...]) -> Route | tuple[Route, ...]:
        if not isinstance(source, Route):
            return tuple(map(stopped, source))
        return stopped(source) if source.transforms else source

    def stopped_term(term: TermConfig) -> TermConfig:
        each = term.each
        stop = partial(stopped, each=each)
        return term._replace(
            inputs={
                name: stop(route, holds=term.definition.input(name).holds)
                for name, route in term.inputs.items()
            },
            mask=None if term.mask is None else stop(term.mask),
            sample_weight=None if term.sample_weight is None else stop(term.sample_weight),
            each=each and each._replace(over={k: stopped_list(v) for k, v in each.over.items()}),
        )

    return config._replace(terms=tuple(map(stopped_term, config.terms)))


def _stopped(
    frozen: set[tuple[str | int, ...]],
    route: Route,
    each: Each | None = None,
    holds: str = "tensor",
) -> Route:
    """A route with a detached start, if it reads a frozen path or what is below one."""
    route = route.with_operands(partial(_stopped, frozen, each=each))
    steps, transforms = route.path.steps, route.transforms
    if each is not None and each.starts(route.path):
        # Transforms that make the list have the detached start themselves.
        source = each.over[str(steps[0])]
        steps = ()
        if isinstance(source, Route) and not source.transforms:
            steps = source.path.steps
    is_frozen = any(steps[:length] in frozen for length in range(1, len(steps) + 1))
    # At a path to a list there is nothing to detach before the list has become a tensor.
    is_list = bool(transforms) and definition_of(transforms[0].name).takes == "list"
    first, rest = transforms[:is_list], transforms[is_list:]
    if not is_frozen or rest[:1] == (_DETACH,) or first == (_DETACH_ALL,):
        return route
    if not transforms and holds != "tensor":
        return route._replace(transforms=(_DETACH_ALL,) if holds == "list" else ())
    return route._replace(transforms=(*first, _DETACH, *rest))


def _read(terms: tuple[TermConfig, ...]) -> Iterator[ValuePath]:
    """Every path among the step's values that the terms read, apart from divisors."""
    for term in terms:
        routes = (*term.inputs.values(), term.mask, term.sample_weight, *term.weight.routes)
        paths = (path for route in routes if route is not None for path in route.paths)
        if term.each is None:
            yield from paths
        else:
            yield from (path for path in paths if not term.each.starts(path))
            yield from (path for route in term.each.routes for path in route.paths)


def _check_frozen(composite: Declared, terms: tuple[TermConfig, ...], faults: Faults) -> None:
    """Note frozen paths that no term reads: a misspelt one would freeze nothing."""
    read = {
        path.steps[:length]: None
        for path in _read(terms)
        for length in range(1, len(path.steps) + 1)
    }
    # Derived names are written out; one that no term reads has been noted.
    read.update({(name,): None for name in composite.get("derive") or ()})
    unread = [
        (index, path)
        for index, path in enumerate(composite.get("frozen"))
        if path.steps not in read
    ]
    lists = {
        route.path.steps for term in terms if term.each is not None for route in term.each.routes
    }
    known = [str(ValuePath(steps)) for steps in islice(read, _MOST_KNOWN)] if unread else []
    for number, (index, path) in enumerate(unread):
        # What is above it would freeze more than was meant.
        above = {str(ValuePath(path.steps[:length])) for length in range(1, len(path.steps))}
        others = (name for name in known if name not in above)
        meant = closest(str(path), list(others)) if number < _MOST_GUESSED else None
        hint = f"did you mean '{clipped(meant)}'?" if meant else "correct it or remove it"
        within = [name for name in above if ValuePath.parse(name).steps in lists]
        if within:
            hint = f"'{clipped(within[0])}' is a list of 'each', which is frozen as a whole"
        message = f"no term reads '{clipped(str(path))}' or anything below it; {hint}"
        place, node = (composite.path, "frozen"), composite.node.value["frozen"].value[index]
        faults.add("LR206", (place, index), message, node)


def _beyond_float32(weight: Weight) -> str:
    """The expectation that a weight breaks in float32, in which weights multiply; or nothing."""
    if not weight.schedules and _ORDINARY <= abs(weight.factor) <= 1 / _ORDINARY:
        return ""  # the common case
    if not weight.largest <= LARGEST:
        return f"at most {LARGEST:.2g}, found {weight.largest:.2g}"
    smallest = weight.smallest
    if 0 < smallest < SMALLEST_NORMAL:
        return (
            f"0 or at least {SMALLEST_NORMAL:.2g}, below which float32 loses digits, "
            f"found {smallest:.2g}"
        )
    return ""
