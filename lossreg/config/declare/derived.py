"""`derive`: names for routes that several terms use, written out where a path begins with one."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from lossreg.config.declare.fields import is_mapping
from lossreg.config.declare.routes import read_route
from lossreg.config.faults.faults import clipped
from lossreg.config.read.nodes import Node
from lossreg.names import closest
from lossreg.vocabulary.paths import PathError, ValuePath
from lossreg.vocabulary.routes import Route, Transform
from lossreg.vocabulary.transforms import TRANSFORMS, definition_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lossreg.config.declare.tree import Declared
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.models import TermConfig

__all__ = ["Derived", "read_derived"]

# Names that read others more than once multiply: forty lines would write out a million million.
# Each guess compares a name with all that are known.
_MOST_KNOWN = 1_000
_MOST_TRANSFORMS, _MOST_GUESSED = 50, 20
_WITH_PATHS = ("inputs", "mask", "sample_weight", "divide_by", "weight")
_DETACH = Transform("detach")


def read_derived(node: Node, path: ConfigPath, faults: Faults) -> dict[str, Route] | None:
    """The routes by name, as they are written; None after noting a fault.

    Args:
        node: A mapping of names to routes.
        path: Its place.
        faults: Takes the faults.
    """
    wanted = "routes by name, such as 'ratio: {from: logp, apply: [{sub: old_logp}, exp]}'"
    if not is_mapping(node, path, faults, wanted=wanted):
        return None
    routes: dict[str, Route] = {}
    for name, child in node.value.items():
        route = read_route(child, (path, name), faults, node.keys[name])
        if not _is_one_key(name):
            message = "a derived name is one key of a path: it has no dots, brackets or blanks"
            faults.add("LR216", (path, name), message, node.keys[name])
        elif route is not None:
            routes[name] = route
    if len(routes) < len(node.value):
        return None
    is_fine = _check_order(routes, node, path, faults)
    return routes if is_fine and _check_deeper(node, path, routes, faults) else None


def _is_one_key(name: str) -> bool:
    try:
        return ValuePath.parse(name).steps == (name,)
    except PathError:
        return False


def _reads(route: Route, names: Mapping[str, object]) -> list[str]:
    """The derived names that a route reads, once for each time."""
    first = (path.steps[0] for path in route.paths)
    return [name for name in first if isinstance(name, str) and name in names]


def _in_order(routes: Mapping[str, Route]) -> list[str]:
    """The names, each after those that it reads; without those that a cycle keeps back."""
    waiting = {name: set(_reads(route, routes)) for name, route in routes.items()}
    readers: dict[str, list[str]] = {}
    for name, read in waiting.items():
        for other in read:
            readers.setdefault(other, []).append(name)
    ordered = [name for name, read in waiting.items() if not read]
    for name in ordered:  # which grows
        for reader in readers.get(name, ()):
            waiting[reader].discard(name)
            if not waiting[reader]:
                ordered.append(reader)
    return ordered


def _check_order(routes: Mapping[str, Route], node: Node, path: ConfigPath, faults: Faults) -> bool:
    """Whether no name reads itself, and none is too long; if not, note it."""
    ordered = _in_order(routes)
    is_fine = len(ordered) == len(routes)
    if not is_fine:
        _note_cycles(routes, set(ordered), node, path, faults)
    lengths: dict[str, int] = {}
    for name in ordered:
        route = routes[name]
        read = [lengths[other] for other in _reads(route, routes)]
        # Beyond the limit no sum is needed, and it is noted where it begins.
        most = max(read, default=0)
        lengths[name] = most if most > _MOST_TRANSFORMS else 1 + _length(route) + sum(read)
        if lengths[name] > _MOST_TRANSFORMS >= most:
            is_fine = False
            message = (
                "written out, with the names that it reads, it would have more than "
                f"{_MOST_TRANSFORMS} transforms and names; compute a part of it before the loss"
            )
            faults.add("LR216", (path, name), message, node.keys[name])
    return is_fine


def _length(route: Route) -> int:
    arguments = [value for transform in route.transforms for _, value in transform.arguments]
    operands = sum(_length(value) for value in arguments if isinstance(value, Route))
    return len(route.transforms) + operands


def _note_cycles(
    routes: Mapping[str, Route], fine: set[str], node: Node, path: ConfigPath, faults: Faults
) -> None:
    seen = set(fine)
    for start in routes:
        walked: dict[str, None] = {}
        name = start
        while name not in seen and name not in walked:
            walked[name] = None
            name = next(other for other in _reads(routes[name], routes) if other not in fine)
        if name in walked:
            cycle = list(walked)[list(walked).index(name) :]
            chain = clipped(" -> ".join([*cycle, name]))
            message = f"'{clipped(name)}' is derived from itself: {chain}; write the path of a "
            message += "tensor that the step has, which has another name"
            faults.add("LR216", (path, name), message, node.keys[name])
        seen.update(walked)


def _check_deeper(node: Node, path: ConfigPath, names: Mapping[str, Route], faults: Faults) -> bool:
    """Whether every derived name in a value is a whole path, to a tensor; if not, note it.

    Args:
        node: The value, whose strings are paths or words of the language.
        path: Its place.
        names: The derived routes.
        faults: Takes the faults.
    """
    if isinstance(node.value, str):
        return _is_whole(node, path, names, faults)
    is_fine = True
    for step, child in _children(node):
        is_fine &= _check_deeper(child, (path, step), names, faults)
    if isinstance(node.value, dict) and "from" in node.value and "apply" in node.value:
        is_fine &= _takes_a_tensor(node, path, names, faults)
    return is_fine


def _children(node: Node) -> Iterable[tuple[str | int, Node]]:
    if isinstance(node.value, dict):
        return node.value.items()
    return enumerate(node.value) if isinstance(node.value, list) else ()


def _is_whole(node: Node, path: ConfigPath, names: Mapping[str, Route], faults: Faults) -> bool:
    try:
        name, *deeper = ValuePath.parse(node.value).steps
    except PathError:
        return True
    if name not in names or not deeper:
        return True
    message = f"'{clipped(str(name))}' is derived, so it is a tensor without keys and indexes"
    if isinstance(deeper[0], int):
        message += f"; derive {{from: {clipped(str(name))}, apply: [{{select: "
        message += f"{{index: {deeper[0]}, dim: 0}}}}]}} under a name of its own"
    else:
        message += f"; write '{clipped(str(name))}', or give the derived route another name"
    faults.add("LR216", path, message, node)
    return False


def _takes_a_tensor(
    node: Node, path: ConfigPath, names: Mapping[str, Route], faults: Faults
) -> bool:
    """Whether what follows a derived name takes a tensor, and not a list."""
    name, first = node.value["from"].value, node.value["apply"]
    base = names.get(name) if isinstance(name, str) else None
    if base is None or not base.transforms:
        return True
    if isinstance(first.value, list) and first.value:
        first = first.value[0]
    if isinstance(first.value, dict) and first.value:
        first = Node(next(iter(first.value)), *first.span)
    word = first.value if isinstance(first.value, str) else ""
    if word not in TRANSFORMS or TRANSFORMS[word].takes == "tensor":
        return True
    message = f"'{clipped(name)}' is a tensor, and '{word}' takes a list of tensors; write the "
    message += "list's path instead"
    faults.add("LR216", (path, "apply"), message, first)
    return False


class Derived:
    """Derived routes, which take the places of their names.

    Args:
        composite: The objective whose `derive` has been read.
        frozen: Paths that no gradient goes through; a derived name may be one.
        stopped: Detaches what a route reads of the other ones.

    Attributes:
        routes: The routes by name, without derived names in them.
    """

    def __init__(
        self,
        composite: Declared,
        frozen: Iterable[ValuePath],
        stopped: Callable[[Route], Route],
    ) -> None:
        self._composite = composite
        self._written: Mapping[str, Route] = composite.get("derive")
        self._used: set[str] = set()
        names = {path.steps for path in frozen}
        self.routes: dict[str, Route] = {}
        for name in _in_order(self._written):
            route = self._written_out(self._written[name], lambda path: path)
            if (name,) in names:
                route = route._replace(transforms=(*route.transforms, _DETACH))
            # Once here, and not where each term reads it.
            self.routes[name] = stopped(route)

    def placed(self, route: Route, located: Callable[[ValuePath], ValuePath]) -> Route:
        """A term's route, with derived routes in the places of their names.

        Args:
            route: The route.
            located: The new path of each other path.
        """
        self._used.update(_reads(route, self.routes))
        return self._written_out(route, located)

    def _written_out(self, route: Route, located: Callable[[ValuePath], ValuePath]) -> Route:
        moved = route.with_operands(lambda operand: self._written_out(operand, located))
        name = route.path.steps[0]
        base = self.routes.get(name) if isinstance(name, str) else None
        if base is None:
            return moved._replace(path=located(route.path))
        return moved._replace(path=base.path, transforms=(*base.transforms, *moved.transforms))

    def check(self, declared: Declared, faults: Faults) -> None:
        """Note paths of a term, or of a group, that go deeper than a derived name."""
        for key in _WITH_PATHS:
            if key in declared.node.value:
                node, place = declared.node.value[key], (declared.path, key)
                _check_deeper(node, place, self._written, faults)
        origin = declared.values.get("from")
        if origin is not None and origin.steps[0] in self.routes:
            message = (
                f"'{clipped(str(origin.steps[0]))}' is derived, so it is a tensor, and no path "
                "starts there"
            )
            faults.add("LR216", (declared.path, "from"), message, declared.node.value["from"])

    def check_lists(self, declared: Declared, term: TermConfig, faults: Faults) -> None:
        """Note an argument that is a list, and reads a derived name, which is a tensor."""
        for argument in term.definition.inputs:
            route = term.inputs.get(argument.name)
            if argument.holds != "list" or route is None or not route.transforms:
                continue
            if definition_of(route.transforms[-1].name).returns == "list":
                continue
            message = f"'{argument.name}' is a list of tensors, and a derived name is a tensor; "
            message += "write [name], or the path of a list"
            place = (declared.path, "inputs")
            faults.add("LR216", (place, argument.name), message, declared.place("inputs"))

    def check_used(self, others: Iterable[ValuePath], faults: Faults) -> None:
        """Note names that no term reads: a misspelt one would do nothing.

        Args:
            others: What the terms read.
            faults: Takes the faults.
        """
        for name in reversed(_in_order(self._written)):
            if name in self._used:
                self._used.update(_reads(self._written[name], self.routes))
        read = list(islice(dict.fromkeys(str(path.steps[0]) for path in others), _MOST_KNOWN))
        unread = [name for name in self._written if name not in self._used]
        place, node = (self._composite.path, "derive"), self._composite.node.value["derive"]
        for number, name in enumerate(unread):
            meant = closest(name, read) if number < _MOST_GUESSED else None
            hint = f"did you mean '{clipped(meant)}', which a term reads?" if meant else ""
            message = f"no term reads '{clipped(name)}'; {hint or 'correct it or remove it'}"
            faults.add("LR216", (place, name), message, node.keys[name])
