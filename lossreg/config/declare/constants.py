"""Inputs that are a number: `{constant: 0.9}`, in the shape and dtype of the argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lossreg.config.declare.arguments import read_number_or_schedule
from lossreg.config.declare.keys import as_meant
from lossreg.config.faults.faults import clipped
from lossreg.config.grammar import CONSTANT
from lossreg.vocabulary.routes import Route, Transform, is_schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lossreg.config.declare.tree import Loss
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.read.nodes import Node, Span
    from lossreg.plugin import LossInput

__all__ = ["read_constant"]

# Of each domain: what a number in it is, and which numbers are. Of the others any number is.
_DOMAINS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "non-negative": ("of at least 0", lambda number: number >= 0),
    "count": ("of at least 0", lambda number: number >= 0),
    "probability": ("from 0 to 1", lambda number: 0 <= number <= 1),
    "log-probability": ("of at most 0", lambda number: number <= 0),
    "probability or log-probability": ("of at most 1", lambda number: number <= 1),
    "class index or probability": ("between 0 and 1", lambda number: 0 < number < 1),
    "plus or minus one": ("of 1 or -1", lambda number: abs(number) == 1),
    "zero or one": ("of 0 or 1", lambda number: number in (0, 1)),
}
_DISCRETE = ("plus or minus one", "zero or one")
_PROBABILITY = "class index or probability"


def read_constant(
    node: Node,
    argument: str,
    routes: Mapping[str, Route],
    path: ConfigPath,
    loss: Loss,
    faults: Faults,
    key: Span | None,
) -> Route | None:
    """The route of a constant: another argument's tensor, filled with the number.

    Args:
        node: The mapping.
        argument: The argument that it stands for.
        routes: The routes of the arguments that are not constants.
        path: Its place.
        loss: The loss that has the argument.
        faults: Takes the faults.
        key: Where its key is written, if it has one.
    """
    node = as_meant(CONSTANT, node, path, faults)
    written, place = node.value["constant"], (path, "constant")
    inputs = {entry.name: entry for entry in loss.definition.inputs}
    wanted = inputs[argument]
    refusal = _refusal(wanted)
    if refusal:
        faults.add("LR206", path, f"{refusal}; write a path", node)
        return None
    value = read_number_or_schedule(written, place, faults, key or node.span)
    if value is None or not _fits(value, wanted, written, place, faults):
        return None
    if wanted.holds == "number":
        return _filled(next(iter(routes.values())), "number", ("value", value))
    if wanted.domain == _PROBABILITY:
        first = routes[loss.definition.inputs[0].name]  # the only other tensor of such a loss
        return _filled(first, "class_probabilities", ("value", value))
    # Those that hold floating-point numbers first, because the constant has their dtype.
    for name in sorted(routes, key=lambda name: inputs[name].dtype != "float"):
        beside = inputs[name]
        if beside.shape == wanted.shape:
            return _filled(routes[name], "full_like", ("value", value))
        if _covers(beside, wanted):
            letters = ("beside", beside.letters), ("shape", wanted.letters)
            return _filled(routes[name], "constant", ("value", value), *letters)
    message = (
        f"expected another input that gives '{argument}' its shape, {wanted.letters}, and found "
        "none; write {from: ..., apply: [{full_like: ...}]}"
    )
    faults.add("LR206", path, message, node)
    return None


def _filled(route: Route, name: str, *arguments: tuple[str, Any]) -> Route:
    return Route(route.path, (*route.transforms, Transform(name, arguments)))


def _covers(beside: LossInput, wanted: LossInput) -> bool:
    """Whether every letter of one shape is in another one."""
    if len(beside.letters.forms) != 1 or len(wanted.letters.forms) != 1:
        return False
    return set(wanted.letters.forms[0]) <= set(beside.letters.forms[0])


def _refusal(wanted: LossInput) -> str:
    """Why an argument cannot be a constant."""
    if wanted.holds == "list":
        return f"'{wanted.name}' cannot be a constant: it is a list of tensors"
    if wanted.holds == "number":
        return ""
    if wanted.dtype == "int":
        return (
            f"'{wanted.name}' cannot be a constant: it is a different {wanted.domain} in each "
            "example"
        )
    if not wanted.letters.forms:
        return f"'{wanted.name}' cannot be a constant: its shape is not known"
    return ""


def _fits(value: Any, wanted: LossInput, node: Node, path: ConfigPath, faults: Faults) -> bool:
    """Whether a constant is in the domain of its argument at any time."""
    if is_schedule(value):
        if wanted.domain in _DISCRETE or wanted.domain == _PROBABILITY:
            message = f"expected a number, found a schedule: '{wanted.name}' is {wanted.domain}"
            faults.add("LR202", path, message, node)
            return False
        numbers = value.bounds()
    else:
        numbers = (value,)
    if wanted.holds == "number" and wanted.dtype == "int" and not isinstance(value, int):
        shown = "a schedule" if is_schedule(value) else clipped(str(value))
        faults.add("LR202", path, f"expected a whole number, found {shown}", node)
        return False
    words, is_in = _DOMAINS.get(wanted.domain, ("", lambda _: True))
    wrong = next((number for number in numbers if not is_in(number)), None)
    if wrong is None:
        return True
    message = f"expected a number {words} ({wanted.domain}), found {clipped(f'{wrong:g}')}"
    if wanted.domain == _PROBABILITY:
        message += (
            "; one probability stands for each class, so that they add up to 1, and a class index "
            "cannot be a constant"
        )
    faults.add("LR202", path, message, node)
    return False
