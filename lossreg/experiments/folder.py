"""The folder of a run: a new one each time, never one that is there already."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from lossreg.errors import LossregError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["annotated_config", "new_folder"]


def new_folder(root: Path, name: str) -> Path:
    """Make `root/name`, or `root/name-2`, `root/name-3`, ... where that is taken.

    Two processes at once get two folders: making one is a single step that fails where it exists.

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


def annotated_config(file: Path, overrides: Iterable[str]) -> str:
    """A config's text under comments that say where it is from and what was overridden.

    Raises:
        LossregError: The file cannot be read.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LossregError(f"cannot read '{file}': {error}") from error
    header = [f"# lossreg run {file.name}"]
    # An override may hold a line break, which would end the comment.
    header.extend(f"#   --set {' '.join(override.split())}" for override in overrides)
    return "\n".join([*header, "", text])
