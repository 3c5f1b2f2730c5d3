"""Collects the faults of a config, each with its place and what to write instead."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from lossreg.config.read.nodes import MOST_FAULTS, SourceError, too_many_faults
from lossreg.errors import ConfigError, Diagnostic, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lossreg.config.read.nodes import Document, Node, Span

__all__ = [
    "ConfigPath",
    "Faults",
    "clipped",
    "describe",
    "holds_interpolation",
    "is_interpolation",
    "path_text",
]

ConfigPath: TypeAlias = "str | tuple[ConfigPath, str | int]"
"""A place in a document: a text, or a place and one step further; "" is the whole document."""

_LONGEST_VALUE = 60
_MISSING = "???"
_LONGEST_LINE = 4_000
_MOST_USERS = 3


def path_text(
    path: ConfigPath, written: Mapping[tuple[str, str | int], str] = MappingProxyType({})
) -> str:
    """The text of a place, made only when there is a fault.

    Args:
        path: The place.
        written: The spelling of misspelt keys, by mapping and the key that was meant.

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


def is_interpolation(value: object) -> bool:
    """Whether another config system fills a text in: it has `${...}`, or is OmegaConf's `???`."""
    return isinstance(value, str) and ("${" in value or value == _MISSING)


def holds_interpolation(node: Node) -> bool:
    """Whether a value is an interpolation, or has one in it."""
    nodes = [node]
    while nodes:
        value = nodes.pop().value
        if is_interpolation(value):
            return True
        nodes.extend(
            value.values() if type(value) is dict else value if type(value) is list else ()
        )
    return False


def describe(value: object) -> str:
    """A value in a few words, about 70 characters at most; an interpolation with what to do.

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
        return _describe_text(value)
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - only nan differs from itself
        return "nan"
    if isinstance(value, int) and abs(value) >= 10**_LONGEST_VALUE:
        return f"an integer of more than {_LONGEST_VALUE} digits"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value)
    return f"a {clipped(type(value).__name__)}"


def _describe_text(text: str) -> str:
    if text == _MISSING:
        return (
            "'???', a value that OmegaConf has yet to be given; write the value, or let "
            "`lossreg check --interpolations` pass over it"
        )
    if is_interpolation(text):
        return (
            f"the interpolation '{clipped(text)}', which lossreg does not resolve; resolve it "
            "first, as OmegaConf.to_container(config, resolve=True) does, write the value, or let "
            "`lossreg check --interpolations` pass over it"
        )
    return f"the string '{clipped(text)}'" if text else "an empty string"


class Faults:
    """Collects diagnostics while a config is read.

    Args:
        interpolations: Whether interpolations are passed over: what is wrong with one, or with a
            value of which one is a part, is not known and so not noted.
    """

    def __init__(self, *, interpolations: bool = False) -> None:
        self.interpolations = interpolations
        self._diagnostics: dict[tuple[object, ...], Diagnostic] = {}
        # A fault in an anchored value is noted once for each user of the value: their paths, in
        # order.
        self._users: dict[tuple[object, ...], dict[str, None]] = {}
        self._written: dict[tuple[str, str | int], str] = {}

    def read_as(self, path: ConfigPath, written: str, meant: str) -> None:
        """In later paths, show a misspelt key as it is written."""
        self._written[path_text(path, self._written), meant] = written

    def add(
        self,
        code: str,
        path: ConfigPath,
        message: str,
        place: Node | Span | None = None,
        *,
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        """Note a fault at a value or a key.

        Raises:
            SourceError: There are more than `MOST_FAULTS` faults.
        """
        if self.interpolations and place is not None and not isinstance(place, tuple):
            # What a collection has and lacks can be judged; its value cannot (LR2xx).
            is_value = not isinstance(place.value, dict | list) or code.startswith("LR2")
            if is_value and holds_interpolation(place):
                return
        shown = path_text(path, self._written)
        span = place if isinstance(place, tuple) else (None, 0, 0) if place is None else place.span
        document, start, end = span
        # All overrides have one name; the text says which one it is.
        origin = (shown,) if document is None else (document.name, document.text, start)
        key = (*origin, code, message)
        if key not in self._diagnostics:
            diagnostic = Diagnostic(code=code, message=message, path=shown, severity=severity)
            if document is not None:
                diagnostic = _located(diagnostic, document, start, end)
            self._diagnostics[key] = diagnostic
            if len(self._diagnostics) > MOST_FAULTS:
                self._diagnostics.popitem()
                raise too_many_faults(span)
        users = self._users.setdefault(key, {})
        if len(users) < _MOST_USERS + 2:  # with the first, and one that is shown as '…'
            users[shown] = None

    def add_source_error(self, error: SourceError) -> None:
        """Note why a document could not be read."""
        document = error.document
        diagnostic = Diagnostic(code=error.code, message=error.message)
        if document is not None and document.text:
            diagnostic = _located(diagnostic, document, error.start, error.end)
        elif document is not None:
            diagnostic = dataclasses.replace(diagnostic, file=document.name)
        self._diagnostics.setdefault((diagnostic,), diagnostic)

    def sorted(self) -> list[Diagnostic]:
        """The faults in the order of the text; one in an anchored value is reported once."""
        diagnostics = []
        noted = self._diagnostics.items()
        tagged = {_place(fault) for _, fault in noted if fault.code == "LR006"}
        for key, diagnostic in noted:
            if _place(diagnostic) in tagged and diagnostic.code != "LR006":
                continue  # the kind of a value is not known while it has a tag
            others = [path for path in self._users.get(key, ()) if path != diagnostic.path]
            message = diagnostic.message
            if others:
                shown = ", ".join(map(clipped, others[:_MOST_USERS]))
                more = ", …" if len(others) > _MOST_USERS else ""
                message += f" (used by {shown}{more} as well)"
            diagnostics.append(dataclasses.replace(diagnostic, message=message))
        return sorted(diagnostics, key=_order)

    def passes_over(self, node: Node) -> bool:
        """Whether a value is an interpolation that is passed over."""
        return self.interpolations and is_interpolation(node.value)

    @property
    def has_errors(self) -> bool:
        """Whether any fault is an error, not only a warning."""
        return any(fault.severity == "error" for fault in self._diagnostics.values())

    def raise_errors(self) -> None:
        """Raise a ConfigError with every fault, if one of them is an error."""
        if self.has_errors:
            raise ConfigError(self.sorted())


def _order(diagnostic: Diagnostic) -> tuple[int, int, int]:
    if diagnostic.file == "--set":
        # Each override is a document of its own, so its column does not order it among the others.
        return 1, 0, 0
    return 0, diagnostic.line or 0, diagnostic.column or 0


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
