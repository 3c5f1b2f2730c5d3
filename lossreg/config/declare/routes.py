"""Reads a node as a `Route`: where a tensor comes from."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from lossreg.config.declare.fields import read_bool, read_whole_number
from lossreg.config.declare.keys import as_meant
from lossreg.config.faults.faults import clipped, describe, is_interpolation
from lossreg.config.faults.guesses import Guesses
from lossreg.config.grammar import ROUTE
from lossreg.config.read.nodes import Node
from lossreg.names import closest_spelling
from lossreg.vocabulary.paths import PathError, ValuePath
from lossreg.vocabulary.routes import Route

if TYPE_CHECKING:
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.grammar import Construct
    from lossreg.config.read.nodes import Span
    from lossreg.vocabulary.routes import Transform

__all__ = ["read_dim", "read_path", "read_route"]

_MOST_DIMS = 64  # of a tensor of torch

# Not `/` and `-`, which many keys have.
_LIKE_AN_EXPRESSION = re.compile(r"[()~!&|*+=<>^]")
_KINDS = {"tensor": "tensor", "list": "list of tensors"}


def read_path(node: Node, path: ConfigPath, faults: Faults) -> ValuePath | None:
    """A path into a step's values."""
    if not isinstance(node.value, str) or is_interpolation(node.value):
        message = f"expected a path such as heads.seg.logits, found {describe(node.value)}"
        if isinstance(node.value, list) and len(node.value) == 1:
            index = node.value[0].value
            if isinstance(index, int) and not isinstance(index, bool):
                message += f"; an index of the values themselves is in quotes: '[{index}]'"
        faults.add("LR206", path, message, node)
        return None
    try:
        value_path = ValuePath.parse(node.value)
    except PathError as error:
        message = f"{error}, found {describe(node.value)}"
        blank = next((char for char in node.value if char.isspace() and not char.isascii()), None)
        if blank is not None:
            name = unicodedata.name(blank, "blank").lower()
            message += f"; it has a {name} (U+{ord(blank):04X}), remove it"
        faults.add("LR206", path, message, node)
        return None
    if _LIKE_AN_EXPRESSION.search(node.value):
        message = f"this is the name of a value, nothing in it is computed{_computed(node.value)}"
        faults.add("LR906", path, message, node, severity="warning")
    return value_path


def _computed(expression: str) -> str:
    """What to write for an expression that was probably meant, if it is certain."""
    from lossreg.vocabulary.transforms import TRANSFORMS

    match = re.fullmatch(r"([~!]|\w+\()([\w.\[\]-]+)\)?", expression)
    if match is None:
        return "; transforms compute, as in {from: x, apply: [exp]}"
    name = "logical_not" if match[1] in ("~", "!") else match[1][:-1]
    if name not in TRANSFORMS:
        return "; transforms compute, as in {from: x, apply: [exp]}"
    return f"; write {{from: {clipped(match[2])}, apply: [{name}]}}"


def read_route(
    node: Node,
    path: ConfigPath,
    faults: Faults,
    key: Span | None = None,
    construct: Construct = ROUTE,
    gives: str = "tensor",
) -> Route | None:
    """A path, or a mapping with `from` and `apply`.

    Args:
        node: The path or the mapping.
        path: Its place.
        faults: Takes the faults.
        key: Where its key is written, if it has one.
        construct: The kind of mapping; some have `dims` and `gradient` as well.
        gives: What its transforms have to give: a tensor, or a list of tensors.
    """
    if type(node.value) is str and node.value.isidentifier():  # the common case
        return _named(node.value)
    if not isinstance(node.value, dict):
        source = read_path(node, path, faults)
        return None if source is None else Route(source)
    is_route = not construct.keys.keys().isdisjoint(node.value)
    if not is_route and not Guesses.of(construct, node).written:
        message = f"expected a path, or a mapping with 'from', found {describe(node.value)}"
        if "constant" in node.value:
            message = "only an input of a loss can be a constant; expected a path"
        faults.add("LR206", path, message, node)
        return None
    node = as_meant(construct, node, path, faults)
    source = None
    if "from" in node.value:
        source = read_path(node.value["from"], (path, "from"), faults)
    else:
        faults.add("LR102", path, "the key 'from', a path, is missing", key or node)
    transforms: tuple[Transform, ...] | None = ()
    if "apply" in node.value:
        transforms = _transforms(node.value["apply"], (path, "apply"), faults, gives)
    if source is None or transforms is None:
        return None
    route = Route(source, transforms)
    return route if construct is ROUTE else _of_entries(route, node, path, faults)


def _of_entries(route: Route, node: Node, path: ConfigPath, faults: Faults) -> Route | None:
    """The route of a mask or a sample weight, with the keys that only these have."""
    dims: tuple[int, ...] | None = None
    if "dims" in node.value:
        dims = _dims(node.value["dims"], (path, "dims"), faults)
        if dims is None:
            return None
    gradient: bool | None = False
    if "gradient" in node.value:
        gradient = read_bool(node.value["gradient"], (path, "gradient"), faults)
    if gradient is None:
        return None
    if gradient and any(transform.name == "detach" for transform in route.transforms):
        message = "'gradient: true' and the transform 'detach' contradict each other; remove one"
        faults.add("LR215", (path, "gradient"), message, node.keys["gradient"])
        return None
    return route._replace(dims=dims, gradient=gradient)


def read_dim(node: Node, path: ConfigPath, faults: Faults) -> int | None:
    """A dimension of a tensor; a negative one counts from the end."""
    return read_whole_number(node, path, faults, least=-_MOST_DIMS, most=_MOST_DIMS - 1)


def _dims(node: Node, path: ConfigPath, faults: Faults) -> tuple[int, ...] | None:
    if not isinstance(node.value, list):
        is_number = isinstance(node.value, int) and not isinstance(node.value, bool)
        hint = f"; write [{node.value}]" if is_number else ", such as [0, 2, 3]"
        message = f"expected a list of dimensions, found {describe(node.value)}{hint}"
        faults.add("LR101", path, message, node)
        return None
    if not node.value:
        message = "expected at least one dimension, found none; without 'dims' it has the leading "
        faults.add("LR202", path, f"{message}ones", node)
        return None
    read = [read_dim(child, (path, index), faults) for index, child in enumerate(node.value)]
    dims = tuple(dim for dim in read if dim is not None)
    twice = [index for index, dim in enumerate(read) if dim is not None and dim in read[:index]]
    for index in twice:
        message = f"the dimension {read[index]} stands in the list twice; remove one"
        faults.add("LR202", (path, index), message, node.value[index])
    return None if twice or len(dims) < len(read) else dims


@lru_cache(maxsize=1024)  # a few names recur
def _named(name: str) -> Route:
    return Route(ValuePath((name,)))


def _transforms(
    node: Node, path: ConfigPath, faults: Faults, gives: str
) -> tuple[Transform, ...] | None:
    if isinstance(node.value, str | dict):
        node = Node([node], *node.span)
        only = _transform(node.value[0], path, faults)
        if only is None or not _fit_together((only,), node, path, faults, gives):
            return None
        return (only,)
    if not isinstance(node.value, list):
        message = f"expected a list of transforms, found {describe(node.value)}"
        faults.add("LR101", path, message, node)
        return None
    read = [_transform(element, (path, i), faults) for i, element in enumerate(node.value)]
    transforms = tuple(transform for transform in read if transform is not None)
    if len(transforms) < len(read) or not _fit_together(transforms, node, path, faults, gives):
        return None
    return transforms


def _fit_together(
    transforms: tuple[Transform, ...], node: Node, path: ConfigPath, faults: Faults, wanted: str
) -> bool:
    """Whether each transform takes what the one before gives, and the last one what is wanted."""
    from lossreg.vocabulary.transforms import TRANSFORMS

    before = ""
    for index, transform in enumerate(transforms):
        definition = TRANSFORMS[transform.name]
        gives = TRANSFORMS[before].returns if before else definition.takes
        if gives != definition.takes:
            message = (
                f"expected a transform that takes what '{before}' gives, a {_KINDS[gives]}; "
                f"'{transform.name}' takes a {_KINDS[definition.takes]}"
            )
            faults.add("LR211", (path, index), message, node.value[index])
            return False
        before = transform.name
    if before and wanted == "list" != TRANSFORMS[before].returns:
        making = [name for name, entry in TRANSFORMS.items() if entry.returns == "list"]
        message = (
            f"expected a list at the end, and '{before}' gives a {_KINDS['tensor']}; go on with "
            f"{' or '.join(making)}"
        )
        faults.add("LR211", (path, len(transforms) - 1), message, node.value[-1])
        return False
    if before and TRANSFORMS[before].returns != wanted:
        joining = [name for name, entry in TRANSFORMS.items() if entry.takes == "list"]
        message = (
            f"expected a tensor at the end, and '{before}' gives a {_KINDS['list']}; go on with "
            f"{' or '.join(joining)}, or write 'select' for one place of a dimension"
        )
        faults.add("LR211", (path, len(transforms) - 1), message, node.value[-1])
        return False
    return True


def _foreign() -> dict[str, str]:
    """What to write for each name of other systems."""
    from lossreg.vocabulary.transforms import TRANSFORMS

    return dict(
        word if isinstance(word, tuple) else (word, name)
        for name, entry in TRANSFORMS.items()
        for word in entry.foreign
    )


def _transform(node: Node, path: ConfigPath, faults: Faults) -> Transform | None:
    # Imported late: most configs use no transform.
    from lossreg.config.declare.arguments import read_arguments
    from lossreg.vocabulary.transforms import TRANSFORMS

    value: Node | None = None
    if isinstance(node.value, str):
        name, span = node.value, node.span
    elif isinstance(node.value, dict) and len(node.value) == 1:
        ((name, value),) = node.value.items()
        span = node.keys[name]
    else:
        message = (
            "expected a transform: a name, or a mapping of one name to its arguments; "
            f"found {describe(node.value)}"
        )
        if isinstance(node.value, dict) and node.value:
            message += f" of {len(node.value)} keys; begin each transform with '- '"
        faults.add("LR210", path, message, node)
        return None
    if is_interpolation(name):
        message = f"expected the name of a transform, found {describe(name)}"
        faults.add("LR210", path, message, node if value is None else span)
        return None
    if name not in TRANSFORMS:
        foreign = _foreign().get(name)
        meant = f"'{foreign}'" if foreign in TRANSFORMS else foreign
        near = None if foreign else closest_spelling(name, TRANSFORMS)
        meant = f"'{near}'" if near else meant
        hint = f"did you mean {meant}?" if meant else f"expected one of {', '.join(TRANSFORMS)}"
        faults.add("LR210", path, f"there is no transform '{clipped(name)}'; {hint}", span)
        return None
    return read_arguments(TRANSFORMS[name], value, (path, name), span, faults)
