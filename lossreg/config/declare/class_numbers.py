"""The numbers of class weights: a list, or by name in the order of the classes."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from lossreg.config.declare.fields import check_float32, read_number
from lossreg.config.faults.faults import clipped, describe
from lossreg.config.read.nodes import Node
from lossreg.names import closest
from lossreg.vocabulary.class_weights import MOST_COUNTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.read.nodes import Span
    from lossreg.plugin.fields import Weights
    from lossreg.vocabulary.class_weights import Method

__all__ = ["BY_NAME", "Numbers", "Target"]

BY_NAME = (
    "numbers by name need the order of the classes, as in {classes: [cat, dog], values: {cat: 1.0, "
    "dog: 3.0}}"
)
"""What to write for numbers by name."""

_MOST_GUESSED = 50
_MOST_LISTED = 3


class Target(NamedTuple):
    """The parameter whose class weights are read.

    Attributes:
        owner: The loss's name.
        name: The parameter's name.
        weights: What its field says of its numbers.
        node: The mapping as it is written.
        path: Its place.
        key: Where the parameter's name is written.
    """

    owner: str
    name: str
    weights: Weights
    node: Node
    path: ConfigPath
    key: Span


class Numbers:
    """Reads the numbers that class weights are made of.

    Args:
        target: The parameter.
        classes: The names of the classes in their order, if they are given.
        method: How the numbers, which are counts, become weights; None if they are weights.
        arguments: The method's arguments.

    Attributes:
        method: The method.
    """

    def __init__(
        self,
        target: Target,
        classes: list[str] | None,
        method: Method | None,
        arguments: Mapping[str, Any],
    ) -> None:
        self._target = target
        self._classes = classes
        self.method = method
        self._arguments = arguments

    def read(self, node: Node, path: ConfigPath, faults: Faults) -> Node | None:
        """The weights in the order of the classes, at the mapping's place; None after a fault.

        Args:
            node: A list, a mapping by class, or one number.
            path: Its place.
            faults: Takes the faults.
        """
        read = self._any_form(node, path, faults)
        if read is None:
            return None
        if self.method is not None:
            counts = list(_flat(read))
            weights = self.method.compute(counts, self._arguments) if counts else []
            read = _filled(read, iter(weights))
        return Node(read.value, *self._target.node.span)

    def _any_form(self, node: Node, path: ConfigPath, faults: Faults) -> Node | None:
        value = node.value
        if isinstance(value, dict):
            children = self._by_class(node, path, faults)
            return None if children is None else self._list(node, children, faults)
        any_shape = self._target.weights.any_shape and self._classes is None
        if isinstance(value, list):
            if self._classes is not None and len(value) != len(self._classes):
                wanted = f"{len(self._classes)} numbers, one for each of 'classes'"
                faults.add("LR218", path, f"expected {wanted}, found {len(value)}", node)
                return None
            children = [((path, place), child) for place, child in enumerate(value)]
            return self._list(node, children, faults, nested=any_shape)
        if any_shape:
            return self._number(node, path, faults)
        message = f"expected a list, or numbers by class, found {describe(value)}"
        faults.add("LR201", path, message, node)
        return None

    def _list(
        self,
        node: Node,
        children: Sequence[tuple[ConfigPath, Node]],
        faults: Faults,
        *,
        nested: bool = False,
    ) -> Node | None:
        read = [
            self._any_form(child, path, faults)
            if nested and isinstance(child.value, list)
            else self._number(child, path, faults)
            for path, child in children
        ]
        return None if None in read else Node(read, *node.span)

    def _by_class(
        self, node: Node, path: ConfigPath, faults: Faults
    ) -> list[tuple[ConfigPath, Node]] | None:
        """The numbers of a mapping in the order of the classes."""
        classes = self._classes
        if classes is None:
            message = f"the key 'classes' is missing: {BY_NAME}"
            faults.add("LR102", self._target.path, message, self._target.key)
            return None
        known = set(classes)
        strays = [name for name in node.value if name not in known]
        missing = [name for name in classes if name not in node.value]
        for name in strays:
            meant = closest(name, missing) if len(missing) <= _MOST_GUESSED else None
            hint = f"did you mean '{clipped(meant)}'?" if meant else f"there is {_listed(classes)}"
            message = f"'{clipped(name)}' is not one of 'classes'; {hint}"
            faults.add("LR218", (path, name), message, node.keys[name])
            if meant is not None:
                missing.remove(meant)
        if missing:
            lack = "this class has" if len(missing) == 1 else "these classes have"
            message = f"expected a number for each of 'classes'; {lack} none: {_listed(missing)}"
            faults.add("LR218", path, message, node)
        # Where a name was guessed, no class is left without a number.
        if strays or missing:
            return None
        return [((path, name), node.value[name]) for name in classes]

    def _number(self, node: Node, path: ConfigPath, faults: Faults) -> Node | None:
        number = (
            _weight(node, path, faults)
            if self.method is None
            else _count(node, path, faults, self.method, self._arguments)
        )
        return None if number is None else Node(number, *node.span)


def _weight(node: Node, path: ConfigPath, faults: Faults) -> float | None:
    number = read_number(node, path, faults)
    if number is None or not check_float32(node, path, faults):
        return None
    if number < 0:
        faults.add("LR208", path, "expected no negative number", node)
        return None
    return number


def _count(
    node: Node, path: ConfigPath, faults: Faults, method: Method, arguments: Mapping[str, Any]
) -> int | None:
    count = node.value
    if isinstance(count, bool) or not isinstance(count, int):
        message = f"expected a count, which is a whole number, found {describe(count)}"
        faults.add("LR201", path, message, node)
    elif not 0 <= count <= MOST_COUNTED:
        message = f"expected a count from 1 to {MOST_COUNTED}, found {describe(count)}"
        faults.add("LR202", path, message, node)
    elif refusal := method.refusal(count, arguments):
        faults.add("LR218", path, f"expected another count than {count}: {refusal}", node)
    else:
        return count
    return None


def _flat(node: Node) -> Iterator[int]:
    if not isinstance(node.value, list):
        yield node.value
        return
    for child in node.value:
        yield from _flat(child)


def _filled(node: Node, numbers: Iterator[float]) -> Node:
    """A node of the same form with other numbers."""
    if not isinstance(node.value, list):
        return Node(next(numbers), *node.span)
    return Node([_filled(child, numbers) for child in node.value], *node.span)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(clipped(name) for name in islice(names, _MOST_LISTED))
    return shown + (", …" if len(names) > _MOST_LISTED else "")
