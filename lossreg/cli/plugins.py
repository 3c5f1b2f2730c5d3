"""Losses of the user's own modules: `--plugin`, and `[tool.lossreg]` of a pyproject.toml."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lossreg.cli.output import complain
from lossreg.errors import printable
from lossreg.registry import Registry

if TYPE_CHECKING:
    import argparse

__all__ = ["add_plugin_arguments", "registry_of"]

# Whether it is worth to parse the file: every spelling of the table has this in it, or `[tool]`.
_TABLE = re.compile(rb"""tool["']?\s*\.\s*["']?lossreg|^\s*\[\s*tool\s*\]""", re.MULTILINE)


def add_plugin_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how a command is told of modules that are not installed."""
    parser.add_argument(
        "--plugin",
        dest="plugins",
        metavar="MODULE",
        action="append",
        default=[],
        help="a module with losses, such as my_project.losses, found from the working directory; "
        "may be repeated",
    )
    parser.add_argument(
        "--no-plugins",
        dest="pyproject",
        action="store_false",
        help="leave out the plugins of [tool.lossreg] in pyproject.toml",
    )


def registry_of(arguments: argparse.Namespace) -> Registry:
    """What is installed, and the losses of the modules that the user named.

    Their folders become importable: that of the pyproject.toml for those it names, the working
    directory for the others, as with `python -m`.

    Raises:
        PluginLoadError: A module cannot be imported, or is no plugin.
        SystemExit: With code 2, after saying what is wrong with the pyproject.toml.
    """
    folder, named = _named_in_pyproject() if arguments.pyproject else (None, [])
    registry = Registry.installed()
    if named:
        _make_importable(str(folder))
    if arguments.plugins:
        _make_importable(str(Path.cwd()))
    plugins = [*named, *arguments.plugins]
    return registry.with_plugins(*plugins) if plugins else registry


def _make_importable(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _named_in_pyproject() -> tuple[Path | None, list[str]]:
    """The plugins of the nearest pyproject.toml with a table for lossreg, and its folder."""
    try:
        here = Path.cwd()
    except OSError:  # somebody has deleted it
        return None, []
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        try:
            content = file.read_bytes()
        except OSError:
            continue
        if _TABLE.search(content):
            table = _table(file, content)
            if table is not None:
                return folder, _plugins(file, table)
    return None, []


def _table(file: Path, content: bytes) -> Any:
    """What is under `tool.lossreg`; None if nothing is."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        document: dict[str, Any] = tomllib.loads(content.decode("utf-8-sig"))
    except ValueError as error:  # of the encoding as well
        _refuse(file, f"cannot be read: {error}")
    tool = document.get("tool")
    return tool.get("lossreg") if isinstance(tool, dict) else None


def _plugins(file: Path, table: object) -> list[str]:
    if not isinstance(table, dict):
        _refuse(file, "tool.lossreg must be a table")
    unknown = [key for key in table if key != "plugins"]
    if unknown:
        _refuse(file, f"unknown key '{unknown[0]}' in [tool.lossreg]; it has plugins")
    found = table.get("plugins", [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        _refuse(file, "plugins in [tool.lossreg] must be a list of modules' names")
    return found


def _refuse(file: Path, problem: str) -> NoReturn:
    complain(f"error: {printable(str(file))}: {problem}")
    raise SystemExit(2)
