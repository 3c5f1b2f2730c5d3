"""Explain diagnostic codes."""

from __future__ import annotations

import difflib
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING

from lossreg.cli.output import complain, say, say_json
from lossreg.cli.render.report import table, terminal_width
from lossreg.config.faults.codes import CODES
from lossreg.config.faults.faults import clipped
from lossreg.errors import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from lossreg.config.faults.codes import Code

__all__ = ["EXAMPLES", "add_arguments", "run"]


EXAMPLES = {
    "lossreg codes LR103": "what a code means, with a bad and a good config",
    "lossreg codes": "all of them, a line each",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("code", metavar="CODE", nargs="?", help="such as LR103; by default, all")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON")
    output.add_argument(
        "--markdown", action="store_true", help="print a page of documentation, with examples"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print one code's meaning and examples, or one line for each code."""
    if arguments.code is None:
        codes = list(CODES.values())
    elif arguments.code.upper() in CODES:
        codes = [CODES[arguments.code.upper()]]
    else:
        # A letter that looks like a digit is the likeliest slip.
        meant = arguments.code.upper().translate(str.maketrans("OI", "01"))
        close = difflib.get_close_matches(meant, CODES, n=1)
        hint = f"did you mean {close[0]}?" if close else "`lossreg codes` lists them"
        complain(f"error: there is no code '{clipped(arguments.code)}'; {hint}")
        return 1
    if arguments.json:
        say_json([asdict(code) for code in codes])
    elif arguments.markdown:
        say(_markdown(codes))
    elif arguments.code is None:
        rows = [(code.code, "warning" if code.warning else "error", code.title) for code in codes]
        say(table(rows, width=terminal_width()))
    else:
        say(_text(codes[0]))
    return 0


def _text(code: Code) -> str:
    parts = [_heading(code), textwrap.fill(code.explanation, terminal_width())]
    for title, example in _examples(code):
        parts.append(f"{title}\n{textwrap.indent(example, '  ')}")
    return "\n\n".join(parts)


def _markdown(codes: Iterable[Code]) -> str:
    parts = [
        "# Codes",
        "What each code of `lossreg check` means; `lossreg codes LR103` prints one.",
    ]
    for code in codes:
        parts += [f"## {_heading(code)}", textwrap.fill(code.explanation, 100)]
        parts += [f"{title}:\n\n```yaml\n{example}\n```" for title, example in _examples(code)]
    return "\n\n".join(parts)


def _heading(code: Code) -> str:
    return f"{code.code} ({'warning' if code.warning else 'error'}): {code.title}"


def _examples(code: Code) -> Iterable[tuple[str, str]]:
    """The code's examples with their titles; characters that cannot be printed are replaced."""
    overrides = "".join(f"# with --set {override}\n" for override in code.overrides)
    for title, example in (("Bad", overrides + code.bad), ("Good", code.good)):
        if example and code.bad:
            yield title, printable(example, keep="\n\t").rstrip()
