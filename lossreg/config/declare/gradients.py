"""Where gradients stop: `detach` of terms and groups, and `frozen` of a whole objective."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.config.declare.routes import read_path
from lossreg.config.faults.faults import clipped, describe
from lossreg.config.grammar import GROUP
from lossreg.names import closest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from lossreg.config.declare.tree import Declared, Loss
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.read.nodes import Node
    from lossreg.vocabulary.paths import ValuePath

    T = TypeVar("T")

__all__ = ["check_detached", "check_detached_of_group", "read_names", "read_paths"]


def read_names(node: Node, path: ConfigPath, faults: Faults) -> tuple[str, ...] | None:
    """A list of names of arguments; which ones there are depends on the loss."""
    return _read_list(node, path, faults, "arguments of the loss", "[target]", _read_name)


def read_paths(node: Node, path: ConfigPath, faults: Faults) -> tuple[ValuePath, ...] | None:
    """A list of paths."""
    return _read_list(node, path, faults, "paths", "[teacher]", read_path)


def _read_list(
    node: Node,
    path: ConfigPath,
    faults: Faults,
    wanted: str,
    example: str,
    read: Callable[[Node, ConfigPath, Faults], T | None],
) -> tuple[T, ...] | None:
    if not isinstance(node.value, list):
        written = node.value if isinstance(node.value, str) and node.value.isidentifier() else ""
        hint = f"write [{clipped(written)}]" if written else f"such as {example}"
        message = f"expected a list of {wanted}, found {describe(node.value)}; {hint}"
        faults.add("LR101", path, message, node)
        return None
    elements: dict[T, None] = {}
    is_fine = True
    for index, child in enumerate(node.value):
        element = read(child, (path, index), faults)
        if element is None:
            is_fine = False
        elif element in elements:
            message = f"'{clipped(str(element))}' stands in the list twice; remove one"
            faults.add("LR202", (path, index), message, child)
            is_fine = False
        else:
            elements[element] = None
    return tuple(elements) if is_fine else None


def _read_name(node: Node, path: ConfigPath, faults: Faults) -> str | None:
    if isinstance(node.value, str):
        return node.value
    message = f"expected the name of an argument of the loss, found {describe(node.value)}"
    faults.add("LR201", path, message, node)
    return None


def check_detached(term: Declared, loss: Loss, faults: Faults) -> None:
    """Note names under a term's `detach` that are not arguments of its loss."""
    bound = term.values.get("inputs") or loss.required
    numbers = [entry.name for entry in loss.definition.inputs if entry.holds == "number"]
    for index, name in enumerate(term.values.get("detach") or ()):
        if name in numbers:
            message = f"'{name}' is a number, so it has no gradient to stop; remove it here"
            _note(term, index, message, faults)
            continue
        if name in bound:
            continue
        if name in loss.arguments:
            if term.node.value.get("inputs") is not None and not term.values.get("inputs"):
                continue  # which inputs there are is not known
            message = f"'{name}' is not among the term's inputs, so it has no gradient to stop"
            hint = "write it under 'inputs', or remove it here"
            _note(term, index, f"{message}; {hint}", faults)
            continue
        if name in ("mask", "sample_weight"):
            hint = "no gradient goes through masks and sample weights"
        else:
            hint = _guess(name, loss.arguments)
        message = f"'{loss.definition.name}' has no argument '{clipped(name)}'; {hint}"
        _note(term, index, message, faults)


def _note(term: Declared, index: int, message: str, faults: Faults) -> None:
    place = (term.path, "detach")
    faults.add("LR106", (place, index), message, term.node.value["detach"].value[index])
    term.is_complete = False


def check_detached_of_group(group: Declared, faults: Faults) -> None:
    """Note names under a group's `detach` that no term of it has as an argument."""
    names = group.values.get("detach")
    if not names:
        return
    arguments = _arguments(group)
    for index, name in enumerate(names):
        if arguments is None or name in arguments:
            continue
        message = (
            f"no loss of the group's terms has an argument '{clipped(name)}'; "
            f"{_guess(name, arguments)}"
        )
        place = (group.path, "detach")
        faults.add("LR106", (place, index), message, group.node.value["detach"].value[index])
        group.is_complete = False


def _arguments(group: Declared) -> list[str] | None:
    """The arguments of the losses of a group's terms; None if a loss is not known."""
    arguments: dict[str, None] = {}
    for term in group.get("terms") or (None,):
        inner = None
        if term is not None and term.construct is GROUP:
            inner = _arguments(term)
        elif term is not None and term.loss is not None:
            inner = term.loss.arguments
        if inner is None:
            return None
        arguments.update(dict.fromkeys(inner))
    return list(arguments)


def _guess(name: str, arguments: list[str]) -> str:
    meant = closest(name, arguments)
    return f"did you mean '{meant}'?" if meant else f"expected one of {', '.join(arguments)}"
