"""The document that a command names: a file, or standard input."""

from __future__ import annotations

import sys

from lossreg.config.read.documents import MAX_BYTES
from lossreg.errors import LossregError

__all__ = ["STANDARD_INPUT", "document"]

STANDARD_INPUT = "-"
"""What stands for standard input among a command's words."""


def document(name: str) -> str | bytes:
    """The path, or what standard input holds.

    Args:
        name: A path, or `-`.

    Raises:
        LossregError: The process has no standard input.
    """
    if name != STANDARD_INPUT:
        return name
    if sys.stdin is None:
        raise LossregError("there is no standard input")
    # One byte above the limit shows that the input is too large; a stream may be endless.
    return sys.stdin.buffer.read(MAX_BYTES + 1)
