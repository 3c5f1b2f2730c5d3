"""An objective as a formula, for a terminal and as Markdown."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from lossreg.cli.render.expression import latex
from lossreg.cli.render.page import displayed, escaped
from lossreg.config.tools.expressions import as_text
from lossreg.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lossreg.config.tools.expressions import Expression
    from lossreg.config.tools.formula import Detail, Objective, Term

__all__ = ["ASCII", "as_dict", "objective_page", "objective_text"]

ASCII = str.maketrans({"·": "*", "≠": "!=", "≤": "<=", "≥": ">=", "∑": "sum", "…": "..."})
"""For `str.translate`: what stands for a sign where a terminal has no Unicode."""


def as_dict(objective: Objective) -> dict[str, Any]:
    """The objective as data, for JSON."""
    return {
        "name": objective.name,
        "total": " ".join(_signed(objective.terms)),
        "latex": _latex_total(objective),
        "where": {name.text: _meaning(meaning) for name, meaning in objective.where},
        "frozen": list(objective.frozen),
        "terms": [
            {"name": term.name, "adds": " ".join(_signed([term])), **term.details}
            for term in objective.terms
        ],
        "disabled": list(objective.disabled),
    }


def objective_text(objective: Objective, width: int) -> str:
    """An objective for a terminal: the total first, then term by term.

    Args:
        objective: The objective.
        width: How wide the terminal is.
    """
    head = "L = "
    summands = []
    for signed in _signed(objective.terms):
        summands.append(_filled(signed, width, head, "      "))
        head = "  "
    sections = ["\n".join(summands)]
    if objective.name:
        sections.insert(0, printable(objective.name))
    where = [(name.text, [_meaning(meaning)]) for name, meaning in objective.where]
    if objective.frozen:
        where.append(("frozen", [_frozen(objective)]))
    if where:
        sections.append("where\n" + _rows(where, width))
    for term in objective.terms:
        rows = [(key, list(_lines(detail))) for key, detail in term.details.items()]
        sections.append(f"{printable(term.name)}\n{_rows(rows, width)}")
    if objective.disabled:
        sections.append(_filled(_disabled(objective), width, "", "  "))
    return "\n\n".join(sections)


def objective_page(objective: Objective, level: str = "#") -> str:
    """An objective in Markdown.

    Args:
        objective: The objective.
        level: The number signs of its heading.
    """
    sections = [f"{level} {escaped(objective.name)}"] if objective.name else []
    sections.append(displayed(_latex_total(objective)))
    where = [(name.text, [_meaning(meaning)]) for name, meaning in objective.where]
    if objective.frozen:
        where.append(("frozen", [_frozen(objective)]))
    if where:
        sections.append("where\n\n" + _bullets(where))
    for term in objective.terms:
        rows = [(key, list(_lines(detail))) for key, detail in term.details.items()]
        sections.append(f"{level}# {escaped(term.name)}\n\n{_bullets(rows)}")
    if objective.disabled:
        sections.append(escaped(_disabled(objective)))
    return "\n\n".join(sections)


def _signed(terms: Iterable[Term]) -> Iterator[str]:
    """The summands of a total, each with its sign but the first one's plus."""
    start = ""
    for term in terms:
        for sign, summand in term.summands:
            yield f"{sign} {as_text(summand)}" if start or sign == "-" else as_text(summand)
            start = " "


def _meaning(meaning: Expression | str) -> str:
    return meaning if isinstance(meaning, str) else as_text(meaning)


def _frozen(objective: Objective) -> str:
    return f"{', '.join(objective.frozen)}: no gradient goes through what is read there"


def _disabled(objective: Objective) -> str:
    return f"Disabled, so not in the total: {', '.join(objective.disabled)}"


def _lines(detail: Detail) -> Iterator[str]:
    if isinstance(detail, str):
        yield detail
    else:
        yield from (f"{name}: {text}" for name, text in detail.items())


def _rows(rows: Sequence[tuple[str, list[str]]], width: int) -> str:
    """Labels beside their lines, which are wrapped at the width."""
    wide = max(len(printable(label)) for label, _ in rows)
    texts = []
    for label, lines in rows:
        start = f"  {printable(label).ljust(wide)}  "
        for line in lines:
            texts.append(_filled(line, width, start, " " * (wide + 6)))
            start = " " * (wide + 4)
    return "\n".join(texts)


def _filled(text: str, width: int, start: str, indent: str) -> str:
    # Paths stay whole, so that they can be copied.
    return textwrap.fill(
        printable(text),
        width,
        initial_indent=start,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _bullets(rows: Iterable[tuple[str, list[str]]]) -> str:
    return "\n".join(
        f"- {escaped(label)}: {'; '.join(map(escaped, lines))}" for label, lines in rows
    )


def _latex_total(objective: Objective) -> str:
    signed = [pair for term in objective.terms for pair in term.summands]
    lines = []
    for index, (sign, summand) in enumerate(signed):
        start = "L =" if index == 0 else ""
        shown = "" if index == 0 and sign == "+" else f"{sign} "
        lines.append(f"{start}& {'' if start else '{} '}{shown}{latex(summand)}".lstrip())
    joined = " \\\\\n".join(lines)
    return f"\\begin{{aligned}}\n{joined}\n\\end{{aligned}}"
