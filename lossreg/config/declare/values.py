"""Reads the values of a mapping, with a reader for each kind of value."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lossreg.config.declare.fields import read_bool, read_choice
from lossreg.config.declare.routes import read_path, read_route
from lossreg.config.declare.selection import read_ignored
from lossreg.config.declare.weights import read_weight

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lossreg.config.declare.tree import Declared
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.grammar import Key
    from lossreg.config.read.nodes import Node, Span

__all__ = ["READERS", "read_values"]


READERS: Mapping[str, Callable[[Node, ConfigPath, Faults, Key, Span], Any]] = MappingProxyType(
    {
        "choice": lambda node, path, faults, key, _: read_choice(node, path, key.choices, faults),
        "ignored": lambda node, path, faults, *_: read_ignored(node, path, faults),
        "path": lambda node, path, faults, *_: read_path(node, path, faults),
        "route": lambda node, path, faults, _, written: read_route(node, path, faults, written),
        "switch": lambda node, path, faults, *_: read_bool(node, path, faults),
        "weight": lambda node, path, faults, _, written: read_weight(node, path, faults, written),
    }
)
"""By kind of value: its reader, which returns None after noting a fault.

The arguments are the value, its place, the faults, its key in the grammar, and where the key is
written.
"""


def read_values(declared: Declared, faults: Faults) -> None:
    """Read the value of each key of a mapping that does not depend on other keys."""
    written, path, values = declared.node.keys, declared.path, declared.values
    for name, node in declared.node.value.items():
        key = declared.construct.keys.get(name)
        if key is not None and key.reads in READERS and name not in values:
            place = (path, name)
            read = READERS[key.reads](node, place, faults, key, written[name])
            declared.put(name, read, node, place)
