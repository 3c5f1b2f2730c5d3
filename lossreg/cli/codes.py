"""Explain diagnostic codes."""

from __future__ import annotations

import difflib
import json
import sys
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING

from lossreg.cli.report import table, terminal_width
from lossreg.config.codes import CODES

if TYPE_CHECKING:
    import argparse

    from lossreg.config.codes import Code

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("code", metavar="CODE", nargs="?", help="such as LR103; all, if left out")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print one code's meaning and examples, or a line a code."""
    if arguments.code is None:
        found = list(CODES.values())
    elif arguments.code.upper() in CODES:
        found = [CODES[arguments.code.upper()]]
    else:
        close = difflib.get_close_matches(arguments.code.upper(), CODES, n=1)
        hint = f"did you mean {close[0]}?" if close else "`lossreg codes` lists them"
        print(f"error: there is no code '{arguments.code}'; {hint}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps([asdict(each) for each in found], indent=2))
    elif arguments.code is None:
        rows = [(each.code, "warning" if each.warning else "error", each.title) for each in found]
        print(table(rows, width=terminal_width()))
    else:
        print(_text(found[0]))
    return 0


def _text(code: Code) -> str:
    kind = "warning" if code.warning else "error"
    parts = [
        f"{code.code} ({kind}): {code.title}",
        textwrap.fill(code.explanation, terminal_width()),
    ]
    for title, example in (("Bad", code.bad), ("Good", code.good)):
        if example:
            shown = "".join(c if c.isprintable() or c in "\n\t" else "?" for c in example)
            overrides = "".join(f"# with --set {each}\n" for each in code.overrides)
            body = (overrides if title == "Bad" else "") + shown
            parts.append(f"{title}\n{textwrap.indent(body.rstrip(), '  ')}")
    return "\n\n".join(parts)
