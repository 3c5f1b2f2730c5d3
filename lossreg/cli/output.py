"""Output: everything that the command line prints goes through this module."""

from __future__ import annotations

import errno
import math
import os
import sys
from typing import TYPE_CHECKING

from lossreg.errors import LossregError, printable

if TYPE_CHECKING:
    from typing import TextIO

__all__ = [
    "can_show",
    "complain",
    "discard",
    "flush",
    "is_coloured",
    "is_terminal",
    "say",
    "say_json",
]

# The control characters that are kept: they make lines and columns.
_LAYOUT = "\n\t"


def say(text: str, *, end: str = "\n", coloured: bool = False) -> None:
    """Print a result.

    Args:
        text: What to print. Foreign names and messages may hold anything: characters that a
            terminal would act upon are replaced.
        end: What follows the text.
        coloured: Whether the text holds colours, and is clean already.

    A reader may close the output early, as `head` does: the verb still runs to its exit code.

    Raises:
        LossregError: The text cannot be written.
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
        return {key: _finite(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    is_odd = isinstance(value, float) and not math.isfinite(value)
    return str(value) if is_odd else value


def flush() -> None:
    """Write out what was printed; raises as `say` does."""
    try:
        if sys.stdout is not None:  # None if the process was started without one
            sys.stdout.flush()
    except OSError as error:
        _give_up(error)


def complain(text: str, *, coloured: bool = False) -> None:
    """Print a message to standard error; if that is closed, only the exit code remains.

    Args:
        text: As for `say`.
        coloured: As for `say`.
    """
    try:
        print(text if coloured else printable(text, keep=_LAYOUT), file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO | None) -> None:
    """Drop what is left in a stream: Python would report an error when it flushes it at exit."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def is_coloured(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal whose user wants colours."""
    return is_terminal(stream) and "NO_COLOR" not in os.environ


def can_show(text: str) -> bool:
    """Whether the encoding of standard output has all characters of a text."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream exists and is a terminal."""
    return stream is not None and stream.isatty()


def _give_up(error: OSError) -> None:
    """Stop printing.

    Raises:
        LossregError: The error is not a closed pipe: a reader would miss the rest.
    """
    discard(sys.stdout)
    # Windows reports a closed pipe as EINVAL.
    if isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL):
        return
    raise LossregError(f"the output cannot be written: {error.strerror or error}") from error
