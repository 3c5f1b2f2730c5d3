"""The words to type for a config: its paths, and shapes in the letters of the definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lossreg.plugin.fields import holds_weights
from lossreg.runtime.checks import CLASS_DIM
from lossreg.testing.trial.readings import readings
from lossreg.vocabulary.routes import Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lossreg.config.models import TermConfig
    from lossreg.testing.trial.readings import Reading
    from lossreg.vocabulary.paths import ValuePath
    from lossreg.vocabulary.routes import Transform

__all__ = ["wanted_words"]

_UNKNOWN = ("*",)
_SAME_SHAPE = {
    *("detach", "add", "sub", "mul", "div", "pow", "minimum", "maximum", "clamp", "where"),
    *("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_not"),
    *("exp", "log", "sqrt", "square", "abs", "relu", "softplus", "sigmoid", "softmax"),
    *("log_softmax", "normalize", "shift", "cast", "ones_like", "zeros_like", "full_like"),
    *("listed", "appended", "detach_all"),
}


def wanted_words(terms: Iterable[TermConfig], values: Any) -> dict[ValuePath, str]:
    """Each path that the terms read, with a shape and a dtype to begin with.

    Args:
        terms: The terms; optional ones are included.
        values: The step's values, which say how many elements lists have.
    """
    guesses: dict[ValuePath, tuple[tuple[str, ...], str]] = {}
    for term in terms:
        found = readings(term, values)
        for reading in found:
            if reading.argument == "each":
                continue
            letters, dtype = _of_argument(reading)
            for read, shape, kind in _at_paths(reading.route, letters, dtype):
                path = _from_the_start(read)
                before, earlier = guesses.get(path, ((), ""))
                # The shape that says most counts, and a dtype that is not the default.
                guesses[path] = max(before, shape, key=len), earlier or kind
    # The elements of a list follow each other.
    roots = list(dict.fromkeys(path.steps[0] for path in guesses))
    in_order = sorted(guesses, key=lambda path: (roots.index(path.steps[0]), _places(path)))
    return {path: " ".join((*guesses[path][0], guesses[path][1])).strip() for path in in_order}


def _places(path: ValuePath) -> list[int]:
    return [step for step in path.steps if isinstance(step, int)]


def _from_the_start(path: ValuePath) -> ValuePath:
    """A path without places that count from the end of a list."""
    steps = (max(step, 0) if isinstance(step, int) else step for step in path.steps)
    return path._replace(steps=tuple(steps))


def _of_argument(reading: Reading) -> tuple[tuple[str, ...], str]:
    term, argument = reading.term, reading.argument
    definition = term.definition
    unreduced = _first(definition.unreduced_letters.forms)
    if argument == "mask":
        return _chosen(unreduced, term.mask), "bool"
    if argument == "sample_weight":
        return _chosen(unreduced, term.sample_weight), ""
    if argument == "weight":
        return (), ""
    if argument == "divide_by":
        is_number = term.divide_by is not None and term.divide_by.by == "number"
        return (() if is_number else _UNKNOWN), ""
    entry = definition.input(argument)
    if entry.holds == "number":
        return (), "int64" if entry.dtype == "int" else ""
    letters = _first(entry.letters.forms)
    counts = [
        len(value)
        for name, field in definition.config.model_fields.items()
        if holds_weights(field) and isinstance(value := getattr(term.params, name), tuple | list)
    ]
    if counts:
        letters = tuple(str(counts[0]) if letter == "C" else letter for letter in letters)
    is_index = entry.dtype == "int" or entry.domain == "class index or probability"
    return letters, "int64" if is_index else ""


def _first(forms: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    return forms[0] if forms else _UNKNOWN


def _chosen(letters: tuple[str, ...], route: Route | None) -> tuple[str, ...]:
    dims = None if route is None else route.dims
    if dims is None:
        return letters
    if "*" in letters:
        return tuple(f"D{dim}" for dim in dims)
    return tuple(letters[dim] for dim in dims)


def _at_paths(
    route: Route, letters: tuple[str, ...], dtype: str
) -> Iterator[tuple[ValuePath, tuple[str, ...], str]]:
    for transform in reversed(route.transforms):
        for name, value in transform.arguments:
            if isinstance(value, Route):
                kind = {"mask": "bool", "condition": "bool", "index": "int64"}.get(name, "")
                shape = _UNKNOWN if transform.name == "gather" else letters
                yield from _at_paths(value, shape, kind)
        letters, dtype = _before(transform, letters, dtype)
    yield route.path, letters, dtype


def _before(
    transform: Transform, letters: tuple[str, ...], dtype: str
) -> tuple[tuple[str, ...], str]:
    """The shape and dtype of a tensor before a transform, as far as they follow from the result."""
    name, arguments = transform.name, dict(transform.arguments)
    if name in ("eq", "ne", "lt", "le", "gt", "ge", "ones_like", "zeros_like", "full_like", "cast"):
        dtype = ""
    if name in ("logical_and", "logical_or", "logical_not"):
        dtype = "bool"
    if name == "one_hot":
        dtype = "int64"
    if name in _SAME_SHAPE:
        return letters, dtype
    order = _order_before(name, arguments, len(letters))
    if order is not None:
        return tuple(letters[place] for place in order), dtype
    if name == "select" and 0 <= arguments["dim"] <= len(letters):
        return (*letters[: arguments["dim"]], "L", *letters[arguments["dim"] :]), dtype
    return _UNKNOWN, "" if name == "arange_like" else dtype


def _order_before(name: str, arguments: Mapping[str, Any], size: int) -> list[int] | None:
    """Which dimensions of a result its tensor has, in order; None where that is not known."""
    places = list(range(size))
    dim = arguments.get("dim")
    if name == "class_dim":
        if not arguments["floats_only"] and size > CLASS_DIM:
            moved = places.pop(CLASS_DIM)
            places.insert(arguments["dim"] % size, moved)
        return places
    if name == "transpose" and max(map(abs, arguments["dims"])) < size:
        first, second = arguments["dims"]
        places[first], places[second] = places[second], places[first]
        return places
    if name == "permute" and sorted(arguments["dims"]) == places:
        return [arguments["dims"].index(place) for place in places]
    if name in ("unsqueeze", "one_hot") and isinstance(dim, int) and -size <= dim < size:
        del places[dim]
        return places
    return None
