"""Diagnostics as GitHub shows them beside the lines of a pull request."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lossreg.cli.render.report import source_lines
from lossreg.errors import printable

if TYPE_CHECKING:
    from lossreg.errors import Diagnostic

__all__ = ["github_text", "repository_root"]


def repository_root() -> Path:
    """The folder that GitHub's paths start from; the working directory where there is none."""
    workspace = os.environ.get("GITHUB_WORKSPACE")
    if workspace:
        return Path(workspace)
    working = Path.cwd()
    roots = (folder for folder in (working, *working.parents) if os.path.lexists(folder / ".git"))
    return next(roots, working)


def github_text(diagnostic: Diagnostic, root: Path) -> str:
    """One diagnostic as a workflow command, and its line with a caret for the log.

    GitHub shows the command in the log without its place. No line after it may begin with what a
    config holds, which could be a command.

    Args:
        diagnostic: The diagnostic.
        root: The folder that paths start from.
    """
    file = None if diagnostic.file is None else _from_root(diagnostic.file, root)
    properties = {
        "file": file,
        "line": diagnostic.line,
        "col": diagnostic.column,
        "endColumn": diagnostic.end_column,
        "title": diagnostic.code,
    }
    shown = ",".join(
        f"{name}={_escaped(str(value)).replace(':', '%3A').replace(',', '%2C')}"
        for name, value in properties.items()
        if value is not None
    )
    where = f"{diagnostic.path}: " if diagnostic.path else ""
    command = f"::{diagnostic.severity} {shown}::{_escaped(where + diagnostic.message)}"
    parts = (file, diagnostic.line, diagnostic.column)
    place = printable(":".join(str(part) for part in parts if part))
    return "\n".join([command, *([f"  in {place}"] * bool(place)), *source_lines(diagnostic)])


def _from_root(file: str, root: Path) -> str:
    """A file's path from the root; as it is if it is elsewhere or not a file, such as `--set`."""
    # A link inside the repository is shown as the link, not as the file behind it.
    path = Path(os.path.abspath(file))  # noqa: PTH100 - Path.resolve follows links
    for above in (root, root.resolve()):
        if path.is_relative_to(above) and os.path.lexists(path):
            return path.relative_to(above).as_posix()
    return file


def _escaped(text: str) -> str:
    shown = printable(text, keep="\r\n")
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
