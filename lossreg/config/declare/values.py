"""Reads the values of a mapping, with a reader for each kind of value."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lossreg.config.declare.divisors import read_divisor
from lossreg.config.declare.fields import read_bool, read_choice
from lossreg.config.declare.gradients import read_names, read_paths
from lossreg.config.declare.routes import read_dim, read_path, read_route
from lossreg.config.declare.selection import read_ignored
from lossreg.config.declare.weights import read_weight
from lossreg.config.grammar import CONSTRUCTS, ENTRIES, MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lossreg.config.declare.tree import Declared
    from lossreg.config.faults.faults import ConfigPath, Faults
    from lossreg.config.grammar import Key
    from lossreg.config.models import Each
    from lossreg.config.read.nodes import Node, Span

__all__ = ["READERS", "read_values"]


def _read_active(node: Node, path: ConfigPath, faults: Faults, written: Span) -> object:
    from lossreg.config.declare.active import read_active  # imported late: few terms have times

    return read_active(node, path, faults, written)


def _read_derived(node: Node, path: ConfigPath, faults: Faults) -> object:
    from lossreg.config.declare.derived import read_derived  # imported late: few derive anything

    return read_derived(node, path, faults)


def _each(node: Node, path: ConfigPath, faults: Faults, written: Span) -> Each | None:
    from lossreg.config.declare.each import read_each  # imported late: few groups have it

    return read_each(node, path, faults, written)


READERS: Mapping[str, Callable[[Node, ConfigPath, Faults, Key, Span], Any]] = MappingProxyType(
    {
        "active": lambda node, path, faults, _, written: _read_active(node, path, faults, written),
        "choice": lambda node, path, faults, key, _: read_choice(
            node, path, key.choices, faults, key.other_words
        ),
        "derived": lambda node, path, faults, *_: _read_derived(node, path, faults),
        "dim": lambda node, path, faults, *_: read_dim(node, path, faults),
        "divisor": lambda node, path, faults, *_: read_divisor(node, path, faults),
        "each": lambda node, path, faults, _, written: _each(node, path, faults, written),
        "entries": lambda node, path, faults, _, written: read_route(
            node, path, faults, written, ENTRIES
        ),
        "mask": lambda node, path, faults, _, written: read_route(
            node, path, faults, written, MASK
        ),
        "ignored": lambda node, path, faults, *_: read_ignored(node, path, faults),
        "names": lambda node, path, faults, *_: read_names(node, path, faults),
        "path": lambda node, path, faults, *_: read_path(node, path, faults),
        "paths": lambda node, path, faults, *_: read_paths(node, path, faults),
        "switch": lambda node, path, faults, *_: read_bool(node, path, faults),
        "weight": lambda node, path, faults, _, written: read_weight(node, path, faults, written),
    }
)
"""By kind of value: its reader, which returns None after noting a fault.

The arguments are the value, its place, the faults, its key in the grammar, and where the key is
written.
"""


_BY_KEY = {
    construct: {
        key.name: (READERS[key.reads], key)
        for key in construct.keys.values()
        if key.reads in READERS
    }
    for construct in CONSTRUCTS
}


# Whatever their value, nothing else of the mapping is wrong or right because of it.
_ANY_WILL_DO = ("enabled", "optional", "weight")


def read_values(declared: Declared, faults: Faults) -> None:
    """Read the value of each key of a mapping that does not depend on other keys."""
    readers, written, path = _BY_KEY[declared.construct], declared.node.keys, declared.path
    for name, node in declared.node.value.items():
        if name in readers and name not in declared.values:
            if faults.passes_over(node) and name in _ANY_WILL_DO:
                continue  # its default stands in
            reader, key = readers[name]
            declared.put(name, reader(node, (path, name), faults, key, written[name]))
