"""Checks parameters with their pydantic model, and turns its errors into faults."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from lossreg.config.declare.fields import check_float32, note_wrong_type
from lossreg.config.faults.faults import describe, holds_interpolation
from lossreg.config.faults.guesses import Guesses, missing_space
from lossreg.config.read.nodes import MOST_FAULTS, SourceError
from lossreg.names import closest, closest_spelling
from lossreg.plugin.choice import selections

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_core import ErrorDetails

    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.read.nodes import Node, Span

__all__ = ["names_of", "plain", "validated"]

ConfigT = TypeVar("ConfigT", bound=BaseModel)

_SCALARS: dict[str, type[bool | float]] = {
    "bool_type": bool,
    "float_type": float,
    "int_from_float": int,
    "int_type": int,
}
_WANTED = {
    "dict_type": "a mapping",
    "frozen_set_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "string_type": "a string",
    "tuple_type": "a list",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "of at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "of at most"),
}
_OF_LOSSREG = {"class_weights": "LR208", "misplaced": "LR209"}
_LENGTHS = {"too_long": ("max_length", "fewer"), "too_short": ("min_length", "more")}
# Names of parameters in Keras, in configs of other systems, and in older versions of torch.
_FOREIGN = {
    "class_weight": "weight",
    "class_weights": "weight",
    "from": "start",
    "from_logits": "log_input",
    "ignore_label": "ignore_index",
    "duration": "steps",
    "begin": "start",
    "epsilon": "eps",
    "final": "end",
    "initial": "start",
    "num_steps": "steps",
    "smoothing": "label_smoothing",
    "stop": "end",
    "to": "end",
    "total_steps": "steps",
    "value": "weight",
    "weights": "weight",
}
# Parameters of another loss that looks like the same one, by loss and name.
_DIFFERENT = {
    ("huber", "beta"): "it is smooth_l1's; with delta: b, it is b times 'smooth_l1' of beta: b",
    ("smooth_l1", "delta"): "it is huber's; 'smooth_l1' is 'huber' divided by its 'beta'",
}
_RETIRED = dict.fromkeys(
    ("reduce", "size_average"),
    "torch has retired it; write 'reduction: mean', 'sum' or 'none'",
)
# Names of reductions in other systems.
_FOREIGN_CHOICES = {
    "average": "mean",
    "avg": "mean",
    "elementwise_mean": "mean",
    "total": "sum",
}


def plain(node: Node) -> Any:
    """A node's value without its place."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(element) for element in node.value]
    return node.value


def validated(
    model: type[ConfigT],
    node: Node,
    *,
    owner: str,
    path: ConfigPath,
    faults: Faults,
    key: Span | None = None,
    elsewhere: Callable[[str], str | None] = lambda _: None,
    loss: str = "",
) -> ConfigT | None:
    """The model made from a mapping of parameters, or None after noting the faults.

    Args:
        model: The class that describes the parameters.
        node: The mapping.
        owner: The name of what has the parameters, for messages: `cross_entropy`.
        path: The mapping's place in the document.
        faults: Takes the faults.
        key: Where the mapping's key is written; a missing parameter is noted there.
        elsewhere: What to do with a name that belongs elsewhere; None for other names.
        loss: The loss that `lossreg show` shows the parameters with; by default, `owner`.
    """
    loss = loss or owner
    try:
        node, faulty = _as_values(model, node, owner, path, faults, loss)
        config, errors = _judged_by(model, node)
        if config is not None:
            return config if check_float32(node, path, faults) and not faulty else None
        unknown = _unknown(errors, model, node)
        if unknown:
            # Judge the parameters that were probably meant: one run finds all faults.
            node, dropped = _as_meant(unknown, model, node, owner, path, faults, elsewhere)
            node, more = _as_values(model, node, owner, path, faults, loss)
            faulty = [*faulty, *more, *([""] if dropped else ())]
            _, errors = _judged_by(model, node)
        if faulty:
            # A rule for the whole model cannot judge a part of it.
            errors = [error for error in errors if error["loc"] and error["loc"][0] not in faulty]
    except SourceError:
        raise
    except Exception as error:  # noqa: BLE001 - a third party's validator may raise anything
        message = f"validating the parameters of '{owner}' raised {type(error).__name__}"
        faults.add("LR301", path, message, node)
        return None
    for wrong in errors:
        if faults.interpolations and _is_beside_one(wrong, node):
            continue
        hint = _ways(model, wrong) if wrong["type"] == "missing" else ""
        _note(wrong, node, owner=owner, path=path, faults=faults, key=key, hint=hint, loss=loss)
    return None


def _is_beside_one(error: ErrorDetails, node: Node) -> bool:
    """Whether an error is inside a list with an interpolation, of whose kind nothing is known."""
    name, *inner = error["loc"] or [""]
    return bool(inner) and name in node.keys and holds_interpolation(node.value[str(name)])


def _as_values(
    model: type[BaseModel], node: Node, owner: str, path: ConfigPath, faults: Faults, loss: str
) -> tuple[Node, list[str]]:
    """The parameters with class weights as numbers and chosen components as values.

    Also gives the names of those that have a fault.
    """
    faulty: list[str] = []
    if any(isinstance(child.value, dict) for child in node.value.values()):
        # Imported late: few configs have class weights that are not a list.
        from lossreg.config.declare.class_weights import with_numbers

        node, faulty = with_numbers(model, node, owner, path, faults)
    if node.value and selections(model):
        from lossreg.config.declare.choices import with_chosen  # imported late: few have any

        node, more = with_chosen(model, node, path, faults, owner=owner, loss=loss)
        faulty = [*faulty, *more]
    return node, faulty


def _ways(model: type[BaseModel], error: ErrorDetails) -> str:
    """What to write for a missing parameter that is one of a few words."""
    field = model.model_fields.get(str(error["loc"][0])) if len(error["loc"]) == 1 else None
    if field is None or get_origin(field.annotation) is not Literal:
        return ""
    ways = " or ".join(f"'{error['loc'][0]}: {word}'" for word in get_args(field.annotation))
    return f"; write {ways}. {field.description}".rstrip(". ")


def _judged_by(model: type[ConfigT], node: Node) -> tuple[ConfigT | None, list[ErrorDetails]]:
    """The model made from a mapping of parameters, or pydantic's errors."""
    values = plain(node)
    try:
        return model(**values), []
    except ValidationError as error:
        return None, _errors(error, model, values)


def _unknown(errors: list[ErrorDetails], model: type[BaseModel], node: Node) -> list[str]:
    """The parameters in a mapping that a model does not have."""
    known = names_of(model)
    extra = [error["loc"] for error in errors if error["type"] == "extra_forbidden"]
    names = [str(step) for step, *_ in filter(None, extra)]
    # A plugin's validator may have renamed parameters before pydantic judged them.
    return [name for name in names if name in node.keys and name not in known]


def names_of(model: type[BaseModel]) -> list[str]:
    """The names of a model's parameters, as a config writes them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _as_meant(
    unknown: list[str],
    model: type[BaseModel],
    node: Node,
    owner: str,
    path: ConfigPath,
    faults: Faults,
    elsewhere: Callable[[str], str | None],
) -> tuple[Node, bool]:
    """The parameters as they were probably meant, after noting the unknown ones.

    Returns:
        The parameters that the model has, and whether unknown ones were left out.
    """
    known = names_of(model)
    astray = {
        name: hint
        for name in unknown
        if (
            hint := elsewhere(missing_space(name)[0])
            or _RETIRED.get(name)
            or _of_component(model, node, name)
            or _DIFFERENT.get((owner, missing_space(name)[0]))
        )
    }
    foreign = {
        name: _FOREIGN[name]
        for name, _ in map(missing_space, unknown)
        # A near spelling of a known parameter is preferred.
        if name in _FOREIGN and not closest_spelling(name, known)
    }
    guesses = Guesses(node, known, foreign, astray)
    what, otherwise = f"unknown parameter of '{owner}'", f"it has {', '.join(known) or 'none'}"
    guesses.note(unknown, path, faults, code="LR103", what=what, otherwise=otherwise)
    meant = guesses.applied(path, faults).copy()
    dropped = meant.keys.keys() & set(unknown)
    for name in dropped:
        del meant.value[name], meant.keys[name]
    return meant, bool(dropped)


def _of_component(model: type[BaseModel], node: Node, name: str) -> str | None:
    """What to do with an unknown parameter that belongs to a chosen component."""
    if not selections(model):
        return None
    from lossreg.config.declare.choices import belongs_to_component

    return belongs_to_component(model, node, name)


def _errors(
    error: ValidationError, model: type[BaseModel], values: dict[str, Any]
) -> list[ErrorDetails]:
    """pydantic's errors; if there are very many, those in the beginning of the values."""
    if error.error_count() > MOST_FAULTS:
        try:
            model(**_beginning(values))
        except ValidationError as fewer:
            error = fewer
    return error.errors(include_url=False, include_input=False)


def _beginning(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _beginning(value[key]) for key in islice(value, MOST_FAULTS + 1)}
    return value[: MOST_FAULTS + 1] if isinstance(value, list) else value


def _note(
    error: ErrorDetails,
    node: Node,
    *,
    owner: str,
    path: ConfigPath,
    faults: Faults,
    key: Span | None,
    hint: str,
    loss: str,
) -> None:
    # A rule for a whole list may say which element breaks it, in lists of lists by a tuple.
    index = error.get("ctx", {}).get("index", ())
    for step in (*error["loc"], *(index if isinstance(index, tuple) else (index,))):
        children = node.value
        if isinstance(children, dict) and isinstance(step, str) and step in children:
            key, node = node.keys[step], children[step]
        elif isinstance(children, list) and isinstance(step, int) and step < len(children):
            key, node = None, children[step]
        else:
            continue  # the name of a union's arm, or a key that is missing
        path = (path, step)
    kind, last = error["type"], error["loc"][-1] if error["loc"] else None
    if kind == "extra_forbidden":
        # From a model inside the parameters, or raised by the plugin itself.
        message = f"unknown parameter of '{owner}'; see `lossreg show {loss}`"
        faults.add("LR103", path, message, key or node)
    elif kind == "missing" and isinstance(last, int):
        # An element of a tuple of fixed length.
        message = f"expected a longer list, found one of {len(node.value)}"
        faults.add("LR202", path, message, node)
    elif kind == "missing" and last is not None:
        message = f"the parameter '{last}' of '{owner}' is missing{hint}"
        faults.add("LR102", path, message, key or node)
    elif kind == "float_type" and isinstance(node.value, int) and not isinstance(node.value, bool):
        # pydantic refuses an integer as a number only if it is larger than every float.
        faults.add("LR202", path, f"expected a finite number, found {describe(node.value)}", node)
    elif kind in _SCALARS and not _is_schedule(node):
        note_wrong_type(node, path, _SCALARS[kind], faults)
    else:
        try:
            code, message = _judged(error, node, owner, loss)
        except KeyError:  # a plugin's own error with the name of one of pydantic's
            code, message = "LR209", _not_taken(node, owner, loss)
        faults.add(code, path, message, node)


def _is_schedule(node: Node) -> bool:
    return isinstance(node.value, dict) and "schedule" in node.value


def _judged(error: ErrorDetails, node: Node, owner: str, loss: str) -> tuple[str, str]:
    """The code and the message for a value that is given, but wrong."""
    kind, context = error["type"], error.get("ctx", {})
    found = f"found {describe(node.value)}"
    if kind in (*_SCALARS, "list_type") and _is_schedule(node):
        message = (
            "expected a value, found a schedule: it can stand in a weight, in a transform's number "
            "or in a constant, and not in a parameter"
        )
        return "LR201", message
    if kind in _WANTED:
        is_number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        hint = f"; write [{describe(node.value)}]" if kind == "list_type" and is_number else ""
        return "LR201", f"expected {_WANTED[kind]}, {found}{hint}"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        limit = context[bound]
        shown = f"{limit:g}" if isinstance(limit, float) else str(limit)
        return "LR202", f"expected a number {words} {shown}, {found}"
    if kind in _LENGTHS:
        limit, words = _LENGTHS[kind]
        expected = f"expected a list of {context[limit]} or {words}"
        return "LR202", f"{expected}, found one of {context['actual_length']}"
    if kind == "finite_number":
        return "LR202", f"expected a finite number, {found}"
    if kind == "literal_error":
        expected = context["expected"]
        choices = expected.replace(" or ", ", ").replace("'", "").split(", ")
        foreign = _FOREIGN_CHOICES.get(node.value) if isinstance(node.value, str) else None
        meant = foreign if foreign in choices else closest(node.value, choices)
        hint = f"; did you mean '{meant}'?" if meant else ""
        return "LR203", f"expected {expected}, {found}{hint}"
    if kind == "choice":
        return "LR203", f"{error['msg']}, {found}"
    if kind in _OF_LOSSREG:
        return _OF_LOSSREG[kind], error["msg"][:300]
    if kind in ("value_error", "assertion_error"):
        # The message of a plugin's own validator, after pydantic's "Value error, ".
        words = error["msg"].partition(", ")[2] or error["msg"]
        return "LR209", f"{words[:300]} ({found})"
    return "LR209", _not_taken(node, owner, loss)


def _not_taken(node: Node, owner: str, loss: str) -> str:
    found = f"found {describe(node.value)}"
    return f"expected a value that '{owner}' accepts, {found}; see `lossreg show {loss}`"
