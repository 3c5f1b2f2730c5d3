"""The command line: one module a verb, each parses, calls, formats and gives an exit code.

Exit codes: 0 fine, 1 a problem was found, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
import traceback
from typing import TYPE_CHECKING

from lossreg.cli import check, codes, list, run, show
from lossreg.cli.report import error_text
from lossreg.errors import LossregError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_VERBS = (list, show, check, codes, run)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except LossregError as error:
        if arguments.debug:
            traceback.print_exc()
        colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        print(error_text(error, colour=colour), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has left, as `lossreg list | head` does; and Python would
        # complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lossreg", description="Declare what a PyTorch model optimises."
    )
    version = importlib.metadata.version("lossreg")
    parser.add_argument("--version", action="version", version=f"lossreg {version}")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verbs = parser.add_subparsers(metavar="COMMAND", required=True)
    for verb in _VERBS:
        name = verb.__name__.rpartition(".")[2]
        summary = (verb.__doc__ or "").partition("\n")[0]
        verb_parser = verbs.add_parser(
            name,
            parents=[shared],
            help=summary[0].lower() + summary[1:].rstrip("."),
            description=summary,
        )
        verb.add_arguments(verb_parser)
        verb_parser.set_defaults(run=verb.run)
    return parser
