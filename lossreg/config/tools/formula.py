"""An objective as a formula: its total, and in words what its terms are made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from lossreg.config.fingerprint import in_text, in_words, set_fields
from lossreg.config.grammar import EACH, GROUP, TERM
from lossreg.config.tools.divisors import divisors
from lossreg.config.tools.expressions import (
    Call,
    Condition,
    Infix,
    Items,
    Name,
    Number,
    Repeated,
    as_text,
    number,
    product,
    word,
)
from lossreg.config.tools.symbols import TIMES, Symbols
from lossreg.vocabulary.routes import Route
from lossreg.vocabulary.transforms import row_mixers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lossreg.config.declare.tree import Declared
    from lossreg.config.loading import Examined
    from lossreg.config.models import Active, CompositeConfig, Divisor, Each, TermConfig, Weight
    from lossreg.config.tools.expressions import Expression

__all__ = ["Detail", "Objective", "Term", "objectives"]

Detail: TypeAlias = "str | dict[str, str]"

_LONGEST = 40  # characters of a parameter in the total
_SHAPED = ("full_like", "constant")  # what `{constant: 0.9}` becomes


class Term(NamedTuple):
    """One term.

    Attributes:
        name: Its name, with those of its groups.
        summands: What it adds to the total, each with its sign.
        details: By key of the language, what it declares, in words.
    """

    name: str
    summands: tuple[tuple[str, Expression], ...]
    details: Mapping[str, Detail]


class Objective(NamedTuple):
    """An objective.

    Attributes:
        name: Its name in a map of objectives; empty if it is the only one.
        terms: Its terms that are enabled.
        where: What the names in the formula stand for: an expression, or a phrase.
        frozen: Paths that no gradient goes through.
        disabled: The names of the terms that are not built.
    """

    name: str
    terms: tuple[Term, ...]
    where: tuple[tuple[Name, Expression | str], ...]
    frozen: tuple[str, ...]
    disabled: tuple[str, ...]


def objectives(examined: Examined) -> list[Objective]:
    """The objectives of a document without a fault, in its order."""
    configs: Mapping[str, CompositeConfig] = examined.by_name
    if examined.loss is not None:
        configs = {"": examined.loss}
    return [_objective(name, config, examined.declared[name]) for name, config in configs.items()]


def _objective(name: str, config: CompositeConfig, declared: Declared) -> Objective:
    enabled = [term for term in config.terms if term.enabled]
    symbols = Symbols(config.derive, enabled)
    weights, words = dict(_weights(declared, (), "")), in_words(config)
    terms = []
    for term in enabled:
        details = _details(term, symbols, weights[term.name])
        # A key that has no words here is shown as a fingerprint has it, not left out.
        details.update(
            (key, text)
            for key, text in words[term.name].items()
            if key.partition(".")[0] not in details
        )
        terms.append(Term(term.name, _summands(term, symbols), details))
    return Objective(
        name,
        tuple(terms),
        tuple(symbols.meanings()),
        tuple(map(str, config.frozen)),
        tuple(term.name for term in config.terms if not term.enabled),
    )


_Own: TypeAlias = "tuple[tuple[str, Weight], ...]"


def _weights(declared: Declared, around: _Own, prefix: str) -> Iterator[tuple[str, _Own]]:
    """For each term by its whole name, the weights that groups around it and itself declare."""
    for child in declared.get("terms"):
        weight = child.values.get("weight")
        own = around if weight is None else (*around, (prefix + child.name, weight))
        if child.construct is GROUP:
            yield from _weights(child, own, f"{prefix}{child.name}/")
        else:
            yield prefix + child.name, own


def _summands(term: TermConfig, symbols: Symbols) -> tuple[tuple[str, Expression], ...]:
    raw = _raw(term, symbols)
    conditions = tuple(part for active in term.active for part in _conditions(active))
    factors: list[Expression] = [Condition(conditions)] if conditions else []
    learned = term.weight.learned
    if learned is not None:
        s = symbols.learned(term.name)
        share = [] if learned.share == 1 else [number(learned.share)]
        beside = product([*factors, *share, s])
        weight = Call("exp", (s._replace(text=f"-{s.text}"),))
        return ("+", product([*factors, *share, weight, raw])), ("+", beside)
    factors += [number(active.factor) for active in term.active if active.factor != 1]
    factors += _factors(term.weight._replace(factor=abs(term.weight.factor)), symbols)
    if factors[-1:] == [Number("1")]:
        del factors[-1]
    sign = "-" if term.weight.factor < 0 else "+"
    return ((sign, product([*factors, raw])),)


def _factors(weight: Weight, symbols: Symbols) -> list[Expression]:
    """What a weight that is not learned multiplies."""
    factors: list[Expression] = [symbols.schedule(schedule) for schedule in weight.schedules]
    factors += [symbols.route(route) for route in weight.routes]
    if weight.factor != 1 or not factors:
        factors.insert(0, number(weight.factor))
    return factors


def _conditions(active: Active) -> Iterator[Expression]:
    time = Name(TIMES[active.unit][0], is_symbol=True)
    if active.start:
        yield Infix(time, "≥", number(active.start))
    if active.stop is not None:
        yield Infix(time, "<", number(active.stop))
    if active.every != 1:
        since = Infix(time, "-", number(active.start)) if active.start else time
        yield Infix(Infix(since, "mod", number(active.every)), "=", Number("0"))


def _raw(term: TermConfig, symbols: Symbols) -> Expression:
    """A term's raw value, for all elements of `each`."""
    options = tuple(
        # The details have the whole value.
        (name, word(text) if len(text) <= _LONGEST else Name("…"))
        for name, text in set_fields(term.params).items()
    )
    inputs = tuple(_input(name, term, symbols)[0] for name in term.inputs)
    raw: Expression = Call(term.type, inputs, options)
    if term.each is None:
        return raw
    if term.each.weights is not None:
        raw = Infix(symbols.element_weights(term.each.weights), "·", raw)
    return Repeated(term.each.combine, _lists(term.each, symbols), raw)


def _input(name: str, term: TermConfig, symbols: Symbols) -> tuple[Expression, str]:
    """The expression of an input; and of a constant, the input that gives it its shape."""
    route = term.inputs[name]
    if route.transforms and route.transforms[-1].name in _SHAPED:
        base = route._replace(transforms=route.transforms[:-1])
        beside = [other for other, wanted in term.inputs.items() if wanted == base]
        if beside:
            return symbols.value(dict(route.transforms[-1].arguments)["value"]), beside[0]
    return symbols.route(route), ""


def _lists(each: Each, symbols: Symbols) -> tuple[tuple[str, Expression], ...]:
    return tuple(
        (symbols.path(name).text, _list(name, source, each, symbols))
        for name, source in each.over.items()
    )


def _list(name: str, source: Route | tuple[Route, ...], each: Each, symbols: Symbols) -> Expression:
    """Where the elements are from: `maps[:][2::3]` is each third, of lists in the list maps."""
    if isinstance(source, Route):
        taken = symbols.route(source)
    else:
        taken = Items(tuple(map(symbols.route, source)))
    ends = "[:]" * (each.nested - 1)
    if each.pick is not None and name in each.pick:
        ends += _part(each.pick[name])
    elif ends:
        ends += "[:]"
    return Name(as_text(taken) + ends) if ends else taken


def _part(pick: tuple[int | None, int | None, int]) -> str:
    """The part of a list that is taken, as Python writes it: `[2::3]`."""
    first, last = ("" if place is None else place for place in pick[:2])
    return f"[{first}:{last}{'' if pick[2] == 1 else f':{pick[2]}'}]"


def _details(term: TermConfig, symbols: Symbols, weights: _Own) -> dict[str, Detail]:
    details: dict[str, Detail] = {
        "weight": _weight_in_words(term, symbols, weights),
        "type": term.type,
        "params": set_fields(term.params),
        "inputs": {
            name: as_text(expression) + (f", in the shape of {beside}" if beside else "")
            for name in term.inputs
            for expression, beside in (_input(name, term, symbols),)
        },
        "class_dim": str(term.class_dim) if term.class_dim != 1 else "",
        "detach": _detached(term),
        "mask": _entries(term.mask, symbols),
        "sample_weight": _entries(term.sample_weight, symbols),
        "ignore": "" if term.ignore is None else f"where the target is {in_text(term.ignore)}",
        "divide_by": _divisor(term, symbols),
        "each": {} if term.each is None else _each(term.each, symbols),
        "active": " and ".join(_active(active) for active in term.active if not active.is_always),
        "optional": "a batch without its tensors is fine" if term.optional else "",
        "mixes rows": _mixed(term),
    }
    return {key: detail for key, detail in details.items() if detail}


def _weight_in_words(term: TermConfig, symbols: Symbols, weights: _Own) -> str:
    if term.weight.learned is not None:
        s = as_text(symbols.learned(term.name))
        share = "" if term.weight.learned.share == 1 else "half of "
        return f"learned: {share}exp(-{s}), and the total has {share}{s} as well"
    text = as_text(product(_factors(term.weight, symbols)))
    is_turned = term.weight.factor * math.prod(weight.factor for _, weight in weights) < 0
    if weights and weights[0][0] != term.name:
        contributions = [*_contributions(term, symbols, weights), *["-1 (maximize)"] * is_turned]
        text += f" = {' · '.join(contributions)}"
    elif is_turned:
        text += " (maximize)"
    return text + ", so it is outside the graph" * term.weight.is_zero


def _contributions(term: TermConfig, symbols: Symbols, weights: _Own) -> Iterator[str]:
    """What each group, and the term, multiplies."""
    routes = list(term.weight.routes)
    for name, weight in weights:
        # The whole weight has the routes as they are looked up.
        own = weight._replace(routes=tuple(routes[: len(weight.routes)]))
        del routes[: len(weight.routes)]
        yield f"{as_text(product(_factors(own, symbols)))} ({name})"


def _detached(term: TermConfig) -> str:
    if term.detach is None:
        return ""
    return ", ".join(term.detach) or "nothing: a gradient of the target is meant"


def _entries(route: Route | None, symbols: Symbols) -> str:
    """A mask or a sample weight."""
    if route is None:
        return ""
    text = as_text(symbols.route(route))
    if route.dims is not None:
        text += f", at the dimensions {in_text(route.dims)} of the unreduced loss"
    return text + ", through which a gradient goes" * route.gradient


def _divisor(term: TermConfig, symbols: Symbols) -> str:
    if term.divide_by is not None:
        return _declared_divisor(term.divide_by, symbols)
    own = divisors(term.definition).get(term.reduction, "")
    if term.reduction == "sum":
        return "nothing, it is a sum"
    keep = [key for key in ("mask", "ignore") if getattr(term, key) is not None]
    kept = f", of what {' and '.join(keep)} leave{'s' * (len(keep) == 1)}" if keep else ""
    return f"the {term.reduction}'s own{kept}: {own}" if own else ""


def _declared_divisor(divisor: Divisor, symbols: Symbols) -> str:
    form, route = divisor.by, ""
    if divisor.route is not None:
        form, route = f"{{{divisor.by}: path}}", as_text(symbols.route(divisor.route))
    words = TERM.keys["divide_by"].means[form].replace("{path}", route)
    if divisor.counts_rows:
        words += f"; {TERM.keys['within_row'].means[divisor.within_row]}"
    return f"{divisor.by}: {words}"


def _each(each: Each, symbols: Symbols) -> dict[str, str]:
    lists = (f"{name} in {as_text(source)}" for name, source in _lists(each, symbols))
    words = {
        "over": ", ".join(lists),
        "combine": f"{each.combine}: {EACH.keys['combine'].means[each.combine]}",
    }
    if each.pick is not None:
        words["pick"] = ", ".join(f"{name}{_part(pick)}" for name, pick in each.pick.items())
    if each.weights is not None:
        words["weights"] = as_text(symbols.element_weights(each.weights))
    return words


def _active(active: Active) -> str:
    unit = active.unit
    parts = [f"from {unit} {active.start}"] if active.start else []
    parts += [f"before {unit} {active.stop}"] if active.stop is not None else []
    if active.every != 1:
        weighted = f", with {active.factor} times its weight" * (active.factor != 1)
        parts.append(f"in training every {active.every} {unit}s{weighted}")
    return ", ".join(parts)


def _mixed(term: TermConfig) -> str:
    routes = (*term.inputs.values(), term.mask, term.sample_weight)
    mixers = dict.fromkeys(
        name for route in routes if route is not None for name in row_mixers(route)
    )
    return f"{', '.join(mixers)}; so a batch in parts is another objective" if mixers else ""
