"""Configs from standard input, for which `-` stands."""

from __future__ import annotations

import sys

from lossreg.config.read.documents import MAX_BYTES
from lossreg.errors import LossregError

__all__ = ["MARK", "NAME", "source"]

MARK = "-"
"""What stands for it among a command's words."""
NAME = "<stdin>"
"""What diagnostics call it."""


def source(argument: str) -> str | bytes:
    """A file's name, or the bytes of standard input for `-`.

    Raises:
        LossregError: The process was started without a standard input.
    """
    if argument != MARK:
        return argument
    if sys.stdin is None:
        raise LossregError("there is no standard input")
    # One byte above the limit shows that the input is too large; a stream may be endless.
    return sys.stdin.buffer.read(MAX_BYTES + 1)
