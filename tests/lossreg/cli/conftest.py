"""Fixtures that several tests of the command line use."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from fake_distributions import plugin
from named_plugins import CONFIG

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory: a module with a loss, and a config that uses it."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "acme_mine.py").write_text(plugin("mine"), encoding="utf-8")
    (folder / "loss.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield folder
    for name in [each for each in sys.modules if each.startswith("acme_")]:
        del sys.modules[name]
