"""What each tensor of the step should hold, from the domains of the arguments that read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lossreg.testing.subject import place_of
from lossreg.testing.trial.readings import result_of
from lossreg.vocabulary.routes import Route

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from lossreg.plugin import LossDefinition, LossInput
    from lossreg.testing.trial.readings import Reading
    from lossreg.vocabulary.paths import ValuePath
    from lossreg.vocabulary.routes import Transform

__all__ = ["Wanted", "both", "by_path"]


class Wanted(NamedTuple):
    """The values that a tensor should hold.

    Attributes:
        kind: A domain of an input; or `mask`, `positive`, or `place` for places in a dimension.
        limit: Indices and places are below it, lengths at most it; None if it does not apply.
        least: Lengths are at least it.
        avoid: An index that none of them is, such as a blank.
        axis: The dimension over which probabilities add up to 1; None if they do not.
        classes: How many probabilities add up to 1.
        undo: Transforms that the values still go through, the last first, with their numbers.
        why_not: The transform for which no values are known; empty where they are.
    """

    kind: str = "real"
    limit: int | None = None
    least: int = 1
    avoid: int | None = None
    axis: int | None = None
    classes: int | None = None
    undo: tuple[tuple[str, float], ...] = ()
    why_not: str = ""


# The first fits where the others are asked for as well: class indices are real numbers, too.
_STRICTEST = (
    "class index list",
    "label sequence",
    "length",
    "class index",
    "place",
    "plus or minus one",
    "zero or one",
    "mask",
    "log-probability",
    "probability",
    "count",
    "positive",
    "non-negative",
    "real",
)
_SAME_VALUES = {
    *("detach", "transpose", "permute", "flatten", "squeeze", "unsqueeze", "select", "slice"),
    *("gather", "shift", "unbind", "cat", "stack", "class_dim", "cast", "clamp", "minimum"),
    *("maximum", "where", "amax", "amin", "listed", "appended", "detach_all"),
}
_MAKES_MASKS = {"eq", "ne", "lt", "le", "gt", "ge"}
_OF_MASKS = {"logical_and", "logical_or", "logical_not"}
_READS_NO_VALUE = {"ones_like", "zeros_like", "full_like", "arange_like", "constant"}
_READS_NO_VALUE |= {"class_probabilities", "number"}
_OF_POSITIVE = {"log", "sqrt", "pow"}
_ARITHMETIC = {"add", "sub", "mul", "div"}
# Transforms of any real number whose result is in these domains.
_GIVES = {
    "sigmoid": {"probability", "non-negative", "positive"},
    "softmax": {"probability", "non-negative", "positive"},
    "log_softmax": {"log-probability"},
    "exp": {"non-negative", "positive"},
    "softplus": {"non-negative", "positive"},
    "square": {"non-negative", "positive"},
    "abs": {"non-negative", "positive"},
    "relu": {"non-negative"},
}


def by_path(found: Sequence[Reading], values: Any) -> dict[ValuePath, Wanted]:
    """What is wanted at each path that is read for its values.

    Args:
        found: All readings.
        values: The step's values, or tensors of the same shapes and dtypes.
    """
    wanted: dict[ValuePath, Wanted] = {}
    calls: dict[tuple[int, int], list[Reading]] = {}
    for reading in found:
        calls.setdefault((id(reading.term), reading.element), []).append(reading)
    for reading in found:
        if reading.argument == "each":
            continue
        call = calls[id(reading.term), reading.element]
        whole = _of_argument(reading, call, values)
        for path, here in _at_paths(reading.route, whole, values):
            before = wanted.get(path)
            wanted[path] = here if before is None else both(before, here)
    return wanted


def both(first: Wanted, second: Wanted) -> Wanted:
    """The stricter of two wishes; of two limits, the lower one."""
    stricter, other = sorted((first, second), key=lambda one: _STRICTEST.index(one.kind))
    if stricter.kind == other.kind:
        limits = [one.limit for one in (stricter, other) if one.limit is not None]
        axis = other if stricter.axis is None else stricter
        why_not = stricter.why_not and other.why_not
        return stricter._replace(
            limit=min(limits, default=None),
            axis=axis.axis,
            classes=axis.classes,
            why_not=why_not,
        )
    return stricter


def _of_argument(reading: Reading, call: Sequence[Reading], values: Any) -> Wanted | None:
    """What an argument wants of its tensor; None if its values are not read.

    Args:
        reading: The argument's reading.
        call: All readings for the same call of its loss.
        values: As for `by_path`.
    """
    term, argument = reading.term, reading.argument
    if argument == "mask":
        return Wanted("mask")
    if argument in ("sample_weight", "weight"):
        return Wanted("positive")
    if argument == "divide_by":
        assert term.divide_by is not None  # noqa: S101 - it has a route
        return Wanted("positive") if term.divide_by.by == "number" else None
    beside = {
        other.argument: result_of(other.route, values)
        for other in call
        if other.argument in term.inputs
    }
    tensors = {name: tensor for name, tensor in beside.items() if tensor is not None}
    return _of_input(reading, tensors)


def _of_input(reading: Reading, tensors: Mapping[str, Tensor]) -> Wanted:
    definition, params = reading.term.definition, reading.term.params
    argument = definition.input(reading.argument)
    kind, tensor = str(argument.domain), tensors.get(argument.name)
    sizes: dict[str, int] = {}
    for entry in definition.inputs:
        if entry.name in tensors:
            letters = entry.letters_of(tensors[entry.name], definition.inputs[0])
            sizes |= dict(letters.sizes(tensors[entry.name].shape) or ())
    classes = sizes.get("C")
    is_float = tensor is None or tensor.is_floating_point()
    if kind == "class index or probability":
        kind = "probability" if is_float else "class index"
    elif kind == "probability or log-probability":
        kind = "log-probability" if getattr(params, "log_target", False) else "probability"
    if kind.startswith("class index") or kind == "label sequence":
        blank = getattr(params, "blank", None)
        return Wanted(kind, limit=classes, avoid=blank)
    if kind == "length":
        return _of_lengths(argument, definition, tensors)
    # Of a plain probability each entry is one of its own.
    add_up = argument.domain != "probability" and kind.endswith("probability")
    if add_up and tensor is not None and tensor.dim():
        letters = argument.letters_of(tensor, definition.inputs[0])
        axis = place_of("C", letters, tensor.shape)
        axis = tensor.dim() - 1 if axis is None else axis
        return Wanted(kind, axis=axis, classes=tensor.shape[axis])
    return Wanted(kind)


def _of_lengths(
    argument: LossInput, definition: LossDefinition, tensors: Mapping[str, Tensor]
) -> Wanted:
    """The lengths of label sequences, which fit the first input's steps; or those of its steps."""
    first = tensors.get(definition.inputs[0].name)
    steps = first.shape[0] if first is not None and first.dim() else 1
    stem = argument.name.removesuffix("_lengths").removesuffix("_length").rstrip("s")
    for entry in definition.inputs:
        tensor = tensors.get(entry.name)
        if entry.domain == "label sequence" and entry.name.rstrip("s") == stem:
            # A label that is repeated needs one step more.
            longest = (steps + 1) // 2
            if tensor is not None and tensor.dim():
                longest = min(longest, tensor.shape[-1])
            return Wanted("length", limit=longest)
    return Wanted("length", limit=steps, least=steps)


def _at_paths(
    route: Route, wanted: Wanted | None, values: Any
) -> Iterator[tuple[ValuePath, Wanted]]:
    """What is wanted at the path of a route, and at those in its transforms' arguments."""
    has_moved = bool(route.transforms)
    if wanted is not None and wanted.axis is not None and has_moved:
        wanted = wanted._replace(axis=None)  # found again by its size
    for index in reversed(range(len(route.transforms))):
        transform = route.transforms[index]
        before = Route(route.path, route.transforms[:index])
        for name, value in transform.arguments:
            if isinstance(value, Route):
                operand = _of_operand(transform, name, before, wanted, values)
                yield from _at_paths(value, operand, values)
        wanted = _before(transform, wanted)
    yield route.path, Wanted() if wanted is None else wanted


def _of_operand(
    transform: Transform, name: str, before: Route, wanted: Wanted | None, values: Any
) -> Wanted | None:
    if name in ("mask", "condition"):
        return Wanted("mask")
    if name == "index":
        tensor, dim = result_of(before, values), dict(transform.arguments)["dim"]
        fits = tensor is not None and -tensor.dim() <= dim < tensor.dim()
        return Wanted("place", limit=tensor.shape[dim] if tensor is not None and fits else None)
    if transform.name in _READS_NO_VALUE:
        return None
    if transform.name == "div":
        return Wanted("positive")
    if transform.name in ("mul", "add") and wanted is not None and wanted.kind == "positive":
        return wanted
    if transform.name in ("where", "appended"):
        return wanted
    return Wanted()


def _before(transform: Transform, wanted: Wanted | None) -> Wanted | None:
    """What is wanted before a transform, so that its result is as wanted."""
    name, arguments = transform.name, dict(transform.arguments)
    if name in _READS_NO_VALUE:
        return None
    if name in _MAKES_MASKS:
        return Wanted()
    if name in _OF_MASKS:
        return Wanted("mask")
    if name == "one_hot":
        return Wanted("class index", limit=arguments["classes"])
    if wanted is None or name in _SAME_VALUES:
        return wanted
    if name in _OF_POSITIVE:
        return Wanted("positive")
    return _before_numbers(name, arguments, wanted)


def _before_numbers(name: str, arguments: Mapping[str, Any], wanted: Wanted) -> Wanted:
    kind = wanted.kind
    if name == "sum" and kind == "positive":
        return Wanted("non-negative")
    number = arguments.get("by")
    if name in _ARITHMETIC and kind != "real":
        if isinstance(number, int | float) and number:
            return wanted._replace(undo=(*wanted.undo, (name, number)))
        if name in ("mul", "div", "add") and kind == "positive":
            return wanted
    is_known = kind == "real" or kind in _GIVES.get(name, ())
    return Wanted(why_not="" if is_known else name)
