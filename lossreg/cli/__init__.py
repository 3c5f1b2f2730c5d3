"""The command line: one module a verb, each parses, calls, formats and gives an exit code.

Exit codes: 0 fine, 1 a problem was found, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import importlib
import io
import os
import sys
from typing import TYPE_CHECKING

from lossreg.errors import LossregError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

# Each verb is a module of this package, imported when it is the one that runs.
_VERBS = {
    "list": "list the installed losses",
    "show": "show what a loss is, what it takes and how to declare it",
    "check": "check configs as a compiler checks source code, without building them",
    "codes": "explain diagnostic codes",
    "new": "write the distribution of a new loss plugin",
    "run": "train a bundled task with the objective of an experiment file",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal without Unicode gets escapes, not a crash.
            stream.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if argv is None else argv
    if argv is None and words[:1] != ["run"]:
        # A short process of its own: what it imports is looked through for garbage in vain, and
        # at its end once more. What is garbage then goes with the process.
        gc.set_threshold(100_000)
        atexit.register(gc.freeze)
    arguments = _parser(words).parse_args(words)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except LossregError as error:
        from lossreg.cli.report import error_text

        if arguments.debug:
            import traceback

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


class _Version(argparse.Action):
    """Prints the version; only then is it looked up."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"lossreg {version('lossreg')}")
        parser.exit()


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lossreg", description="Declare what a PyTorch model optimises."
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="show program's version number and exit"
    )
    verbs = parser.add_subparsers(metavar="COMMAND", required=True)
    # Argument parsers are dear, and one verb is all that runs.
    chosen = {name: _VERBS[name] for name in words[:1] if name in _VERBS}
    for name, summary in (chosen or _VERBS).items():
        verb_parser = verbs.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        if chosen:
            if name != "run":
                # pydantic would look through every distribution for plugins of its own.
                os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
            verb = importlib.import_module(f"lossreg.cli.{name}")
            verb.add_arguments(verb_parser)
            verb_parser.add_argument(
                "--debug", action="store_true", help="show the traceback of an error"
            )
            verb_parser.set_defaults(run=verb.run)
    return parser
