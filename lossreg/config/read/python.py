"""Mappings and lists of Python, and of what stands for them in config systems, to nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lossreg.config.faults.faults import describe
from lossreg.config.read.documents import MAX_LEVELS, MAX_NODES
from lossreg.config.read.nodes import Node, SourceError, Unreadable
from lossreg.errors import printable

__all__ = ["from_python"]

_LONGEST_REASON = 200


def from_python(value: object, name: str = "config") -> Node:
    """Nodes without a place, from mappings, lists and scalars of Python.

    Raises:
        SourceError: A key is not a string, or the value is too large, nested too deep or refers to
            itself.
    """
    count = 0

    def convert(value: object, level: int) -> Node:
        nonlocal count
        count += 1
        if count > MAX_NODES:
            message = (
                f"{name} has more than {MAX_NODES:,} values; give long class weights as a tensor"
            )
            raise SourceError("LR004", message)
        if level > MAX_LEVELS:
            raise SourceError("LR004", f"{name} is nested deeper than {MAX_LEVELS} levels")
        if isinstance(value, Mapping):
            node = Node({})
            for key, child in _items(value):
                if not isinstance(key, str):
                    raise SourceError("LR007", f"a key must be a string, not {describe(key)}")
                node.value[key] = convert(child, level + 1)
                node.keys[key] = None, 0, 0
            return node
        if not isinstance(value, bool | int | float | str | None) and hasattr(value, "tolist"):
            value = _without_numpy(value)
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return Node([convert(element, level + 1) for element in _elements(value)])
        return Node(value)

    return convert(value, 0)


def _without_numpy(value: Any) -> object:
    """A number or a list of numbers for one of numpy's; a tensor stays what it is."""
    module = type(value).__module__.partition(".")[0]
    return value.tolist() if module == "numpy" else value


def _items(mapping: Mapping[Any, Any]) -> Iterable[tuple[Any, object]]:
    if type(mapping) is dict:
        return mapping.items()
    return ((key, _read(mapping, key)) for key in mapping)


def _elements(sequence: Sequence[object]) -> Iterable[object]:
    if isinstance(sequence, list | tuple):
        return sequence
    return (_read(sequence, index) for index in range(len(sequence)))


def _read(collection: Any, key: object) -> object:
    """A value; OmegaConf resolves its interpolations here, and may fail."""
    try:
        value: object = collection[key]
    except Exception as error:  # noqa: BLE001 - its resolvers are functions of the user
        if type(error).__name__ == "MissingMandatoryValue":
            return Unreadable("'???', a value that OmegaConf has yet to be given")
        reason = printable(str(error).partition("\n")[0][:_LONGEST_REASON])
        return Unreadable(f"a value that cannot be resolved: {reason}")
    return value
