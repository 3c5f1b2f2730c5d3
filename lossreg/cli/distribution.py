"""The files of a new distribution: filled in from templates, and written."""

from __future__ import annotations

import re
import shlex
from importlib import resources
from typing import TYPE_CHECKING

from lossreg.cli.output import complain
from lossreg.errors import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lossreg.cli.ownership import Owner

__all__ = ["advice", "filled", "written"]

_PLACE = re.compile(r"\{\{(\w+)\}\}")


def filled(files: Mapping[str, str | None], values: Mapping[str, str]) -> dict[str, str]:
    """The text of each file.

    Args:
        files: Each path, with places to fill in, and its template; None for an empty file.
            Templates end in .txt because they are not valid Python or TOML before they are filled.
        values: What is put in each place.
    """
    templates = resources.files("lossreg.cli") / "templates"

    def text(template: str) -> str:
        return _PLACE.sub(lambda match: values[match[1]], template)

    return {
        text(path): text((templates / template).read_text(encoding="utf-8")) if template else ""
        for path, template in sorted(files.items())
    }


def written(folder: Path, files: Mapping[str, str]) -> bool:
    """Whether the files could be written into a new folder; if not, the reason is printed."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        for path, text in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
    except FileExistsError as error:
        place = printable(str(error.filename))
        complain(f"error: {place} already exists; nothing is overwritten")
        return False
    except OSError as error:
        complain(f"error: {printable(str(error.filename))}: {error.strerror}")
        return False
    return True


def advice(folder: Path, files: Mapping[str, str], owner: Owner) -> str:
    """What was written, and what to do next."""
    lines = [f"wrote {printable(folder.as_posix())}:"]
    lines += [f"  {path}" for path in files]
    lines += [
        "next:",
        f"  cd {printable(shlex.quote(str(folder)))}",
        "  python -m pip install --editable . pytest",
        "  python -m pytest",
    ]
    if owner.licence is None:
        lines += ["before it is published, choose a licence: its README.md says how"]
    return "\n".join(lines)
