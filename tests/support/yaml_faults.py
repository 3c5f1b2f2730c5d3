"""What is found wrong with YAML text, under either of PyYAML's parsers."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import yaml

import lossreg.config.read.documents
from lossreg import Registry
from lossreg.config import Examined, examine
from lossreg.config.declare.parameters import plain
from lossreg.config.read.documents import read_bytes
from lossreg.config.read.nodes import Document, Node, SourceError

PARSERS = {"python": yaml.SafeLoader, "c": getattr(yaml, "CSafeLoader", None)}
REGISTRY = Registry.installed()


def verdicts(source: bytes, *, every: bool = False) -> Examined:
    """What comes of a document: the same under each parser, to the letter."""
    (found, nodes), *others = [
        _under(loader, source, every) for loader in PARSERS.values() if loader
    ]
    for other, other_nodes in others:
        assert other == found, source
        assert other_nodes == nodes, source
    return found


def _under(loader: object, source: bytes, every: bool) -> tuple[Examined, object]:
    """What comes of it; and its nodes, of which each reading has its own, as plain data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lossreg.config.read.documents, "_LOADER", loader)
        found = examine(source, registry=REGISTRY, every=every)
    nodes = None if found.document is None else placed(found.document)
    return found._replace(document=None, declared={}), nodes


class Fault(NamedTuple):
    code: str
    line: int
    column: int
    message: str


def faults(text: str | bytes) -> list[Fault]:
    """Every fault of a document, as it is found."""
    data = text.encode() if isinstance(text, str) else text
    found = []
    try:
        document, _ = read_bytes(data, "a.yaml")
    except SourceError as error:
        document = error.document or Document("a.yaml", "")
        found = [error]
    return [_placed(each, document) for each in [*document.faults, *found]]


def _placed(fault: SourceError, document: Document) -> Fault:
    place = document.place(fault.start, fault.end)
    return Fault(fault.code, place.line, place.column, fault.message)


def placed(node: Node) -> tuple[object, ...]:
    """A value, and where it and all that it holds is written."""
    value = node.value
    if isinstance(value, dict):
        value = {name: (node.keys[name][1:], placed(each)) for name, each in value.items()}
    elif isinstance(value, list):
        value = list(map(placed, value))
    return repr(value), node.start, node.end, node.rewrite


def read_alike(text: str) -> bool:
    """Whether a document is read without a fault: under each parser alike, every place included."""
    found, *others = [_read_under(loader, text) for loader in PARSERS.values() if loader]
    for other in others:
        assert other == found, repr(text)
    return not found[1]


def _read_under(loader: object, text: str) -> tuple[object, list[Fault]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lossreg.config.read.documents, "_LOADER", loader)
        found = faults(text)
        return None if found else placed(read_bytes(text.encode(), "a.yaml")[1]), found


def assert_refused(text: str, expected: list[tuple[str, int, int, str]]) -> None:
    """Assert the faults of a document: code, line, column, and words of each message.

    They are the same to the letter under each parser.
    """
    found, *others = [_faults_under(loader, text) for loader in PARSERS.values() if loader]
    assert all(each == found for each in others)
    assert [each[:3] for each in found] == [each[:3] for each in expected]
    for fault, (*_, words) in zip(found, expected, strict=True):
        assert words in fault.message
        assert len(fault.message) < 200


def _faults_under(loader: object, text: str) -> list[Fault]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lossreg.config.read.documents, "_LOADER", loader)
        return faults(text)


def values(text: str | bytes) -> Any:
    """The values of a document without faults."""
    document, root = read_bytes(text.encode() if isinstance(text, str) else text, "a.yaml")
    assert document.faults == []
    return plain(root)
