"""Messages for a text that is not YAML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lossreg.config.faults.faults import clipped
from lossreg.config.read.nodes import SourceError
from lossreg.config.read.scalars import without_comma

if TYPE_CHECKING:
    from lossreg.config.read.nodes import Document

__all__ = ["decimal_comma", "refuse_surrogates", "syntax_error"]

# The escape of a surrogate, or of a number beyond Unicode.
_NO_CHARACTER = (
    r"\\[uU]((?<=u)[dD][89a-fA-F][0-9a-fA-F]{2}|(?<=U)0000[dD][89a-fA-F][0-9a-fA-F]{2}"
    r"|(?<=U)(?!0010|000[0-9a-fA-F])[0-9a-fA-F]{8})"
)
_SURROGATE = "[\ud800-\udfff]"
# A path with an index, which has a bracket where YAML expects none.
_NEAR = 100
_INDEXED = r"[\w.]+\[[-\w]*\][\w.\[\]-]*"
# A key without the space after its colon, at the start of a line.
_JOINED = r"([ ]*(?:- )?)([A-Za-z_][\w-]*):([^\s:/\\][^:{\[]*)$"
_LINES_BEFORE = 3
_INTERPOLATION = r"\$\{[^{}\n]*\}"
_UNEXPECTED = {
    "\t": "a tab stands where only spaces may; write spaces instead",
    "?": "a '?' inside brackets or braces; put the value in quotes",
    **{char: f"a value cannot begin with '{char}'; put it in quotes" for char in "@`%"},
}
# A bracket; or quotes, closed or not, and comments, inside which brackets do not count.
_BRACKET = (
    r"""(?x) (?<!\w) (?: "(?:\\.|[^"\\])*("|\Z) | '(?:''|[^'])*('|\Z) ) """
    r"""| (?<!\S)\#[^\n]* | [\[\]{}]"""
)


def decimal_comma(text: str, start: int, end: int) -> str:
    """What to write where a comma in a number made a key of its end; empty if none did.

    Args:
        text: The document.
        start: Where the key begins.
        end: Where it ends.
    """
    before = re.search(r"(?<![\w.])-?\d+,$", text[max(start - _NEAR, 0) : start])
    part = text[start:end]
    if before is None or not part.isdigit() or re.compile(r"\s*:").match(text, end):
        return ""
    return f"a number has a decimal point: write {without_comma(before[0] + part)}"


def refuse_surrogates(document: Document, value: str, start: int) -> None:
    """Refuse a text in quotes that holds a surrogate.

    Args:
        document: Where it is written.
        value: The text that a parser read.
        start: Where the text begins.

    Raises:
        SourceError: It has a surrogate.
    """
    if re.search(_SURROGATE, value):
        escape = re.compile(_NO_CHARACTER).search(document.text, start)
        if escape is not None:
            raise _no_character(document, escape)


def syntax_error(document: Document, error: Exception) -> SourceError:
    """The parser's error as a fault with a place and a hint."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    text = document.text
    # Python's own error, for an escape that stands for no character, has no mark.
    escape = re.search(_NO_CHARACTER, text) if mark is None else None
    if escape:
        return _no_character(document, escape)
    stop = min(mark.index if mark is not None else 0, len(text))
    if text[stop - 1 : stop] == "\\" and text[stop : stop + 1] != "\\":
        stop -= 1  # in an unknown escape, the parser stops after the backslash
    place = document.place(stop, stop)
    line = document.line(place.line)
    if re.match(r"[ ]*\t", line):
        tab = stop + line.index("\t") - (place.column - 1)
        message = "a tab is used as indentation; use spaces"
        return SourceError("LR010", message, document, tab, tab + 1)
    joined = _joined(document, place.line) if _lacks_key(error) else None
    if joined is not None:
        return joined
    message = "this is not valid YAML: " + _guess(text, stop, line)
    return SourceError("LR003", message, document, stop, stop + 1)


def _no_character(document: Document, escape: re.Match[str]) -> SourceError:
    message = "this is not valid YAML: the escape stands for no character"
    return SourceError("LR003", message, document, escape.start(), escape.end())


def _lacks_key(error: Exception) -> bool:
    """Whether the parser found a value where it expected a key, or the colon after one."""
    problem = getattr(error, "problem", None) or ""
    return "':'" in problem or "mapping values" in problem


def _joined(document: Document, line: int) -> SourceError | None:
    """A key without a space after its colon, in the line where the parser stopped or before."""
    for number in range(line, max(line - _LINES_BEFORE, 0), -1):
        text = document.line(number)
        match = re.match(_JOINED, text)
        if match:
            written, start = match[0].lstrip(), document.start(number) + len(match[1])
            message = f"'{clipped(written)}' has no space after the colon; write "
            message += f"'{clipped(f'{match[2]}: {match[3]}')}'"
            return SourceError("LR003", message, document, start, start + len(written))
        if number < line and text.strip():
            break
    return None


def _guess(text: str, stop: int, line: str) -> str:
    """What is probably wrong where the parser stopped."""
    char = text[stop : stop + 1]
    if char in _UNEXPECTED:
        return _UNEXPECTED[char]
    if not text[stop:].strip():
        opened = _still_open(text[:stop]) or "a quote, a bracket or a mapping"
        return f"the document ends before {opened} is closed"
    if char == "[" and (value := re.search(_INDEXED, text[max(stop - _NEAR, 0) : stop + _NEAR])):
        return f"a '[' inside a value; put the value in quotes: '{clipped(value[0])}'"
    if char == "{" and (value := re.match(_INTERPOLATION, text[max(stop - 1, 0) :])):
        return f"put '{clipped(value[0])}' in quotes; lossreg does not resolve interpolations"
    if re.search(r":\s.*:\s", line) and not any(bracket in line for bracket in "{["):
        return "a ': ' inside a value; put the value in quotes"
    if char in ("]", "}", ",", ":"):
        opened = _still_open(text[:stop])
        if opened:
            return f"an unexpected '{char}'; {opened} is still open"
        if char != ":":
            return f"an unexpected '{char}'; check the brackets"
    if re.match(r"-\s", text[stop:]):
        return "an unexpected '- '; a list cannot stand among the keys of a mapping"
    quote = _long_quote(text[:stop])
    return quote or "check the indentation, the quotes and the brackets up to here"


def _long_quote(text: str) -> str:
    """A quote that ends the text, closed lines after its start, in words; empty if none does."""
    quotes = [match for match in re.finditer(_BRACKET, text) if match[1] or match[2]]
    if not quotes or "\n" not in quotes[-1][0] or quotes[-1].end() < len(text):
        return ""
    start, last = _at(text, quotes[-1].start()), _at(text, quotes[-1].end() - 1)
    return f"the quote of {start} is closed only at {last}; close it where the text ends"


def _still_open(text: str) -> str:
    """The innermost quote or bracket that a text leaves open, in words; empty if none is."""
    opened: list[int] = []
    for match in re.finditer(_BRACKET, text):
        first = match[0][0]
        if first in ("[", "{") or (first in ("'", '"') and not (match[1] or match[2])):
            opened.append(match.start())
        elif first in ("]", "}") and opened:
            opened.pop()
    if not opened:
        return ""
    last = opened[-1]
    return f"the {text[last]} of {_at(text, last)}"


def _at(text: str, place: int) -> str:
    line, column = text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place)
    return f"line {line}, column {column}"
