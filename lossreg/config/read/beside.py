"""Files that a config names: in its own folder or below it, and nowhere else."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, NamedTuple

from lossreg.config.faults.faults import clipped
from lossreg.config.read.documents import MAX_BYTES, MAX_NODES, decoded, read_document
from lossreg.config.read.files import KINDS
from lossreg.config.read.nodes import Document, Node, SourceError
from lossreg.config.read.scalars import resolve

if TYPE_CHECKING:
    from lossreg.config.read.nodes import Folder

__all__ = ["Beside", "NotReadError", "read_beside"]

_SUFFIXES = (".json", ".csv")
_COLUMNS = ("weight", "count")
_HEADERS = " or ".join(f"'class,{column}'" for column in _COLUMNS)
# A cell, in quotes or not, and what ends it.
_CELL = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n]*))(,|\r\n|\r|\n|\Z)')
# A link is resolved before; a pipe that takes a file's place must not keep the reader waiting.
_FLAGS = os.O_RDONLY
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)


class NotReadError(Exception):
    """A file cannot be read, or must not be; the message says why."""


class Beside(NamedTuple):
    """What a file holds.

    Attributes:
        root: A list, or a mapping by class.
        column: What a CSV file says of its numbers: `weight` or `count`; empty for JSON.
    """

    root: Node
    column: str


def read_beside(folder: Folder, name: str) -> Beside:
    """The numbers of a JSON or CSV file in a config's folder or below it; read once.

    Faults despite which the rest could be read are in the faults of the root's document.

    Args:
        folder: The config's folder.
        name: The file, as the config names it.

    Raises:
        NotReadError: It is outside the folder, or cannot be read.
        SourceError: Its text is wrong.
    """
    if name not in folder.read:
        try:
            folder.read[name] = _read(folder, name)
        except (NotReadError, SourceError) as error:
            folder.read[name] = error
    result = folder.read[name]
    if isinstance(result, Exception):
        raise result
    assert isinstance(result, Beside)  # noqa: S101 - for mypy
    return result


def _read(folder: Folder, name: str) -> Beside:
    refusal = _refusal(name)
    if refusal:
        raise NotReadError(refusal)
    data = _bytes(folder.path, name)
    if len(data) > MAX_BYTES:
        raise NotReadError(f"the file is larger than {MAX_BYTES:,} bytes")
    document = decoded(data, str(Path(folder.path, name)))
    if name.lower().endswith(".json"):
        return Beside(_json(document), "")
    return _csv(document)


def _refusal(name: str) -> str:
    """Why a name cannot be that of a file in the folder; empty if it can."""
    inside = "a file is named from the config's own folder, and is in it or below it"
    if "\0" in name:
        return "a file's name has no NUL"
    if "\\" in name:
        return "write '/' between folders, not a backslash"
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive:
        return f"this path is absolute; {inside}"
    if name.startswith("~"):
        return f"'~' does not stand for a home folder here; {inside}"
    if ".." in PurePosixPath(name).parts:
        return f"'..' is not allowed; {inside}"
    if not name.lower().endswith(_SUFFIXES):
        return "expected a file that ends in .json or .csv"
    return ""


def _bytes(folder: str, name: str) -> bytes:
    try:
        around = os.path.realpath(folder)
        place = os.path.realpath(Path(around, name))
        if os.path.commonpath((around, place)) != around:
            message = "a symbolic link leads out of the config's folder; copy the file into it"
            raise NotReadError(message)
        _refuse_kind(os.lstat(place).st_mode)
        descriptor = os.open(place, _FLAGS)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor has no path
            # What was looked at may have been replaced before it was opened.
            _refuse_kind(os.fstat(descriptor).st_mode)
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotReadError(f"there is no such file in the folder '{clipped(folder)}'") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NotReadError(f"the file cannot be read: {reason}") from None


def _refuse_kind(mode: int) -> None:
    kind = stat.S_IFMT(mode)
    if kind != stat.S_IFREG:
        what = "a folder" if kind == stat.S_IFDIR else KINDS.get(kind, "a symbolic link")
        raise NotReadError(f"this is {what}, not a regular file")


def _json(document: Document) -> Node:
    try:
        # Only the form matters here: numbers are read with their places, below.
        json.loads(document.text, parse_int=len, parse_float=len, parse_constant=len)
    except json.JSONDecodeError as error:
        start, message = error.pos, f"this is not valid JSON: {error.msg}"
        raise SourceError("LR219", message, document, start, start + 1) from None
    except RecursionError:
        raise NotReadError("the lists in the file are nested too deep") from None
    # JSON is YAML but for tabs, which may only stand between its values.
    return read_document(Document(document.name, document.text.replace("\t", " ")))


def _csv(document: Document) -> Beside:
    rows = _rows(document)
    header, *rest = rows or [[]]
    names = [cell.value.lower() for cell in header]
    if len(names) != 2 or names[0] != "class" or names[1] not in _COLUMNS:  # noqa: PLR2004
        shown = clipped(document.line(1).strip())
        end = header[-1].end if header else 1
        message = f"expected the header {_HEADERS}, found '{shown}'"
        raise SourceError("LR219", message, document, 0, end)
    root = Node({}, document, 0, len(document.text))
    for row in rest:
        label, number = row[0], row[-1]
        if len(row) != len(header):
            message = f"expected two cells, a class and a {names[1]}, found {len(row)}"
            raise SourceError("LR219", message, document, label.start, number.end)
        if label.value in root.value:
            line = document.place(*root.keys[label.value][1:]).line
            message = f"duplicate class '{clipped(label.value)}' (first on line {line})"
            document.faults.append(SourceError("LR008", message, document, label.start, label.end))
            continue
        number.value = resolve(number.value)[0]
        root.value[label.value], root.keys[label.value] = number, label.span
    return Beside(root, names[1])


def _rows(document: Document) -> list[list[Node]]:
    """The cells of each line that is not blank."""
    text, position = document.text, 0
    rows: list[list[Node]] = []
    row: list[Node] = []
    while True:
        match = _CELL.match(text, position)
        if match is None:
            message = "a quote that is not closed, or that stands inside a cell"
            raise SourceError("LR219", message, document, position, position + 1)
        quoted, bare, ending = match.groups()
        value = bare.strip() if quoted is None else quoted.replace('""', '"')
        row.append(Node(value, document, position, match.start(3)))
        position = match.end()
        if ending != ",":
            if len(row) > 1 or row[0].value:
                rows.append(row)
            if len(rows) > MAX_NODES:
                raise NotReadError(f"the file has more than {MAX_NODES:,} rows")
            row = []
            if not ending:
                return rows
