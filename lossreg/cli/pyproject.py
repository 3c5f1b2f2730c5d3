"""`[tool.lossreg]` of a pyproject.toml that belongs to this user or to root.

The table names code that runs, and the file may be in any folder above the working directory.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lossreg.cli.output import complain
from lossreg.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["named_plugins", "refuse_strange"]

_WORD = b"lossreg"
# Every spelling of the table matches; a file without a match need not be parsed.
_TABLE = (
    rb"""(?m)tool["']?[ \t]*\.[ \t]*["']?lossreg"""
    rb"""|^[ \t]*(?:\[[ \t]*["']?tool["']?[ \t]*\]|["']?tool["']?[ \t]*=)"""
)
_LARGEST = 2**20  # bytes
# The names that mark the root of a repository.
_ROOTS = (".git", ".hg")


def named_plugins(*, others_named: bool) -> tuple[Path | None, list[str]]:
    """The nearest pyproject.toml with a table for lossreg, and the modules that it names.

    Args:
        others_named: Whether the user also names modules: then the table of another user is
            ignored instead of refused.

    Raises:
        SystemExit: With code 2, after printing what is wrong with the file.
    """
    for folder in _folders():
        file = folder / "pyproject.toml"
        try:
            if not stat.S_ISREG(file.stat().st_mode):  # reading a named pipe would block
                continue
            with file.open("rb") as opened:
                content = opened.read(_LARGEST + 1)
        except OSError:
            continue
        is_too_large = len(content) > _LARGEST
        if not is_too_large and not (_WORD in content and re.search(_TABLE, content)):
            continue
        if _is_strange(file) or _is_strange(folder):
            if others_named or is_too_large:
                return None, []
            _refuse_stranger(file, "it, or its folder,")
        if is_too_large:
            _refuse(file, f"it has more than {_LARGEST:,} bytes; --no-plugins ignores it")
        table = _table(file, content)
        if table is not None:
            return file, _plugins(file, table)
    return None, []


def refuse_strange(module: str | Path, file: Path) -> None:
    """Refuse a module that another user put beside a pyproject.toml, in a shared folder.

    Raises:
        SystemExit: With code 2, after printing the reason.
    """
    if _is_strange(module):
        _refuse_stranger(file, f"its plugin {module}")


def _folders() -> Iterator[Path]:
    """The working directory and those above, up to the repository's root or the home folder."""
    try:
        working = Path.cwd()
    except OSError:  # the working directory was deleted
        return
    # Unlike Path.home, a missing one is not an error.
    home = os.path.normcase(os.path.realpath(os.path.expanduser("~")))  # noqa: PTH111
    for folder in (working, *working.parents):
        yield folder
        is_root = any(os.path.lexists(folder / name) for name in _ROOTS)
        if is_root or os.path.normcase(folder) == home:
            return


def _is_strange(path: str | Path) -> bool:
    """Whether a file or folder, or a link to it, belongs to neither this user nor root."""
    if sys.platform == "win32":
        return False  # Python does not report a file's owner
    user = os.geteuid()
    trusted = {0, user}
    behind_sudo = os.environ.get("SUDO_UID", "")
    if user == 0 and behind_sudo.isdecimal():
        trusted.add(int(behind_sudo))
    return not {Path(path).stat().st_uid, Path(path).lstat().st_uid} <= trusted


def _refuse_stranger(file: Path, owned: str) -> NoReturn:
    _refuse(
        file,
        f"{owned} belongs to another user, so the plugins that it names are not loaded; name those "
        "that you trust with --plugin MODULE, or ignore all of them with --no-plugins",
    )


def _table(file: Path, content: bytes) -> Any:
    """The value of `tool.lossreg`; None if the file has none."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        document: dict[str, Any] = tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # ValueError: also for a wrong encoding
        _refuse(file, f"cannot be read: {error}")
    tool = document.get("tool")
    return tool.get("lossreg") if isinstance(tool, dict) else None


def _plugins(file: Path, table: object) -> list[str]:
    if not isinstance(table, dict):
        _refuse(file, "tool.lossreg must be a table")
    unknown = [key for key in table if key != "plugins"]
    if unknown:
        _refuse(file, f"unknown key '{unknown[0]}' in [tool.lossreg]; it has plugins")
    modules = table.get("plugins", [])
    if not isinstance(modules, list) or not all(isinstance(module, str) for module in modules):
        _refuse(file, "plugins in [tool.lossreg] must be a list of module names")
    return modules


def _refuse(file: Path, problem: str) -> NoReturn:
    complain(printable(f"error: {file}: {problem}"))
    raise SystemExit(2)
