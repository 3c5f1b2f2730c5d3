"""The user's own plugins: `--plugin`, and `[tool.lossreg]` in a pyproject.toml."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lossreg.cli.pyproject import named_plugins, refuse_strange
from lossreg.errors import PluginLoadError
from lossreg.registry import Registry

if TYPE_CHECKING:
    import argparse
    from importlib.machinery import ModuleSpec

__all__ = ["make_importable", "registry_of"]


def registry_of(arguments: argparse.Namespace) -> Registry:
    """The installed plugins, and the modules that the user named.

    The modules' folders become importable: the pyproject.toml's folder for the modules that it
    names, the working directory for the others.

    Raises:
        PluginLoadError: A module cannot be imported, or is not a plugin.
        SystemExit: With code 2, after printing what is wrong with the pyproject.toml.
    """
    file, named = None, list[str]()
    if arguments.pyproject:
        file, named = named_plugins(others_named=bool(arguments.plugins))
    registry = Registry.installed()
    if file is not None and named:
        for module in named:
            for place in make_importable(module, str(file.parent)):
                refuse_strange(place, file)
    for module in arguments.plugins:
        make_importable(module, str(Path.cwd()))
    plugins = [*named, *arguments.plugins]
    return registry.with_plugins(*plugins) if plugins else registry


def make_importable(module: str, folder: str) -> set[str]:
    """Let Python look for modules in a folder, after all other folders.

    In front, any file of the folder would replace an installed module of its name: a built-in
    loss, or `random`.

    Args:
        module: The module that the folder is meant for.
        folder: The folder.

    Returns:
        The places of the module's outermost package; empty if it is not in the folder.

    Raises:
        PluginLoadError: The folder has the module, but another one of its name comes first.
    """
    if folder not in sys.path:
        sys.path.append(folder)
    from importlib.machinery import PathFinder
    from importlib.util import find_spec

    outermost = module.partition(".")[0]
    local = PathFinder.find_spec(outermost, [folder]) if outermost.isidentifier() else None
    if local is None:
        return set()
    try:
        imported = find_spec(outermost)
    except ValueError:  # a module of that name is imported already, and has no spec
        imported = None
    if imported is None or _places(imported).isdisjoint(_places(local)):
        rival = (imported and (imported.origin or "a folder")) or "a module without a file"
        raise PluginLoadError(
            f"'{outermost}' in {folder} is not the one that Python imports: {rival} comes first; "
            "rename one of them",
            name=None,
            distribution=None,
            version=None,
            module=module,
        )
    return _places(local)


def _places(spec: ModuleSpec) -> set[str]:
    """The file of a module, or the folders of a package, also of one without `__init__.py`."""
    folders = set(map(os.path.realpath, spec.submodule_search_locations or ()))
    return folders or {os.path.realpath(spec.origin or spec.name)}
