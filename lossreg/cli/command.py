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
    from collections.abc import Mapping, Sequence
    from types import ModuleType

__all__ = ["run", "verb_module"]

# Each verb is a module of `lossreg.cli.verbs`, imported only when it runs.
_VERBS = {
    "list": "list the installed losses, or tasks",
    "show": "show what a loss or a task is, or the objective of a config as a formula",
    "check": "check configs as a compiler checks source code, without building them",
    "diff": "say what differs in meaning between two configs",
    "expand": "print a config with every default written out",
    "schema": "print the JSON Schema of configs, for editors",
    "plot": "draw the weights of an objective over time",
    "try": "run an objective, forward and backward, on small tensors of given shapes",
    "codes": "explain diagnostic codes",
    "new": "write the distribution of a new loss plugin",
    "bridge": "import a library's module and write a plugin of its losses, for you to correct",
    "run": "train a task with the objective of an experiment file",
}

# Their names in other programs.
_FOREIGN = {
    **dict.fromkeys(("lint", "validate", "verify"), "check"),
    **dict.fromkeys(("create", "init", "scaffold"), "new"),
    **dict.fromkeys(("describe", "info"), "show"),
    **dict.fromkeys(("fit", "train"), "run"),
    "compare": "diff",
    "explain": "codes",
    "help": "--help",
    "ls": "list",
    "version": "--version",
}
_EXIT_CODES = "exit codes: 0 fine, 1 a problem was found, 2 wrong usage, 130 interrupted"
_TOP = "`lossreg COMMAND --help` shows the options of a command, and examples."
_PAGES = "documentation: https://github.com/lossreg/lossreg/tree/main/docs"


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

    def refuse_unknown_options(self, words: Sequence[str]) -> None:
        """Refuse a misspelt option by its name; argparse would first miss what is required."""
        known = [name for action in self._actions for name in action.option_strings]
        for word in words:
            option = word.partition("=")[0]
            if option == "--":
                return
            if option.startswith("--") and not any(name.startswith(option) for name in known):
                from lossreg.names import closest

                meant = closest(option, known)
                hint = f"; did you mean '{meant}'?" if meant else ""
                self.error(f"there is no option '{option}'{hint}")


class _Version(argparse.Action):
    """Prints the version, which is looked up only on request."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        say(f"lossreg {version('lossreg')}")
        parser.exit()


def verb_module(name: str) -> ModuleType:
    """The module of a verb."""
    # A module cannot be named as a keyword, such as `try`, is.
    module = f"{name}_" if keyword.iskeyword(name) else name
    return importlib.import_module(f"lossreg.cli.verbs.{module}")


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="lossreg",
        description="Declare what a PyTorch model optimises.",
        epilog=f"{_TOP}\n{_EXIT_CODES}\n{_PAGES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="show program's version number and exit"
    )
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for word in words[:1]:
        if word not in _VERBS and not word.startswith("-"):
            parser.error(f"there is no command '{word}'; {_hint(word)}")
    # Argument parsers are expensive to make, and only one verb runs.
    chosen = {name: _VERBS[name] for name in words[:1] if name in _VERBS}
    for name, summary in (chosen or _VERBS).items():
        verb_parser = verbs.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if chosen:
            if name != "run":
                # pydantic would look through every distribution for plugins of its own.
                os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
            verb = verb_module(name)
            verb.add_arguments(verb_parser)
            verb_parser.mixes = getattr(verb, "MIXES", False)
            verb_parser.add_argument(
                "--debug", action="store_true", help="show the traceback of an error"
            )
            verb_parser.set_defaults(run=verb.run)
            verb_parser.epilog = f"{_examples(verb.EXAMPLES)}\n\n{_EXIT_CODES}"
            verb_parser.refuse_unknown_options(words[1:])
    if not chosen:
        parser.refuse_unknown_options(words[:1])
    if not words:
        complain(parser.format_help().rstrip())
        parser.exit(2)
    return parser


def _hint(word: str) -> str:
    """What to write for a command that there is not."""
    if word.endswith((".yaml", ".yml")):
        return f"did you mean 'lossreg check {word}'?"
    from lossreg.names import closest

    meant = _FOREIGN.get(word) or closest(word, _VERBS)
    return f"did you mean '{meant}'?" if meant else f"expected one of {', '.join(_VERBS)}"


def _examples(examples: Mapping[str, str]) -> str:
    """Commands with what they do, as a part of a help."""
    lines = (f"  {command}\n      {meaning}" for command, meaning in examples.items())
    return "\n".join(["examples:", *lines])
