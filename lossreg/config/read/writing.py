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
# Bools in YAML 1.1, though few parsers read them so.
_BOOLS = frozenset(("y", "Y", "n", "N"))
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
# Without a '?' in front, parsers read a key of at most 1024 characters.
_LONGEST_KEY = 1_000
_LONGEST_DECIMAL = 900  # digits; the reader reads longer numbers as text
_WORTH_AN_ANCHOR = 40  # characters


class TooLargeError(ValueError):
    """The text is larger than a document may be."""


def yaml_text(root: Node) -> str:
    """The text of a mapping, with anchors only if it would be too large without them.

    Args:
        root: The mapping. Its keys are strings, its scalars those of YAML's core schema.

    Raises:
        TooLargeError: It is too large even with anchors.
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
    # The texts of 1, 1.0 and true differ, and those of 0.0 and -0.0; that of nan equals itself.
    return repr(one.value) == repr(other.value)


def _shared(root: Node) -> frozenset[int]:
    """The values that are used in several places and long enough for an anchor."""
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
    return frozenset(identity for identity in worth if count[identity] > 1)


class _Writer:
    """Writes line by line.

    Args:
        shared: The values, by identity, that are written once, with an anchor.
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
            first: The text in front of its first key.
            indent: The text in front of the other keys.
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
        """A value after its key, on the same line or on those below."""
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
        """A list whose elements each have one or more lines."""
        for child in node.value:
            if isinstance(child.value, dict) and child.value and id(child) not in self._shared:
                self._mapping(child, f"{indent}- ", f"{indent}  ")
            else:
                self._put(f"{indent}-")
                self._value(child, indent)

    def _is_tall(self, node: Node) -> bool:
        """Whether a value needs lines of its own."""
        if isinstance(node.value, list):
            return any(isinstance(child.value, dict | list) and child.value for child in node.value)
        return isinstance(node.value, dict) and bool(node.value)

    def _line(self, node: Node) -> str:
        """A scalar, an empty mapping, or a list of these, on one line."""
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
        """The text in front of a value, and whether it is an alias that replaces the value."""
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
    raise TypeError(f"a document cannot hold a {type(value).__name__}")


def _float(value: float) -> str:
    text = repr(value)
    if text in ("nan", "inf", "-inf"):
        return f"-.{text[1:]}" if text.startswith("-") else f".{text}"
    digits, e, exponent = text.partition("e")
    # YAML 1.1 reads 1e-05 as text.
    return f"{digits}.0{e}{exponent}" if e and "." not in digits else text


def _string(text: str) -> str:
    """A string, without quotes where every version of YAML reads it as that string."""
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
