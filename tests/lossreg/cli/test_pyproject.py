"""Which pyproject.toml names plugins, and how much of it is read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fake_distributions import plugin
from lossreg.cli import main
from named_plugins import NAMED, below, listed, usage_error

pytestmark = pytest.mark.usefixtures("project")

COMMAND, CALL = ["-m", "lossreg"], ["-c", "from lossreg.cli import main; main()"]


@pytest.mark.parametrize("mark", [".git", ".git file", ".git link", ".hg"])
def test_it_is_looked_for_up_to_the_repositorys_root(
    mark: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").write_text(NAMED, encoding="utf-8")
    root = below(project, "repository")
    deep = below(root, "a", "b")
    name, _, kind = mark.partition(" ")
    if kind == "file":
        (root / name).write_text("gitdir: elsewhere", encoding="utf-8")
    elif kind == "link":
        (root / name).symlink_to("nowhere")
    else:
        (root / name).mkdir()
    for folder in (deep, root):
        monkeypatch.chdir(folder)
        assert "mine" not in listed()
    (root / "pyproject.toml").write_text(NAMED, encoding="utf-8")
    (project / "acme_mine.py").rename(root / "acme_mine.py")
    monkeypatch.chdir(deep)
    assert "mine" in listed()


@pytest.mark.parametrize("link", [False, True])
def test_it_is_looked_for_up_to_the_home_folder(
    link: bool, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").write_text(NAMED, encoding="utf-8")
    home = below(project, "home")
    monkeypatch.chdir(below(home, "a"))
    assert "mine" in listed()
    if link:
        (tmp_path / "link").symlink_to(home)
    monkeypatch.setenv("HOME", str(tmp_path / "link" if link else home))
    monkeypatch.setenv("USERPROFILE", os.environ["HOME"])
    assert "mine" not in listed()
    (home / "pyproject.toml").write_text("[tool.lossreg]\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(project))
    assert "mine" not in listed()


@pytest.mark.parametrize("home", [None, "", "/", "nowhere", "~"])
def test_a_home_folder_that_is_none_is_no_fault(
    home: str | None, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").write_text(NAMED, encoding="utf-8")
    monkeypatch.chdir(below(project, "a"))
    if home is None:
        monkeypatch.delenv("HOME", raising=False)
    else:
        monkeypatch.setenv("HOME", home)
    assert "mine" in listed()


def test_a_linked_working_directory_is_where_it_leads(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").write_text(NAMED, encoding="utf-8")
    deep = below(project, "deep")
    (tmp_path / "link").symlink_to(deep)
    monkeypatch.chdir(tmp_path / "link")
    assert "mine" in listed()


def test_a_working_directory_that_is_gone_has_no_plugins(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").write_text(NAMED, encoding="utf-8")

    def gone(*_: object) -> Path:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "cwd", gone)
    assert "mine" not in listed()


@pytest.mark.parametrize(
    ("start", "by"),
    [
        (COMMAND, "pyproject.toml"),
        (CALL, "--plugin"),
        pytest.param(COMMAND, "--plugin", marks=pytest.mark.nightly),
        pytest.param(CALL, "pyproject.toml", marks=pytest.mark.nightly),
    ],
)
def test_nothing_in_the_folder_takes_the_place_of_a_module(
    start: list[str], by: str, project: Path
) -> None:
    # Which module `-m` means is for Python to say.
    own = ["lossreg"] if start[0] == "-c" else []
    for name in ("random", "yaml", "textwrap", "pydantic", "json", *own):
        (project / f"{name}.py").write_text("print('REPLACED')", encoding="utf-8")
    losses = below(project, "lossreg_losses")
    for name in ("__init__", "mse", "l1"):
        (losses / f"{name}.py").write_text("print('REPLACED')", encoding="utf-8")
    (project / "lossreg-9.dist-info").mkdir()
    arguments = ["--plugin", "acme_mine"]
    if by != "--plugin":
        (project / "pyproject.toml").write_text(NAMED, encoding="utf-8")
        arguments = []
    for verb in ("list", "show mse", "show mine", "check loss.yaml"):
        safe = {"PYTHONSAFEPATH": "1"} if start[0] == "-c" else {}
        done = subprocess.run(
            [sys.executable, *start, *verb.split(), *arguments],
            cwd=project,
            env={**os.environ, **safe},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "REPLACED" not in done.stdout


@pytest.mark.parametrize("name", ["json", "lossreg_losses", "lossreg_losses.mse", "yaml", "sys"])
@pytest.mark.parametrize("by", ["--plugin", "pyproject.toml"])
def test_a_module_that_another_hides_is_told(
    name: str, by: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outermost, _, rest = name.partition(".")
    if rest:
        folder = below(project, outermost)
        (folder / f"{rest}.py").write_text(plugin("mine"), encoding="utf-8")
    else:
        (project / f"{outermost}.py").write_text(plugin("mine"), encoding="utf-8")
    named = NAMED.replace("acme_mine", name)
    if by != "--plugin":
        (project / "pyproject.toml").write_text(named, encoding="utf-8")
    assert main(["list", *(["--plugin", name] if by == "--plugin" else [])]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"error: plugin '{name}': '{outermost}' in {project} is not the one ")


def test_a_package_and_a_folder_of_modules_are_importable_too(project: Path) -> None:
    below(project, "acme_package", "inner")
    (project / "acme_package" / "__init__.py").touch()
    (project / "acme_package" / "inner" / "__init__.py").write_text(plugin("one"), encoding="utf-8")
    below(project, "acme_folder")
    (project / "acme_folder" / "losses.py").write_text(plugin("two"), encoding="utf-8")
    found = listed("--plugin", "acme_package.inner", "--plugin", "acme_folder.losses")
    assert {"one", "two"} <= found


def test_a_large_one_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "pyproject.toml"
    file.write_text(NAMED + "\n" * 2**20, encoding="utf-8")
    assert usage_error(capsys) == (
        f"error: {file}: it has more than 1,048,576 bytes; --no-plugins ignores it\n"
    )
    file.write_text(NAMED + "\n" * (2**20 - len(NAMED)), encoding="utf-8")
    assert "mine" in listed()


# Each took an hour where a pattern went on from every line to the next.
@pytest.mark.parametrize("filler", ["\n", " \n", "[ ", "[\t\n", "tool ", "tool . ", "lossreg\n"])
def test_a_long_one_is_searched_in_time(filler: str, project: Path) -> None:
    text = f"# {filler * (500_000 // len(filler))}\n".replace("\n[", "\n#[").replace("\nl", "\n#l")
    file = project / "pyproject.toml"
    file.write_text(text, encoding="utf-8")
    assert "mine" not in listed()
    file.write_text(text + NAMED, encoding="utf-8")
    assert "mine" in listed()


def test_one_nested_without_end_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"{NAMED}x = {'[' * 100_000}"
    (project / "pyproject.toml").write_text(text, encoding="utf-8")
    assert ": cannot be read: " in usage_error(capsys)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_named_pipe_is_not_waited_for(project: Path) -> None:
    os.mkfifo(project / "pyproject.toml")
    assert "l1" in listed()


def test_a_byte_order_mark_is_no_fault(project: Path) -> None:
    (project / "pyproject.toml").write_text(NAMED, encoding="utf-8-sig")
    assert "mine" in listed()
