"""The descriptions of parameters in a docstring, in the three common notations."""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

__all__ = ["Described", "described_parameters", "summary_of"]

_GOOGLE = re.compile(
    r"(args|arguments|params|parameters|attributes|inputs?|keyword args):", re.IGNORECASE
)
# In none of these can two neighbouring parts match the same characters, so that matching takes
# time linear in the line's length.
_GOOGLE_ENTRY = re.compile(
    r"[-*` ]*(?P<name>\w+)[`\s]*(\((?P<kind>.*?)\)[`\s]*)?:(\s+|$)(?P<text>.*)"
)
_NUMPY = re.compile(r"(other )?parameters|attributes", re.IGNORECASE)
_NUMPY_ENTRY = re.compile(r"(?P<name>\w+)\s*(:\s*(?P<kind>.*))?")
_SPHINX_ENTRY = re.compile(
    r":(param|parameter|arg|argument)\s+(?P<kind>([^:\s]+\s+)*)(?P<name>\w+):(?P<text>.*)"
)
_SPHINX_KIND = re.compile(r":type\s+(?P<name>\w+):\s*(?P<kind>.*)")
_RULE = re.compile(r"-{3,}|={3,}")


class Described(NamedTuple):
    """A parameter's description in a docstring.

    Attributes:
        text: Its description, in one line without markup.
        kind: Its type, as written.
    """

    text: str
    kind: str


def summary_of(text: str | None) -> str:
    """A docstring's first sentence, without its full stop.

    >>> summary_of("Focal loss, of `Lin` and others.  It has two parameters.")
    'Focal loss, of Lin and others'
    >>> summary_of(None)
    ''
    """
    first = _plain(inspect.cleandoc(text or "").strip().partition("\n\n")[0])
    return re.split(r"[.]\s+(?=[A-Z])", first, maxsplit=1)[0].removesuffix(".")


def described_parameters(text: str | None) -> dict[str, Described]:
    r"""The parameters that a docstring in Google's, NumPy's or Sphinx's notation describes.

    >>> described_parameters("A loss.\n\nArgs:\n    gamma (float, optional): How much.\n")
    {'gamma': Described(text='How much.', kind='float, optional')}
    """
    lines = inspect.cleandoc(text or "").splitlines()
    described: dict[str, Described] = {}
    for index, line in enumerate(lines):
        if _GOOGLE.fullmatch(line.strip()):
            entries = _entries(_block(lines, index + 1, _indent(line)), _GOOGLE_ENTRY)
        elif _NUMPY.fullmatch(line.strip()) and _is_rule(lines, index + 1):
            entries = _entries(_until_heading(lines, index + 2), _NUMPY_ENTRY)
        elif _SPHINX_ENTRY.match(line.strip()):
            entries = _entries([line, *_block(lines, index + 1, _indent(line))], _SPHINX_ENTRY)
        else:
            continue
        for name, entry in entries.items():
            described.setdefault(name, entry)
    for line in lines:
        kind = _SPHINX_KIND.match(line.strip())
        if kind and kind["name"] in described:
            described[kind["name"]] = described[kind["name"]]._replace(kind=kind["kind"].strip())
    return described


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _is_rule(lines: list[str], index: int) -> bool:
    return index < len(lines) and _RULE.fullmatch(lines[index].strip()) is not None


def _block(lines: list[str], start: int, indent: int) -> list[str]:
    """The lines from `start` to the first that is not indented further than `indent`."""
    end = start
    while end < len(lines) and not (lines[end].strip() and _indent(lines[end]) <= indent):
        end += 1
    return lines[start:end]


def _until_heading(lines: list[str], start: int) -> list[str]:
    """The lines from `start` to the next underlined one."""
    end = start
    while end < len(lines) and not _is_rule(lines, end):
        end += 1
    return lines[start : end if end == len(lines) else max(end - 1, start)]


def _entries(lines: list[str], pattern: re.Pattern[str]) -> dict[str, Described]:
    """The entries at the block's own indentation, each with the lines indented below it."""
    outer = min((_indent(line) for line in lines if line.strip()), default=0)
    entries = {}
    for index, line in enumerate(lines):
        match = pattern.fullmatch(line.strip()) if _indent(line) == outer else None
        if match is None:
            continue
        groups = match.groupdict()
        below = "\n".join(map(str.strip, _block(lines, index + 1, outer)))
        text = f"{groups.get('text') or ''}\n{below}".strip().partition("\n\n")[0]
        entries[match["name"]] = Described(_plain(text), (groups["kind"] or "").strip())
    return entries


def _plain(text: str) -> str:
    """The text on one line, without reStructuredText's markup."""
    return " ".join(re.sub(r":\w+:(?=`)|`+|\*\*", "", text).split())
