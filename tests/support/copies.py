"""Copies of this repository, to be changed and tested as a newcomer would."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from environments import ROOT, environment, install, run

_IGNORED = (".git", *(ROOT / ".gitignore").read_text(encoding="utf-8").replace("/", "").split())


class Copy:
    """A copy of all that git tracks or would track.

    Args:
        folder: Takes the copy, and an environment for its tests.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._root = folder / "copy"
        shutil.copytree(ROOT, self._root, ignore=shutil.ignore_patterns(*_IGNORED))

    def add(self, path: str, text: str) -> None:
        """Write a new file."""
        file = self._root / path
        assert not file.exists(), path
        file.write_text(text, encoding="utf-8")

    def insert(self, path: str, text: str, *, before: str) -> None:
        """Put a text before another one, which stands once in the file."""
        file = self._root / path
        written = file.read_text(encoding="utf-8")
        assert written.count(before) == 1, (path, before)
        file.write_text(written.replace(before, text + before), encoding="utf-8")

    def changed(self) -> set[str]:
        """The files that are not as they are here, or not there."""
        ours, theirs = _contents(ROOT), _contents(self._root)
        return {path for path in ours.keys() | theirs if ours.get(path) != theirs.get(path)}

    def run_tests(self, *arguments: str) -> None:
        """Install the copy into an environment of its own, write its tables, and run its tests."""
        python = environment(self._folder / "environment")
        install(python, "--editable", self._root)
        run(python, "docs/tables.py", cwd=self._root)
        command = (python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments)
        run(*command, cwd=self._root, PYTHONDONTWRITEBYTECODE="1")


def _contents(root: Path) -> dict[str, bytes]:
    ignore = shutil.ignore_patterns(*_IGNORED)
    contents: dict[str, bytes] = {}
    for folder, folders, names in os.walk(root):
        folders[:] = set(folders) - ignore(folder, folders)
        for name in set(names) - ignore(folder, names):
            file = Path(folder, name)
            contents[file.relative_to(root).as_posix()] = file.read_bytes()
    return contents
