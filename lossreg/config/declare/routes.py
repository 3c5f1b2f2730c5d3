"""Where a tensor comes from: a node to a `Route`."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lossreg.config.declare.fields import check_float32
from lossreg.config.declare.keys import as_meant
from lossreg.config.faults.faults import clipped, describe
from lossreg.config.faults.guesses import Guesses
from lossreg.config.grammar import ROUTE, Construct, Key
from lossreg.names import closest, closest_spelling
from lossreg.vocabulary.inputs import (
    DTYPES,
    REQUIRED,
    TRANSFORMS,
    Path,
    PathError,
    Route,
    Transform,
)

if TYPE_CHECKING:
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.read.nodes import Node, Span
    from lossreg.vocabulary.inputs import Argument

__all__ = ["read_path", "read_route"]

_WANTED = {
    "number": "a finite number",
    "divisor": "a finite number other than 0",
    "whole": "a whole number",
    "count": "a whole number of at least 1",
    "dim": "a dimension: a whole number",
    "dims": "a list of dimensions, no two alike",
    "pair": "a list of two dimensions",
    "dtype": f"one of {', '.join(DTYPES)}",
}
# What torch and other systems call the dtypes.
_FOREIGN_DTYPES = {
    "double": "float64",
    "float": "float32",
    "half": "float16",
    "int": "int32",
    "long": "int64",
}
_LARGEST_WHOLE = 2**31  # beyond it is no dimension, index or class


def read_path(node: Node, path: ConfigPath, faults: Faults) -> Path | None:
    """A path into a step's values."""
    if not isinstance(node.value, str):
        message = f"expected a path such as heads.seg.logits, found {describe(node.value)}"
        faults.add("LR206", path, message, node)
        return None
    try:
        return Path.parse(node.value)
    except PathError as error:
        faults.add("LR206", path, f"{error}, found {describe(node.value)}", node)
        return None


def read_route(
    node: Node, path: ConfigPath, faults: Faults, key: Span | None = None
) -> Route | None:
    """A path, or a mapping with `from` and `apply`.

    Args:
        node: The path or the mapping.
        path: Its place.
        faults: Takes what is wrong.
        key: Where its key is written, if it has one.
    """
    if type(node.value) is str and node.value.isidentifier():  # as most are
        return _named(node.value)
    if not isinstance(node.value, dict):
        found = read_path(node, path, faults)
        return None if found is None else Route(found)
    is_route = not ROUTE.keys.keys().isdisjoint(node.value)
    if not is_route and not Guesses.of(ROUTE, node).written:
        message = f"expected a path, or a mapping with 'from', found {describe(node.value)}"
        faults.add("LR206", path, message, node)
        return None
    node = as_meant(ROUTE, node, path, faults)
    source = None
    if "from" in node.value:
        source = read_path(node.value["from"], (path, "from"), faults)
    else:
        faults.add("LR102", path, "the key 'from', a path, is missing", key or node)
    transforms: tuple[Transform, ...] | None = ()
    if "apply" in node.value:
        transforms = _transforms(node.value["apply"], (path, "apply"), faults)
    if source is None or transforms is None:
        return None
    return Route(source, transforms)


@lru_cache(maxsize=1024)  # a few names come again and again
def _named(name: str) -> Route:
    return Route(Path((name,)))


def _transforms(node: Node, path: ConfigPath, faults: Faults) -> tuple[Transform, ...] | None:
    if isinstance(node.value, str | dict):
        only = _transform(node, path, faults)
        return None if only is None else (only,)
    if not isinstance(node.value, list):
        message = f"expected a list of transforms, found {describe(node.value)}"
        faults.add("LR101", path, message, node)
        return None
    read = [_transform(each, (path, index), faults) for index, each in enumerate(node.value)]
    found = tuple(each for each in read if each is not None)
    return found if len(found) == len(read) else None


def _transform(node: Node, path: ConfigPath, faults: Faults) -> Transform | None:
    value: Node | None = None
    if isinstance(node.value, str):
        name, at = node.value, node.span
    elif isinstance(node.value, dict) and len(node.value) == 1:
        ((name, value),) = node.value.items()
        at = node.keys[name]
    else:
        message = (
            "expected a transform: a name, or a mapping of one name to its arguments; "
            f"found {describe(node.value)}"
        )
        if isinstance(node.value, dict) and node.value:
            message += f" of {len(node.value)} keys; begin each transform with '- '"
        faults.add("LR210", path, message, node)
        return None
    if name not in TRANSFORMS:
        meant = closest_spelling(name, TRANSFORMS)
        hint = f"did you mean '{meant}'?" if meant else f"there are {', '.join(TRANSFORMS)}"
        faults.add("LR210", path, f"there is no transform '{clipped(name)}'; {hint}", at)
        return None
    return _with_arguments(name, value, path, at, faults)


def _with_arguments(
    name: str, value: Node | None, path: ConfigPath, at: Span, faults: Faults
) -> Transform | None:
    declared = TRANSFORMS[name]
    names = tuple(each.name for each in declared)
    given: dict[str, Node] = {}
    where = (path, name)
    if value is not None and value.value not in (None, {}) and not declared:
        message = f"'{name}' takes no argument, found {describe(value.value)}"
        faults.add("LR211", where, message, value)
        return None
    if value is not None and isinstance(value.value, dict):
        keys = (Key(argument.name, argument.kind, "") for argument in declared)
        value = as_meant(Construct(name, *keys), value, where, faults)
        given = {each: value.value[each] for each in names if each in value.value}
    elif value is not None and value.value is not None:
        given = {names[0]: value}
    bound: list[tuple[str, Any]] = []
    right = True
    for argument in declared:
        if argument.name in given:
            node = given[argument.name]
            found = _argument(argument, node, (where, argument.name), faults)
            right = right and (found is not None or argument.default is None is node.value)
            bound.append((argument.name, found))
        elif argument.default is REQUIRED:
            message = f"'{name}' needs '{argument.name}' ({_WANTED[argument.kind]})"
            faults.add("LR211", where, message, at)
            right = False
        else:
            bound.append((argument.name, argument.default))
    return Transform(name, tuple(bound)) if right else None


def _argument(argument: Argument, node: Node, path: ConfigPath, faults: Faults) -> Any:
    value = node.value
    if value is None and argument.default is None:
        return None
    kind = argument.kind
    if kind in ("dims", "pair") and isinstance(value, list):
        dims = tuple(each.value for each in value)
        different = len(set(map(str, dims)))
        fits = different == len(dims) if kind == "dims" else len(dims) == 2  # noqa: PLR2004
        if fits and all(map(_is_whole, dims)):
            return dims
        found = clipped(str([describe(each) for each in dims]).replace("'", ""))
        faults.add("LR211", path, f"expected {_WANTED[kind]}, found {found}", node)
        return None
    if (
        (kind in ("whole", "dim") and _is_whole(value))
        or (kind == "count" and _is_whole(value) and value >= 1)
        or (kind == "number" and _is_number(value))
        or (kind == "divisor" and _is_number(value) and value != 0)
        or (kind == "dtype" and value in DTYPES)
    ):
        is_number = kind in ("number", "divisor")
        return value if not is_number or check_float32(node, path, faults, "LR211") else None
    hint = f"; write {node.rewrite}" if node.rewrite and not node.rewrite.isalpha() else ""
    if kind == "dtype" and isinstance(value, str):
        name = value.removeprefix("torch.")
        meant = _FOREIGN_DTYPES.get(name) or closest(name, DTYPES)
        hint = f"; did you mean '{meant}'?" if meant else ""
    message = f"expected {_WANTED[kind]}, found {describe(value)}{hint}"
    faults.add("LR211", path, message, node)
    return None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST_WHOLE


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
