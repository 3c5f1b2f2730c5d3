"""Realistic mistakes, each with all that is said of it; and files that are fine.

A bad file ends in a comment for each diagnostic, in their order:

    # expect: CODE LINE:COLUMN PATH "PART OF THE MESSAGE"

with `-` for a path that is empty.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lossreg.config import examine
from yaml_faults import verdicts

if TYPE_CHECKING:
    from lossreg.errors import Diagnostic

CORPUS = Path(__file__).parent / "corpus"
BAD = sorted((CORPUS / "bad").glob("*.yaml"))
GOOD = sorted((CORPUS / "good").glob("*.yaml"))
_EXPECTATION = re.compile(r'# expect: (LR\d{3}) (\d+):(\d+) (.*?) "(.*)"')

FINE = b"terms:\n  fit: {type: mse}\n"
# What cannot end in a comment: bytes, and what swallows the rest of the file.
RAW = {
    "nothing": (b"", None, "LR011", "the document is empty"),
    "a byte order mark alone": (codecs.BOM_UTF8, None, "LR011", "the document is empty"),
    "blanks": (b"  \n\n ", (1, 1), "LR011", "the document is empty"),
    "nul": (FINE + b"\x00", (3, 1), "LR002", "the character U+0000 is not allowed"),
    "nul in a name": (b"terms:\n  f\x00t: {type: mse}\n", (2, 4), "LR002", "U+0000"),
    "utf-16": (FINE.decode().encode("utf-16"), (1, 1), "LR002", "not UTF-8: byte 0xff"),
    "utf-16 without a mark": (FINE.decode().encode("utf-16-le"), (1, 2), "LR002", "U+0000"),
    "utf-32": (FINE.decode().encode("utf-32"), (1, 1), "LR002", "not UTF-8: byte 0xff"),
    "latin 1": (
        "terms:\n  fit: {type: mse}  # größer\n".encode("latin-1"),
        (2, 25),
        "LR002",
        "the document is not UTF-8: byte 0xf6; save it as UTF-8",
    ),
    "a character cut in two": ("terms: {é".encode()[:-1], (1, 9), "LR002", "byte 0xc3"),
    "a surrogate": (b"terms: {\xed\xa0\x80}", (1, 9), "LR002", "byte 0xed"),
    "a byte order mark inside": (
        FINE + codecs.BOM_UTF8 + b"more: 1\n",
        (3, 1),
        "LR002",
        "the character U+FEFF is not allowed",
    ),
    "a gzip file": (b"\x1f\x8b\x08\x00\x00\x00", (1, 2), "LR002", "byte 0x8b"),
    "too large": (FINE + b"#" * 2**20, None, "LR004", "larger than 1,048,576 bytes"),
    "too many values": (
        b"terms: {fit: {type: mse}}\nlist: [" + b"0," * 100_000 + b"]\n",
        (2, 199_990),
        "LR004",
        "more than 100,000 values",
    ),
    "an alias bomb": (
        b"a: &a [0, 0, 0, 0, 0, 0, 0, 0, 0]\n"
        + b"".join(
            b"%c: &%c [%s]\n" % (name, name, b", ".join([b"*%c" % (name - 1)] * 9))
            for name in b"bcdefghi"
        ),
        (6, 8),
        "LR004",
        "more than 100,000 values",
    ),
    "too deep": (b"[" * 5_000, (1, 65), "LR004", "nested deeper than 64 levels"),
    "too deep in blocks": (
        b"".join(b" " * level + b"a:\n" for level in range(70)),
        (65, 65),
        "LR004",
        "nested deeper than 64 levels",
    ),
    "a bracket left open": (
        b"terms:\n  fit: {type: mse, params: {reduction: sum\n",
        (3, 1),
        "LR003",
        "the document ends before the { of line 2, column 28 is closed",
    ),
    "a quote left open": (
        b'terms:\n  fit: {type: "mse}\n',
        (3, 1),
        "LR003",
        'the document ends before the " of line 2, column 15 is closed',
    ),
}


def shown(diagnostic: Diagnostic) -> str:
    """A diagnostic as an expectation has it, with its whole message."""
    place = f"{diagnostic.line}:{diagnostic.column}"
    return f'{diagnostic.code} {place} {diagnostic.path or "-"} "{diagnostic.message}"'


@pytest.mark.parametrize("file", BAD, ids=[each.stem for each in BAD])
def test_a_mistake_is_told_in_full(file: Path) -> None:
    lines = re.findall(r"^# expect: .*", file.read_text(encoding="utf-8"), re.MULTILINE)
    expected = [re.fullmatch(_EXPECTATION, line) for line in lines]
    found = examine(file).diagnostics
    report = "\n".join(map(shown, found))
    assert len(found) == len(expected) > 0, report
    for match, diagnostic in zip(expected, found, strict=True):
        assert match is not None
        code, line, column, path, message = match.groups()
        place = (diagnostic.line, diagnostic.column)
        assert (diagnostic.code, *place) == (code, int(line), int(column)), report
        assert (diagnostic.path or "-") == path, report
        assert message in diagnostic.message, report
        assert len(diagnostic.message) <= 500
        assert diagnostic.file == str(file)


def test_either_parser_gives_the_same_diagnostics() -> None:
    for file in (*BAD, *GOOD):
        verdicts(file.read_bytes())


@pytest.mark.parametrize(("data", "place", "code", "message"), RAW.values(), ids=RAW)
def test_what_is_no_text_is_told_as_well(
    data: bytes, place: tuple[int, int] | None, code: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "loss.yaml").write_bytes(data)
    found = examine(tmp_path / "loss.yaml").diagnostics
    report = "\n".join(map(shown, found))
    assert len(found) == 1, report
    assert found[0].code == code, report
    assert (found[0].line, found[0].column) == (place or (None, None)), report
    assert message in found[0].message, report


@pytest.mark.parametrize("file", GOOD, ids=[each.stem for each in GOOD])
def test_a_file_without_fault_passes(file: Path) -> None:
    examined = examine(file)
    assert examined.diagnostics == ()
    assert examined.loss is not None
    assert all(each.definition is not None for each in examined.loss.terms)


def test_the_corpus_is_large_enough() -> None:
    assert len(BAD) >= 150
    assert len(GOOD) >= 25
