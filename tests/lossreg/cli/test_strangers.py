"""Another user's pyproject.toml and plugins are not run."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fake_distributions import plugin
from lossreg.cli import pyproject
from named_plugins import NAMED, below, listed, usage_error

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("project")


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lossreg", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a file or folder somebody else's."""
    owners: dict[int, int] = {}
    real = os.stat

    def stat(path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> Any:
        found = real(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        fields = list(found)
        fields[4] = owners.get(found.st_ino, found.st_uid)
        return os.stat_result(fields)

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(os, "lstat", functools.partial(stat, follow_symlinks=False))

    def give_away(path: Path) -> None:
        owners[real(path, follow_symlinks=False).st_ino] = 54_321

    return give_away


@pytest.mark.skipif(os.name == "nt", reason="files have no owner there")
@pytest.mark.parametrize(
    "what", ["pyproject.toml", ".", "acme_mine.py", "link", "target", "package"]
)
def test_what_belongs_to_another_user_is_refused(
    what: str,
    project: Path,
    stranger: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = project / "pyproject.toml"
    file.write_text(NAMED, encoding="utf-8")
    if what in ("link", "target"):
        file.rename(project / "real.toml")
        file.symlink_to(project / "real.toml")
        stranger(file if what == "link" else project / "real.toml")
    elif what == "package":
        (project / "acme_mine.py").unlink()
        package = below(project, "acme_mine")
        (package / "__init__.py").write_text(plugin("mine"), encoding="utf-8")
        stranger(package)
    else:
        stranger(project / what)
    monkeypatch.chdir(below(project, "a", "b"))
    err = usage_error(capsys)
    assert err.startswith(f"error: {file}: it")
    assert " belongs to another user, so the plugins that it names are not loaded; " in err
    assert "--plugin MODULE" in err
    assert "acme_mine" not in sys.modules
    assert "mine" not in listed("--no-plugins")
    monkeypatch.chdir(project)
    if what not in ("acme_mine.py", "package"):
        assert "mine" in listed("--plugin", "acme_mine")
    assert "mine" in listed("--no-plugins", "--plugin", "acme_mine")


@pytest.mark.skipif(os.name == "nt", reason="files have no owner there")
def test_a_strangers_file_that_names_nothing_is_passed_over(
    project: Path, stranger: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").write_text(NAMED, encoding="utf-8")
    folder = below(project, "theirs")
    theirs = folder / "pyproject.toml"
    theirs.write_text('[tool]\nx = ["lossless"]\n', encoding="utf-8")
    stranger(theirs)
    monkeypatch.chdir(folder)
    assert "mine" in listed()


@pytest.mark.skipif(os.name == "nt", reason="files have no owner there")
@pytest.mark.parametrize(
    ("user", "sudo", "refused"),
    [(54_321, "", False), (0, "54321", False), (0, "", True), (0, "x", True), (7, "54321", True)],
)
def test_behind_sudo_the_files_of_who_called_it_count(
    user: int,
    sudo: str,
    refused: bool,
    project: Path,
    stranger: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (project / "pyproject.toml").write_text(NAMED, encoding="utf-8")
    for each in (project, project / "pyproject.toml", project / "acme_mine.py"):
        stranger(each)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setenv("SUDO_UID", sudo)
    if refused:
        usage_error(capsys)
    else:
        assert "mine" in listed()


@pytest.mark.skipif(os.name == "nt", reason="files have no owner there")
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root alone may chown")
def test_another_users_code_does_not_run(project: Path) -> None:
    (project / "acme_mine.py").write_text("print('RAN')", encoding="utf-8")
    (project / "pyproject.toml").write_text(NAMED, encoding="utf-8")
    os.chown(project / "pyproject.toml", 54_321, 54_321)
    done = command("list", cwd=below(project, "deep"))
    assert done.returncode == 2
    assert "RAN" not in done.stdout + done.stderr
    os.chown(project / "pyproject.toml", 0, 0)
    assert "RAN" in command("list", cwd=project / "deep").stdout


def test_where_nobody_says_whose_a_file_is_it_counts(
    project: Path, stranger: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").write_text(NAMED, encoding="utf-8")
    stranger(project / "pyproject.toml")
    monkeypatch.setattr(pyproject.sys, "platform", "win32")
    assert "mine" in listed()
