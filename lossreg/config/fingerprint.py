"""What an objective is, in words and as a fingerprint: a state compares its own with others.

Only what differs from a default counts, so that a key or a parameter that a later release adds
changes no fingerprint. Order, `checks`, `on_nonfinite` and disabled terms do not count: they change
no total.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, TypeAlias

from lossreg.config.models import Divisor, Each, TermConfig, Weight
from lossreg.plugin.choice import Chosen
from lossreg.vocabulary.arguments import REQUIRED
from lossreg.vocabulary.paths import ValuePath
from lossreg.vocabulary.routes import Route, is_schedule
from lossreg.vocabulary.transforms import definition_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

    from lossreg.config.models import CompositeConfig
    from lossreg.vocabulary.routes import Transform
    from lossreg.vocabulary.schedules import Schedule

__all__ = [
    "Words",
    "differences",
    "fingerprint",
    "in_text",
    "in_words",
    "is_comparable",
    "set_fields",
]

Words: TypeAlias = "dict[str, dict[str, str]]"
"""By term, what it declares that is not a default: each key with its value as text."""

_ALGORITHM = "1"
_LENGTH = 16  # hexadecimal digits
# The routes of the inputs say what `detach` declares.
_ASIDE = (
    "name",
    "type",
    "definition",
    "params",
    "weight",
    "inputs",
    "detach",
    "active",
    "enabled",
    "origin",
)
_DEFAULTS = {
    name: default for name, default in TermConfig._field_defaults.items() if name not in _ASIDE
}
_LONGEST = 60  # characters of a value in a message


def fingerprint(words: Words) -> str:
    """The number of the algorithm, a colon, and a hash of the words."""
    text = json.dumps(words, sort_keys=True, ensure_ascii=True)
    return f"{_ALGORITHM}:{hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]}"


def is_comparable(other: str) -> bool:
    """Whether another release's fingerprint was made by the same algorithm."""
    return other.partition(":")[0] == _ALGORITHM


def in_words(config: CompositeConfig) -> Words:
    """What an objective declares.

    >>> import lossreg
    >>> seg = {"type": "mse", "weight": 0.5, "inputs": ["p", "target"]}
    >>> in_words(lossreg.load_config({"terms": {"seg": seg}}))
    {'seg': {'type': 'mse', 'weight': '0.5', 'inputs.input': 'p'}}
    """
    return {term.name: _term(term) for term in config.terms if term.enabled}


def differences(saved: Mapping[str, Mapping[str, str]], now: Words) -> list[str]:
    """In which words two objectives differ, one sentence a difference."""
    found = []
    for name in dict.fromkeys((*saved, *now)):
        if name not in now:
            found.append(f"there was a term '{name}'")
        elif name not in saved:
            found.append(f"there was no term '{name}'")
        else:
            before, after = saved[name], now[name]
            found += [
                f"'{key}' of '{name}' was {_shown(before.get(key))}, is {_shown(after.get(key))}"
                for key in dict.fromkeys((*before, *after))
                if before.get(key) != after.get(key)
            ]
    return found


def _shown(text: str | None) -> str:
    if text is None:
        return "the default"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _term(term: TermConfig) -> dict[str, str]:
    words = {"type": term.definition.name}
    weight = _weight(term.weight)
    if weight != "1":
        words["weight"] = weight
    for argument, route in term.inputs.items():
        text = _route(route)
        if text != argument:
            words[f"inputs.{argument}"] = text
    for key, default in _DEFAULTS.items():
        value = getattr(term, key)
        if value is not default:
            words[key] = in_text(value)
    times = sorted(str(active) for active in term.active if not active.is_always)
    if times:
        words["active"] = " and ".join(times)
    words.update({f"params.{name}": text for name, text in set_fields(term.params).items()})
    return words


def _weight(weight: Weight) -> str:
    if weight.learned is not None:
        return str(weight.learned)
    factors = [*map(_schedule, weight.schedules)]
    factors += [f"from({_route(route)})" for route in weight.routes]
    factor = in_text(weight.factor)
    # Sorted, because a product has no order.
    return " * ".join([factor] * (factor != "1" or not factors) + sorted(factors))


def _schedule(schedule: Schedule) -> str:
    fields = set_fields(schedule).items()
    return f"{schedule.name}({', '.join(f'{name}={text}' for name, text in fields)})"


def set_fields(model: BaseModel) -> dict[str, str]:
    """The fields of a model whose values are not their defaults, as text."""
    texts = {}
    for name, field in type(model).model_fields.items():
        text = in_text(getattr(model, name))
        if field.is_required() or text != in_text(field.get_default(call_default_factory=True)):
            texts[name] = text
    return texts


def _route(route: Route) -> str:
    text = " | ".join([str(route.path), *map(_transform, route.transforms)])
    if route.dims is not None:
        text = f"{text} at {in_text(route.dims)}"
    return f"{text} with a gradient" if route.gradient else text


def _transform(transform: Transform) -> str:
    defaults = {
        argument.name: argument.default for argument in definition_of(transform.name).arguments
    }
    given = [
        f"{name}={in_text(value)}"
        for name, value in transform.arguments
        if defaults[name] is REQUIRED or value != defaults[name]
    ]
    return f"{transform.name}({', '.join(given)})" if given else transform.name


def _divisor(divisor: Divisor) -> str:
    return divisor.in_words("" if divisor.route is None else _route(divisor.route))


def _each(each: Each) -> str:
    words = {
        name: list(value) if name == "weights" else value
        for name, value in each._asdict().items()
        # Where the group's paths start stands in the routes.
        if name != "origin" and value != Each._field_defaults.get(name)
    }
    return in_text(words)


def _chosen(chosen: Chosen) -> str:
    """A chosen component, with its parameters that are not their defaults."""
    fields = ", ".join(f"{name}={text}" for name, text in set_fields(chosen.params).items())
    return f"{chosen.name}({fields})" if fields else chosen.name


_OF_THE_LANGUAGE: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (Chosen, _chosen),
    (Divisor, _divisor),
    (Each, _each),
    (Route, _route),
    (ValuePath, str),
)


def in_text(value: Any) -> str:
    """A value as text: the same for 2 and 2.0, and for a tensor and a list of its numbers."""
    for kind, in_words in _OF_THE_LANGUAGE:
        if isinstance(value, kind):
            return in_words(value)
    if is_schedule(value):
        return _schedule(value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int | float):
        return repr(value).removesuffix(".0")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(in_text, value))}]"
    if isinstance(value, set | frozenset):
        return f"[{', '.join(sorted(map(in_text, value)))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{in_text(k)}: {in_text(v)}' for k, v in value.items()))}}}"
    return str(value)
