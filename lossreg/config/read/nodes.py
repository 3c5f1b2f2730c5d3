"""A document, its nodes with their places, and why it could not be read."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from typing import Any, NamedTuple, TypeAlias

__all__ = [
    "MOST_FAULTS",
    "Document",
    "Folder",
    "Node",
    "Place",
    "SourceError",
    "Span",
    "too_many_faults",
]

MOST_FAULTS = 1_000
"""How many faults are reported: a document with more is corrected step by step."""

_LINE_BREAK = "\r\n|\r|\n"


class Place(NamedTuple):
    """A stretch of a line: lines and columns from 1, columns in characters; `end` is exclusive."""

    line: int
    column: int
    end: int


class Folder:
    """The folder of a config's file, while that config is read.

    Attributes:
        path: Where it is.
        read: What was made of each file in it that the config names; each is read once.
        written_out: The nodes that name such a file, each with the numbers in its place.
    """

    __slots__ = ("path", "read", "written_out")

    def __init__(self, path: str) -> None:
        self.path = path
        self.read: dict[str, Any] = {}
        self.written_out: list[tuple[Node, Node]] = []

    def write_out(self) -> None:
        """Put the numbers where the files are named: the config then stands by itself."""
        for node, numbers in self.written_out:
            node.value, node.keys = numbers.value, numbers.keys


class Document:
    """A text, its name, where its lines begin, and the folder whose files it may name."""

    def __init__(self, name: str, text: str, folder: Folder | None = None) -> None:
        self.name = name
        self.text = text
        self.folder = folder
        self.faults: list[SourceError] = []  # faults despite which the rest can be read
        self.dropped: list[Node] = []  # values whose keys have such a fault
        self._line_starts = array("l")

    def place(self, start: int, end: int) -> Place:
        """The place of the characters from `start` to `end`, cut at the end of the line."""
        self._find_lines()
        line = bisect_right(self._line_starts, start)
        begin = self._line_starts[line - 1]
        limit = self._line_end(line)
        return Place(line, start - begin + 1, max(min(end, limit), start + 1) - begin + 1)

    def start(self, number: int) -> int:
        """The offset of a line's first character."""
        self._find_lines()
        return self._line_starts[number - 1]

    def line(self, number: int, longest: int | None = None) -> str:
        """A line's text, without its break; its first `longest` characters."""
        self._find_lines()
        begin, end = self._line_starts[number - 1], self._line_end(number)
        return self.text[begin : end if longest is None else min(end, begin + longest)]

    def _find_lines(self) -> None:
        if not self._line_starts:
            self._line_starts.append(0)
            self._line_starts.extend(match.end() for match in re.finditer(_LINE_BREAK, self.text))

    def _line_end(self, number: int) -> int:
        if number == len(self._line_starts):
            return len(self.text)
        end = self._line_starts[number]
        return end - (2 if self.text[end - 2 : end] == "\r\n" else 1)


Span: TypeAlias = tuple[Document | None, int, int]
"""A stretch of a document, from its first character to after its last one."""


class SourceError(Exception):
    """A document cannot be read; `Faults.add_source_error` makes a diagnostic of it."""

    def __init__(
        self,
        code: str,
        message: str,
        document: Document | None = None,
        start: int = 0,
        end: int = 0,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.document = document
        self.start = start
        self.end = end


def too_many_faults(span: Span) -> SourceError:
    """The error that ends the reading of a document with more than `MOST_FAULTS` faults."""
    message = f"there are more than {MOST_FAULTS:,} faults; the rest is not read"
    return SourceError("LR004", message, *span)


class Node:
    """A value and where it is written.

    Attributes:
        value: A scalar; or a list of nodes; or a dict of nodes by key.
        document: Where it comes from; None for a value from Python.
        start: The offset of its first character.
        end: The offset after its last one.
        keys: For a mapping, where each key is written.
        rewrite: For a string that YAML 1.1 reads as a number or a bool: how to write that value.
    """

    __slots__ = ("document", "end", "keys", "rewrite", "start", "value")

    def __init__(
        self,
        value: Any,
        document: Document | None = None,
        start: int = 0,
        end: int = 0,
        rewrite: str = "",
    ) -> None:
        self.value = value
        self.document = document
        self.start = start
        self.end = end
        self.rewrite = rewrite
        self.keys: dict[str, Span] = {} if type(value) is dict else _NO_KEYS

    @property
    def span(self) -> Span:
        """Where it is written."""
        return self.document, self.start, self.end

    def copy(self) -> Node:
        """A new node with the same children."""
        is_collection = isinstance(self.value, dict | list)
        value = self.value.copy() if is_collection else self.value
        twin = Node(value, self.document, self.start, self.end, self.rewrite)
        twin.keys = dict(self.keys)
        return twin


_NO_KEYS: dict[str, Span] = {}  # never written to: only a mapping has keys
