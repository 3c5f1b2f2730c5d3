"""Overrides: `loss.terms.seg.weight=0.3`, applied to a document before it is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.config.faults.faults import clipped, describe, is_interpolation, path_text
from lossreg.config.read.documents import MAX_LEVELS, read_document
from lossreg.config.read.nodes import Document, Node, SourceError
from lossreg.vocabulary.paths import PathError, ValuePath

if TYPE_CHECKING:
    from lossreg.config.faults.faults import ConfigPath, Faults

__all__ = ["apply_override", "overridden"]

_ORIGIN = "--set"


def apply_override(root: Node, override: object, faults: Faults) -> None:
    """Set one value in a tree of nodes, and make the mappings that are missing on the way."""
    if not isinstance(override, str):
        faults.add("LR401", "", f"expected PATH=VALUE, found {describe(override)}")
        return
    folder = None if root.document is None else root.document.folder
    document = Document(_ORIGIN, override, folder)
    path, equals, _ = override.partition("=")
    target = Node(path, document, 0, len(path))
    if not equals:
        faults.add("LR401", "", "expected PATH=VALUE, found no '='", target)
        return
    try:
        steps = ValuePath.parse(path.strip()).steps
    except PathError:
        steps = ()
    if not steps or isinstance(steps[0], int):  # the document is a mapping
        faults.add("LR401", "", "expected a path such as loss.terms.seg.weight before '='", target)
        return
    if len(steps) > MAX_LEVELS:
        faults.add("LR401", "", f"the path has more than {MAX_LEVELS} levels", target)
        return
    try:
        value = _value(override, len(path) + 1, document)
    except SourceError as error:
        document.faults.append(error)
        value = None
    for fault in document.faults:
        faults.add_source_error(fault)
    if value is not None:
        _set(root, steps, value, target, faults)


def overridden(root: Node) -> list[str]:
    """The keys at a document's root that overrides created."""
    return [
        name
        for name, (document, _, _) in root.keys.items()
        if document is not None and document.name == _ORIGIN
    ]


def _set(
    root: Node, steps: tuple[str | int, ...], value: Node, target: Node, faults: Faults
) -> None:
    path: ConfigPath = ""
    node = root
    for place, step in enumerate(steps[:-1]):
        child = _child(node, step)
        is_missing = child is None or child.value is None
        if is_missing and isinstance(step, str) and isinstance(node.value, dict):
            child = Node({}, target.document, target.start, target.end)
            _put(node, step, child, target)
        if child is None:
            _refuse(node, step, path, target, faults)
            return
        # An anchored node has several users; the override means only this one.
        child = child.copy()
        if "params" in steps[:place] and isinstance(steps[place + 1], str):
            child = _with_parameters(child)
        node.value[step] = child
        node, path = child, (path, step)
    last = steps[-1]
    if isinstance(node.value, dict) and isinstance(last, str):
        _put(node, last, value, target)
    elif _child(node, last) is not None:
        node.value[last] = value
    else:
        _refuse(node, last, path, target, faults)


def _with_parameters(node: Node) -> Node:
    """A component's name as the mapping that its parameters can be put into."""
    if not isinstance(node.value, str) or is_interpolation(node.value):
        return node
    mapping = Node({"type": node}, *node.span)
    mapping.keys["type"] = node.span
    return mapping


def _value(override: str, start: int, document: Document) -> Node:
    text = override[start:]
    if not text.strip():
        return Node(None, document, start, len(override))
    # Blanks in front keep the offsets those of the whole argument.
    padded = Document(_ORIGIN, " " * start + text, document.folder)
    try:
        return read_document(padded)
    finally:
        padded.text = override
        document.faults.extend(padded.faults)


def _child(node: Node, step: str | int) -> Node | None:
    children = node.value
    if isinstance(children, dict) and isinstance(step, str):
        child: Node | None = children.get(step)
        return child
    if (
        isinstance(children, list)
        and isinstance(step, int)
        and -len(children) <= step < len(children)
    ):
        element: Node = children[step]
        return element
    return None


def _put(node: Node, name: str, value: Node, target: Node) -> None:
    node.keys.setdefault(name, target.span)
    node.value[name] = value


def _refuse(node: Node, step: str | int, path: ConfigPath, target: Node, faults: Faults) -> None:
    shown = f"element {step}" if isinstance(step, int) else f"'{clipped(step)}'"
    message = (
        f"cannot set {shown} there: '{clipped(path_text(path)) or 'the document'}' is "
        f"{describe(node.value)}"
    )
    faults.add("LR402", path, message, target)
