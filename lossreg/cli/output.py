"""Where text leaves: everything that the command line prints goes through here."""

from __future__ import annotations

import errno
import math
import os
import sys
from typing import TYPE_CHECKING

from lossreg.errors import LossregError, printable

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["complain", "discard", "flush", "is_coloured", "is_terminal", "say", "say_json"]

# What makes lines and columns; a text is cleaned of the rest.
_LAYOUT = "\n\t"


def say(text: str, *, end: str = "\n", coloured: bool = False) -> None:
    """Print a result.

    Args:
        text: What to print. Names and messages of others may hold anything: what a terminal
            would act upon is replaced.
        end: What follows it.
        coloured: Whether the text holds colours, and is clean already.

    Whoever reads the output may leave before its end, as `head` does: the verb goes on to its exit
    code, which says what it found.

    Raises:
        LossregError: It cannot be written.
    """
    try:
        print(text if coloured else printable(text, keep=_LAYOUT), end=end)
    except OSError as error:
        _give_up(error)


def say_json(value: object) -> None:
    """Print data as JSON; raises as `say` does."""
    import json

    say(json.dumps(_finite(value), indent=2, allow_nan=False))


def _finite(value: object) -> object:
    """The same data with inf and nan, which JSON does not have, as strings."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    is_odd = isinstance(value, float) and not math.isfinite(value)
    return str(value) if is_odd else value


def flush() -> None:
    """Write out what was printed; raises as `say` does."""
    try:
        if sys.stdout is not None:  # None where the process was started without one
            sys.stdout.flush()
    except OSError as error:
        _give_up(error)


def complain(text: str, *, coloured: bool = False) -> None:
    """Print a message to standard error; where nobody reads that, the exit code is left to say it.

    Args:
        text: As for `say`.
        coloured: As for `say`.
    """
    try:
        print(text if coloured else printable(text, keep=_LAYOUT), file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO | None) -> None:
    """Let what is left in a stream go nowhere: Python would complain when it flushes it at exit."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def is_coloured(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal whose user wants colours."""
    return is_terminal(stream) and "NO_COLOR" not in os.environ


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is there, and is a terminal."""
    return stream is not None and stream.isatty()


def _give_up(error: OSError) -> None:
    """Print nothing more.

    Raises:
        LossregError: Somebody still reads, so that what is missing would be missed.
    """
    discard(sys.stdout)
    # The latter is what Windows says of a closed pipe.
    if isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL):
        return
    raise LossregError(f"the output cannot be written: {error.strerror or error}") from error
