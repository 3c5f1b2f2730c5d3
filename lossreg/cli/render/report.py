"""How errors, diagnostics and tables look. Pure functions from data to text."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from lossreg.errors import ConfigError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lossreg.errors import Diagnostic, LossregError

__all__ = [
    "diagnostic_text",
    "error_text",
    "source_lines",
    "summary_text",
    "table",
    "terminal_width",
]

_WIDEST = 100
_BOLD, _RED, _YELLOW, _BLUE, _OFF = "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[34m", "\x1b[0m"
# How many cells of a long line are shown before the caret.
_CONTEXT = 30


def terminal_width() -> int:
    """The terminal's width, at most what reads well."""
    import shutil

    return min(shutil.get_terminal_size().columns, _WIDEST)


def error_text(error: LossregError, *, colour: bool = False) -> str:
    """An error for a terminal."""
    if isinstance(error, ConfigError):
        texts = [diagnostic_text(diagnostic, colour=colour) for diagnostic in error.diagnostics]
        return "\n".join([*texts, summary_text(error.diagnostics)])
    return "error: " + printable(str(error), keep="\n")


def diagnostic_text(diagnostic: Diagnostic, *, colour: bool = False) -> str:
    """One diagnostic as a compiler shows it: place, path, code, message, line and caret."""
    bold, off = (_BOLD, _OFF) if colour else ("", "")
    severity = _RED if diagnostic.severity == "error" else _YELLOW
    tint, blue = (severity, _BLUE) if colour else ("", "")
    parts = (diagnostic.file, diagnostic.line, diagnostic.column)
    place = _visible(":".join(str(part) for part in parts if part))
    warning = "warning " if diagnostic.severity == "warning" else ""
    code = f"{tint}{warning}[{diagnostic.code}]{off}"
    path = _visible(diagnostic.path)
    head = "  ".join(part for part in (f"{bold}{place}{off}", path, code) if part)
    message = "\n".join(map(_visible, diagnostic.message.splitlines()))
    lines = [head, textwrap.indent(message, "    "), *source_lines(diagnostic, blue, tint, off)]
    return "\n".join(lines)


def source_lines(
    diagnostic: Diagnostic, blue: str = "", tint: str = "", off: str = ""
) -> list[str]:
    """The line that a diagnostic is about, and a line with its caret; none where it has no line."""
    if diagnostic.source_line is None or diagnostic.column is None:
        return []
    end = diagnostic.end_column or diagnostic.column + 1
    shown, start, length = _window(diagnostic.source_line, diagnostic.column - 1, end - 1)
    number = str(diagnostic.line).rjust(5)
    return [
        f"{blue}{number} |{off} {shown}",
        f"{blue}{' ' * len(number)} |{off} {' ' * start}{tint}{'^' * length}{off}",
    ]


def _window(line: str, start: int, end: int) -> tuple[str, int, int]:
    """The part of a line that is shown, and the caret's start and length in terminal cells."""
    room = max(terminal_width() - 10, 2 * _CONTEXT)
    before, after = _visible(line[:start]), _visible(line[end:])
    marked = _visible(line[start:end]) or " "
    if _cells(before + marked + after) > room and _cells(before) > room // 2:
        before = before[-_CONTEXT:]
        while _cells(before) > _CONTEXT:
            before = before[1:]
        before = "…" + before
    length = min(_cells(marked), max(room - _cells(before), 1))
    shown, width = "", 0
    for char in before + marked + after:
        if width + _cells(char) > room:
            shown += "…"
            break
        shown, width = shown + char, width + _cells(char)
    return shown.rstrip(), _cells(before), length


def _visible(text: str) -> str:
    """The text with tabs as spaces, and with control characters replaced."""
    return printable(text.replace("\t", "    "))


def _cells(text: str) -> int:
    """How many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    import unicodedata  # most texts are ASCII

    return sum(
        0
        if unicodedata.category(char) in ("Mn", "Me")
        else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def summary_text(diagnostics: Sequence[Diagnostic]) -> str:
    """How many errors and warnings there are: `2 errors, 1 warning`."""
    counts = []
    for severity in ("error", "warning"):
        count = sum(diagnostic.severity == severity for diagnostic in diagnostics)
        if count:
            counts.append(f"{count} {severity}{'s' if count > 1 else ''}")
    return ", ".join(counts) or "no problems"


def table(rows: Sequence[Sequence[str]], *, width: int) -> str:
    """Columns side by side; the last one is wrapped at the width.

    >>> print(table([("l1", "absolute error"), ("mse", "squared error")], width=80))
    l1   absolute error
    mse  squared error
    """
    rows = [[*map(printable, row[:-1]), row[-1]] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    indent = sum(widths) + 2 * len(widths)
    lines = []
    for row in rows:
        start = "".join(
            cell.ljust(wide) + "  " for cell, wide in zip(row[:-1], widths, strict=True)
        )
        # Hyphenated names and commands stay whole, so that they can be copied.
        text, space = printable(row[-1], keep="\n"), max(width - indent, 20)
        wrapped = textwrap.wrap(text, space, break_on_hyphens=False) or [""]
        lines.append((start + wrapped[0]).rstrip())
        lines.extend(" " * indent + line for line in wrapped[1:])
    return "\n".join(lines)
