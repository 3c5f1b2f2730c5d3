"""The folder of a run: a new one for each run, never an existing one."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from lossreg.config.read.documents import MAX_BYTES, read_bytes
from lossreg.config.read.nodes import SourceError
from lossreg.config.read.writing import TooLargeError, same_values, yaml_text
from lossreg.errors import LossregError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lossreg.config.read.nodes import Node

__all__ = ["kept_config", "new_folder"]


def new_folder(root: Path, name: str) -> Path:
    """Make `root/name`, or `root/name-2`, `root/name-3`, ... if that exists.

    Two processes at once get two folders: making a folder is one step, which fails if it exists.

    Raises:
        LossregError: The folder cannot be made.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            folder = root / (name if number == 1 else f"{name}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        reason = error.strerror or error
        raise LossregError(f"cannot make a run folder in '{root}': {reason}") from error
    raise AssertionError  # count() does not end


def kept_config(document: Node, name: str, options: Sequence[str]) -> str:
    """The text of a config that trains the same again.

    Args:
        document: The experiment, with its overrides applied.
        name: The name of the file that it was read from.
        options: The options of the command line, such as `--set seed=3`, for a comment.

    Raises:
        LossregError: The document is too large to be written and read again.
    """
    # A name may contain a line break, which would end the comment.
    file, *applied = [printable(" ".join(text.split())) for text in (name, *options)]
    colon = ", with this applied:" if options else ""
    header = [
        f"# What `lossreg run {file}` trained{colon}",
        *(f"#   {option}" for option in applied),
    ]
    try:
        text = "\n".join([*header, "", yaml_text(document)])
        _, again = read_bytes(text.encode(), "config.yaml")
    except (TooLargeError, SourceError) as error:
        raise LossregError(
            f"the config cannot be kept: with its overrides it has more than {MAX_BYTES:,} bytes"
        ) from error
    if not same_values(again, document):
        raise LossregError("the config cannot be kept: it would not be read as it was trained")
    return text
