"""Run one command: from its words to its exit code."""

from __future__ import annotations

import argparse
import atexit
import gc
import importlib
import io
import keyword
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from lossreg.cli.output import complain, flush, is_coloured, say
from lossreg.errors import LossregError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["run"]

# Each verb is a module of `lossreg.cli.verbs`, imported only when it runs.
_VERBS = {
    "list": "list the installed losses, or tasks",
    "show": "show what a loss is, what it takes and how to declare it; or what a task is",
    "check": "check configs as a compiler checks source code, without building them",
    "diff": "say what differs in meaning between two configs",
    "expand": "print a config with every default written out",
    "schema": "print the JSON Schema of configs, for editors",
    "plot": "draw the weights of an objective over time",
    "try": "run an objective, forward and backward, on small tensors of given shapes",
    "codes": "explain diagnostic codes",
    "new": "write the distribution of a new loss plugin",
    "run": "train a task with the objective of an experiment file",
}


def run(argv: Sequence[str] | None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: The command's words; None for those that this process was started with.

    Raises:
        SystemExit: The words are wrong, or asked for help.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal without Unicode gets escapes, not a crash.
            stream.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if argv is None else argv
    if argv is None and words[:1] != ["run"]:
        # In a short-lived process garbage collection only costs time, the final pass too.
        gc.set_threshold(100_000)
        atexit.register(gc.freeze)
    debug = False
    try:
        try:
            arguments = _parser(words).parse_args(words)
            debug = arguments.debug
            code: int = arguments.run(arguments)
        except SystemExit:  # after help, too
            flush()
            raise
        flush()
    except LossregError as error:
        from lossreg.cli.render.report import error_text

        if debug:
            import traceback

            complain(traceback.format_exc().rstrip())
        colour = is_coloured(sys.stderr)
        complain(error_text(error, colour=colour), coloured=colour)
        return 1
    return code


class _Parser(argparse.ArgumentParser):
    """Prints through `cli.output`, as the verbs do.

    Attributes:
        mixes: Whether options may stand between words that are a list.
    """

    mixes = False

    def parse_known_args(  # type: ignore[override]
        self, args: Any = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        if not self.mixes:
            return super().parse_known_args(args, namespace)
        self.mixes = False  # what is called now calls this method again
        return self.parse_known_intermixed_args(args, namespace)

    def print_help(self, file: Any = None) -> None:
        del file
        say(self.format_help(), end="")

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


class _Version(argparse.Action):
    """Prints the version, which is looked up only on request."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        say(f"lossreg {version('lossreg')}")
        parser.exit()


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(prog="lossreg", description="Declare what a PyTorch model optimises.")
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="show program's version number and exit"
    )
    verbs = parser.add_subparsers(metavar="COMMAND", required=True)
    for word in words[:1]:
        if word not in _VERBS and not word.startswith("-"):
            from lossreg.names import closest

            meant = closest(word, _VERBS)
            hint = f"did you mean '{meant}'?" if meant else f"expected one of {', '.join(_VERBS)}"
            parser.error(f"there is no command '{word}'; {hint}")
    # Argument parsers are expensive to make, and only one verb runs.
    chosen = {name: _VERBS[name] for name in words[:1] if name in _VERBS}
    for name, summary in (chosen or _VERBS).items():
        verb_parser = verbs.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        if chosen:
            if name != "run":
                # pydantic would look through every distribution for plugins of its own.
                os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
            # A module cannot be named as a keyword, such as `try`, is.
            module = f"{name}_" if keyword.iskeyword(name) else name
            verb = importlib.import_module(f"lossreg.cli.verbs.{module}")
            verb.add_arguments(verb_parser)
            verb_parser.mixes = getattr(verb, "MIXES", False)
            verb_parser.add_argument(
                "--debug", action="store_true", help="show the traceback of an error"
            )
            verb_parser.set_defaults(run=verb.run)
    return parser
