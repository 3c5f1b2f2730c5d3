"""Finds objectives, and terms outside them, anywhere in a document."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from lossreg.config.faults.guesses import Guesses
from lossreg.config.grammar import COMPOSITE, TERM
from lossreg.errors import LossregError, UnknownLossError
from lossreg.names import closest
from lossreg.registry import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lossreg.config.faults.faults import ConfigPath
    from lossreg.config.read.nodes import Node, Span
    from lossreg.registry import Registry

__all__ = ["Located", "Search"]

_MOST_GUESSES = 1_000  # in one document: each takes up to a millisecond


class Located(NamedTuple):
    """A value and its place in a document.

    Attributes:
        node: The value.
        path: Its place.
        key: Where its key is written, if it has one.
    """

    node: Node
    path: ConfigPath
    key: Span | None


class Search:
    """Looks through one document.

    Args:
        registry: The installed losses.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._guesses_left = _MOST_GUESSES

    def objectives(self, root: Node, known: Sequence[Located] = ()) -> list[Located]:
        """Every objective except the known ones, in the order of the document."""
        objectives = list(known)
        seen = {id(objective.node) for objective in objectives}
        is_whole = any(objective.node is root for objective in known)
        open_values = [] if is_whole else [Located(root, "", None)]
        while open_values:
            place = open_values.pop()
            if id(place.node) in seen:
                continue  # an alias of a value that was already searched
            if isinstance(place.node.value, dict | list):
                seen.add(id(place.node))
            if place.path and self._is_objective(place.node):
                objectives.append(place)
            else:
                open_values.extend(reversed(_children(place)))
        used = _Used(objectives)
        return [
            objective for objective in objectives[len(known) :] if not used.as_group(objective.node)
        ]

    def holds_objective(self, node: Node) -> bool:
        """Whether a value is or contains an objective."""
        return self._is_objective(node) or bool(self.objectives(node))

    def may_be_task(self, name: object) -> bool:
        """Whether a value is the name of a task, or nearly one."""
        tasks = self._registry.of(TASKS)
        return isinstance(name, str) and (name in tasks or closest(name, tasks) is not None)

    def lone_terms(self, root: Node, objectives: Sequence[Located]) -> Iterator[Located]:
        """Terms, and mappings of only terms, that are outside every objective.

        Args:
            root: The document.
            objectives: Its objectives. If there are any, only the values beside an objective, or
                beside a value around one, are searched; otherwise the whole document.
        """
        used = _Used(objectives, () if root.document is None else root.document.dropped)
        whole = Located(root, "", None)
        open_values = _beside(root, objectives) if objectives else _children(whole)
        open_values.reverse()
        while open_values:
            place = open_values.pop()
            if self._is_lone(place.node, used):
                yield place
            elif not objectives:
                open_values.extend(reversed(_children(place)))

    def _is_lone(self, node: Node, used: _Used) -> bool:
        if not isinstance(node.value, dict) or used.as_term(node):
            return False
        if self._is_term(node, exactly=True):
            return True
        terms = node.value.values()
        return bool(terms) and all(self._is_term(t) and not used.as_term(t) for t in terms)

    def _is_objective(self, node: Node) -> bool:
        values = node.value
        if not isinstance(values, dict):
            return False
        if "terms" in values:
            return self._holds_terms(values["terms"])
        others = [name for name in values if name not in COMPOSITE.keys]
        if len(others) != 1 or not any(map(self._is_term_or_group, _values(values[others[0]]))):
            return False
        return "terms" in Guesses.of(COMPOSITE, node).written

    def _holds_terms(self, node: Node) -> bool:
        terms = _values(node)
        # Even unknown types are taken for losses if every value has one.
        all_have_types = bool(terms) and all(isinstance(_type(term), str) for term in terms)
        return all_have_types or any(map(self._is_term_or_group, terms))

    def _is_term_or_group(self, node: Node) -> bool:
        values = node.value
        if isinstance(values, dict) and "terms" in values:
            return self._holds_terms(values["terms"])
        return self._is_term(node)

    def _is_term(self, node: Node, *, exactly: bool = False) -> bool:
        """Whether a mapping has a loss's name as its type, and another key of a term.

        Args:
            node: The mapping.
            exactly: Whether both must be spelt correctly.
        """
        kind = _type(node)
        if not exactly and kind is None and isinstance(node.value, dict) and self._may_guess():
            written = Guesses.of(TERM, node).written.get("type")
            kind = None if written is None else node.value[written].value
        if not isinstance(kind, str) or not self._names_loss(kind, exactly=exactly):
            return False
        if any(key in node.value for key in TERM.keys if key != "type"):
            return True
        return self._may_guess() and bool(Guesses(node, TERM.names).written)

    def _names_loss(self, name: str, *, exactly: bool) -> bool:
        if self._registry.claimants(name.rpartition(":")[2]):
            return True
        if exactly or not self._may_guess():
            return False
        try:
            self._registry.origin(name)
        except UnknownLossError as error:
            return error.suggestion is not None
        except LossregError:
            return True
        return True

    def _may_guess(self) -> bool:
        self._guesses_left -= 1
        return self._guesses_left >= 0


class _Used:
    """The values of a document that objectives use, also through an alias or a merge.

    Args:
        objectives: The objectives.
        dropped: Values that are in no objective only because their key has a fault.
    """

    def __init__(self, objectives: Sequence[Located], dropped: Sequence[Node] = ()) -> None:
        self._objectives = objectives
        self._dropped = dropped

    def as_group(self, node: Node) -> bool:
        """Whether the terms of a mapping are a group's in an objective."""
        return id(node.value.get("terms")) in self._groups

    def as_term(self, node: Node) -> bool:
        """Whether a mapping is in an objective, as a term or merged into one."""
        return isinstance(node.value, dict) and id(node.value.get("type")) in self._terms

    @cached_property
    def _terms(self) -> set[int]:
        whole = [objective.node for objective in self._objectives]
        return {id(inner) for node in (*whole, *self._dropped) for inner in _inside(node)}

    @cached_property
    def _groups(self) -> set[int]:
        children = [child for objective in self._objectives for child in _values(objective.node)]
        return {id(inner) for child in children for inner in _inside(child)}


def _values(node: Node) -> list[Node]:
    if isinstance(node.value, dict):
        return list(node.value.values())
    return list(node.value) if isinstance(node.value, list) else []


def _type(node: Node) -> object:
    kind = node.value.get("type") if isinstance(node.value, dict) else None
    return None if kind is None else kind.value


def _inside(node: Node) -> Iterator[Node]:
    """Every node inside a node, except itself."""
    nodes = _values(node)
    while nodes:
        inner = nodes.pop()
        yield inner
        nodes.extend(_values(inner))


def _children(place: Located) -> list[Located]:
    path, node = place.path, place.node
    if isinstance(node.value, dict):
        return [Located(child, (path, name), node.keys[name]) for name, child in node.value.items()]
    return [Located(child, (path, index), None) for index, child in enumerate(_values(node))]


def _beside(root: Node, objectives: Sequence[Located]) -> list[Located]:
    """The other values of each mapping around an objective, in the order of the document."""
    around: dict[int, Located] = {}
    inside: dict[int, set[str | int]] = {}
    for objective in objectives:
        place = Located(root, "", None)
        for step in _steps(objective.path):
            around.setdefault(id(place.node), place)
            inside.setdefault(id(place.node), set()).add(step)
            place = Located(place.node.value[step], (place.path, step), None)
    return [
        Located(node, (place.path, name), place.node.keys[name])
        for place in around.values()
        if isinstance(place.node.value, dict)
        for name, node in place.node.value.items()
        if name not in inside[id(place.node)]
    ]


def _steps(path: ConfigPath) -> list[str | int]:
    if isinstance(path, str):
        return [path] if path else []
    return [*_steps(path[0]), path[1]]
