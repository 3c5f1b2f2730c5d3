"""What is found wrong with YAML text, under either of PyYAML's parsers."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import yaml

import lossreg.config.source
from lossreg.config.nodes import Document, SourceError
from lossreg.config.source import read_bytes

PARSERS = {"python": yaml.SafeLoader, "c": getattr(yaml, "CSafeLoader", None)}


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
        patch.setattr(lossreg.config.source, "_LOADER", loader)
        return faults(text)
