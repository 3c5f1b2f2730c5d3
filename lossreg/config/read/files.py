"""Read a config's file, but no pipe or device that may never end."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from lossreg.config.read.documents import MAX_BYTES, read_bytes
from lossreg.config.read.nodes import Document, Folder, SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from lossreg.config.read.nodes import Node

__all__ = ["KINDS", "read_file"]

# Folders of the files that the process inherited, such as those of <(command) in a shell.
_INHERITED = ("/dev/fd", "/proc/self/fd")
KINDS = {
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}
"""What is not opened, because it may keep a reader waiting for ever."""


def read_file(path: Path) -> tuple[Document, Node]:
    """A YAML file's document and root.

    Only regular files are opened, because a pipe or a device may keep a reader waiting for ever.
    A pipe that the process inherited, such as /dev/stdin or /dev/fd/63, is read to its end.

    Raises:
        SourceError: It cannot be read, or is not YAML that lossreg accepts.
    """
    name = str(path)
    unread = Document(name, "")
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
        is_inherited = name == "/dev/stdin" or str(path.parent) in _INHERITED
        if kind in KINDS and not is_inherited:
            message = f"this is {KINDS[kind]}; a config is a regular file, or standard input"
            raise SourceError("LR001", message, unread)
        if kind == stat.S_IFDIR:
            raise SourceError("LR001", "this is a folder, not a file", unread)
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SourceError("LR001", "there is no such file", unread) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError("LR001", f"the file cannot be read: {reason}", unread) from None
    document, root = read_bytes(data, name)
    document.folder = None if is_inherited else Folder(str(path.parent))
    return document, root
