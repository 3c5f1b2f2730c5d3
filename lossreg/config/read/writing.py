"""A tree of nodes as YAML text that every parser reads as the same values."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from lossreg.config.read.documents import MAX_BYTES
from lossreg.config.read.scalars import resolve

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from lossreg.config.read.nodes import Node

__all__ = ["TooLargeError", "same_values", "yaml_text"]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
# YAML 1.1 takes these for bools, though few parsers do.
_BOOLS = frozenset(("y", "Y", "n", "N"))
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
# A key is read up to 1024 characters after its start without a mark in front.
_LONGEST_KEY = 1_000
_LONGEST_DECIMAL = 900  # digits; the reader takes longer numbers for text
_WORTH_AN_ANCHOR = 40  # characters


class TooLargeError(ValueError):
    """The text is larger than a document may be."""


def yaml_text(root: Node) -> str:
    """A mapping's text, plainly: without anchors, unless it were too large without them.

    Args:
        root: The mapping. Its keys are strings, its scalars those that YAML's core schema has.

    Raises:
        TooLargeError: It is too large with them, too.
    """
    try:
        return _Writer(frozenset()).text(root)
    except TooLargeError:
        return _Writer(_shared(root)).text(root)


def same_values(one: Node, other: Node) -> bool:
    """Whether two trees hold the same values of the same types, keys in the same order."""
    if isinstance(one.value, dict) and isinstance(other.value, dict):
        return list(one.value) == list(other.value) and all(
            same_values(one.value[key], other.value[key]) for key in one.value
        )
    if isinstance(one.value, list) and isinstance(other.value, list):
        return len(one.value) == len(other.value) and all(map(same_values, one.value, other.value))
    # Their texts tell 1 from 1.0 and from true, 0.0 from -0.0, and nan is nan.
    return repr(one.value) == repr(other.value)


def _shared(root: Node) -> frozenset[int]:
    """The values that stand in several places and are long enough to be written once."""
    count: Counter[int] = Counter()
    worth: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        count[id(node)] += 1
        if count[id(node)] > 1:
            continue
        value = node.value
        if isinstance(value, dict | list):
            waiting.extend(value.values() if isinstance(value, dict) else value)
        if value and (not isinstance(value, str) or len(value) > _WORTH_AN_ANCHOR):
            worth.add(id(node))
    return frozenset(each for each in worth if count[each] > 1)


class _Writer:
    """Writes line by line.

    Args:
        shared: The values, by identity, that are written once and then referred to.
    """

    def __init__(self, shared: AbstractSet[int]) -> None:
        self._shared = shared
        self._names: dict[int, str] = {}
        self._parts: list[str] = []
        self._size = 0

    def text(self, root: Node) -> str:
        """The text of a document."""
        self._mapping(root, "", "")
        return "".join(self._parts)

    def _put(self, text: str) -> None:
        self._parts.append(text)
        self._size += len(text) if text.isascii() else len(text.encode())
        if self._size > MAX_BYTES:
            raise TooLargeError

    def _mapping(self, node: Node, first: str, indent: str) -> None:
        """A mapping's lines.

        Args:
            node: The mapping.
            first: What stands in front of its first key.
            indent: What stands in front of the others.
        """
        if not node.value:
            self._put(f"{first}{{}}\n")
            return
        for key, child in node.value.items():
            shown = _string(key)
            if len(shown) > _LONGEST_KEY:
                self._put(f"{first}? {shown}\n{indent}:")
            else:
                self._put(f"{first}{shown}:")
            self._value(child, indent)
            first = indent

    def _value(self, node: Node, indent: str) -> None:
        """A value after its key, in the same line or in those below."""
        anchor, is_known = self._anchor(node)
        if is_known or not self._is_tall(node):
            self._put(f" {anchor}{'' if is_known else self._line(node)}".rstrip() + "\n")
            return
        self._put(f" {anchor}".rstrip() + "\n")
        deeper = indent + "  "
        if isinstance(node.value, dict):
            self._mapping(node, deeper, deeper)
        else:
            self._items(node, deeper)

    def _items(self, node: Node, indent: str) -> None:
        """A list with one line, or several, for each element."""
        for child in node.value:
            if isinstance(child.value, dict) and child.value and id(child) not in self._shared:
                self._mapping(child, f"{indent}- ", f"{indent}  ")
            else:
                self._put(f"{indent}-")
                self._value(child, indent)

    def _is_tall(self, node: Node) -> bool:
        """Whether a value has lines of its own."""
        if isinstance(node.value, list):
            return any(isinstance(child.value, dict | list) and child.value for child in node.value)
        return isinstance(node.value, dict) and bool(node.value)

    def _line(self, node: Node) -> str:
        """A scalar, an empty mapping, or a list of them, in one line."""
        value = node.value
        if isinstance(value, dict):
            return "{}"
        if not isinstance(value, list):
            return _scalar(value)
        shown, size = [], 0
        for child in value:
            anchor, is_known = self._anchor(child)
            shown.append(f"{anchor}{'' if is_known else self._line(child)}".strip())
            size += len(shown[-1])
            if size > MAX_BYTES:
                raise TooLargeError
        return f"[{', '.join(shown)}]"

    def _anchor(self, node: Node) -> tuple[str, bool]:
        """What stands in front of a value, and whether that is all because it was written above."""
        if id(node) not in self._shared:
            return "", False
        if id(node) in self._names:
            return f"*{self._names[id(node)]}", True
        self._names[id(node)] = name = f"a{len(self._names) + 1}"
        return f"&{name} ", False


def _scalar(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 10**_LONGEST_DECIMAL else hex(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        return _string(value)
    raise TypeError(f"a document has no {type(value).__name__}")


def _float(value: float) -> str:
    text = repr(value)
    if text in ("nan", "inf", "-inf"):
        return f"-.{text[1:]}" if text.startswith("-") else f".{text}"
    digits, e, exponent = text.partition("e")
    # YAML 1.1 takes 1e-05 for text.
    return f"{digits}.0{e}{exponent}" if e and "." not in digits else text


def _string(text: str) -> str:
    """A string without quotes where no version of YAML takes it for anything else."""
    if _PLAIN.fullmatch(text) and resolve(text) == (text, "") and text not in _BOOLS:
        return text
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 2**8:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 2**16 else f"\\U{code:08x}"
