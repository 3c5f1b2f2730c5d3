"""Every fault of a config, located, and in words that say what to write instead."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from lossreg.config.read.nodes import MOST_FAULTS, SourceError, too_many_faults
from lossreg.errors import ConfigError, Diagnostic, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lossreg.config.read.nodes import Document, Node, Span

__all__ = ["ConfigPath", "Faults", "clipped", "describe", "path_text"]

ConfigPath: TypeAlias = "str | tuple[ConfigPath, str | int]"
"""A place in a document: a text, or a place and one step further; "" is the whole of it."""

_LONGEST_VALUE = 60
_LONGEST_LINE = 4_000
_MOST_USERS = 3


def path_text(
    path: ConfigPath, written: Mapping[tuple[str, str | int], str] = MappingProxyType({})
) -> str:
    """A place as it is shown; making it is left to the moment when there is a fault.

    Args:
        path: The place.
        written: How the keys are spelt that are read as others, by mapping and key.

    >>> path_text((("loss.terms", "seg"), 0))
    'loss.terms.seg[0]'
    >>> path_text((("seg", "params"), "beta"), {("seg", "params"): "kwargs"})
    'seg.kwargs.beta'
    """
    if isinstance(path, str):
        return path
    text, step = path_text(path[0], written), path[1]
    step = written.get((text, step), step)
    if isinstance(step, int):
        return f"{text}[{step}]"
    shown = step if step.isidentifier() and len(step) <= _LONGEST_VALUE else clipped(step)
    return f"{text}.{shown}" if text else shown


def clipped(text: str) -> str:
    """A text from a config, short and printable."""
    return printable(text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…")


def describe(value: object) -> str:
    """What was found, in a few words: never more than some 70 characters.

    >>> describe("mean"), describe(None), describe([1])
    ("the string 'mean'", 'nothing', 'a list')
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        return f"the string '{clipped(value)}'" if value else "an empty string"
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - only nan differs from itself
        return "nan"
    if isinstance(value, int) and abs(value) >= 10**_LONGEST_VALUE:
        return f"an integer of more than {_LONGEST_VALUE} digits"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value)
    return f"a {clipped(type(value).__name__)}"


class Faults:
    """Collects diagnostics while a config is read."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], Diagnostic] = {}
        # A fault in an anchored value is found once for each of its users: their paths, in order.
        self._users: dict[tuple[object, ...], dict[str, None]] = {}
        self._written: dict[tuple[str, str | int], str] = {}

    def read_as(self, path: ConfigPath, written: str, meant: str) -> None:
        """Show the key of a mapping as it is written, although it is read as another one."""
        self._written[path_text(path, self._written), meant] = written

    def add(
        self,
        code: str,
        path: ConfigPath,
        message: str,
        at: Node | Span | None = None,
        *,
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        """Note a fault at a value or a key.

        Raises:
            SourceError: There are too many of them.
        """
        shown = path_text(path, self._written)
        span = at if isinstance(at, tuple) else (None, 0, 0) if at is None else at.span
        document, start, end = span
        # The text tells one override from another.
        place = (shown,) if document is None else (document.name, document.text, start)
        key = (*place, code, message)
        if key not in self._found:
            found = Diagnostic(code=code, message=message, path=shown, severity=severity)
            if document is not None:
                found = _located(found, document, start, end)
            self._found[key] = found
            if len(self._found) > MOST_FAULTS:
                self._found.popitem()
                raise too_many_faults(span)
        users = self._users.setdefault(key, {})
        if len(users) < _MOST_USERS + 2:  # with the first, and one that is told as '…'
            users[shown] = None

    def add_source_error(self, error: SourceError) -> None:
        """Note what kept a document from being read."""
        document = error.document
        diagnostic = Diagnostic(code=error.code, message=error.message)
        if document is not None and document.text:
            diagnostic = _located(diagnostic, document, error.start, error.end)
        elif document is not None:
            diagnostic = dataclasses.replace(diagnostic, file=document.name)
        self._found.setdefault((diagnostic,), diagnostic)

    def sorted(self) -> list[Diagnostic]:
        """The faults in the order of the text; one in an anchored value told once."""
        found = []
        tagged = {_place(each) for each in self._found.values() if each.code == "LR006"}
        for key, each in self._found.items():
            if _place(each) in tagged and each.code != "LR006":
                continue  # what a value is cannot be said while it bears a tag
            others = [path for path in self._users.get(key, ()) if path != each.path]
            message = each.message
            if others:
                shown = ", ".join(map(clipped, others[:_MOST_USERS]))
                more = ", …" if len(others) > _MOST_USERS else ""
                message += f" (used by {shown}{more} as well)"
            found.append(dataclasses.replace(each, message=message))
        # Each override is a document of its own, so that their columns say nothing of an order.
        return sorted(
            found,
            key=lambda each: (
                (1, 0, 0) if each.file == "--set" else (0, each.line or 0, each.column or 0)
            ),
        )

    @property
    def has_errors(self) -> bool:
        """Whether there is more than warnings."""
        return any(each.severity == "error" for each in self._found.values())

    def raise_errors(self) -> None:
        """Raise a ConfigError with all that was found, if it holds an error."""
        if self.has_errors:
            raise ConfigError(self.sorted())


def _place(diagnostic: Diagnostic) -> tuple[object, ...]:
    return diagnostic.file, diagnostic.line, diagnostic.column, diagnostic.source_line


def _located(diagnostic: Diagnostic, document: Document, start: int, end: int) -> Diagnostic:
    place = document.place(start, end)
    shown = place.end <= _LONGEST_LINE
    return dataclasses.replace(
        diagnostic,
        file=document.name,
        line=place.line,
        column=place.column,
        end_column=place.end,
        source_line=document.line(place.line, _LONGEST_LINE) if shown else None,
    )
