"""Losses of the user's own modules: by `--plugin`, by pyproject.toml, never from elsewhere."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fake_distributions import plugin
from lossreg import experiments
from lossreg.cli import main, pyproject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lossreg.config import ExperimentConfig

CONFIG = "terms: {a: {type: mine, inputs: [p, y]}}"
NAMED = '[tool.lossreg]\nplugins = ["acme_mine"]\n'


@pytest.fixture(autouse=True)
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


def listed(*arguments: str) -> set[str]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["list", "--json", *arguments]) == 0
    return {each["name"] for each in json.loads(out.getvalue())}


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lossreg", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_being_named_a_module_is_nothing(project: Path) -> None:
    assert "mine" not in listed()
    assert str(project) not in sys.path
    assert main(["check", "loss.yaml"]) == 1


@pytest.mark.parametrize("by", ["--plugin", "pyproject.toml"])
def test_each_verb_takes_them(
    project: Path, by: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--plugin", "acme_mine"] if by == "--plugin" else []
    if not arguments:
        (project / "pyproject.toml").write_text(NAMED, encoding="utf-8")
    ran: list[ExperimentConfig] = []
    monkeypatch.setattr(experiments, "run", lambda config, **_: ran.append(config))
    Path("task.yaml").write_text(f"task: digits\nloss: {{{CONFIG}}}", encoding="utf-8")

    assert main(["list", *arguments]) == 0
    assert main(["show", "mine", *arguments]) == 0
    assert main(["check", "loss.yaml", *arguments]) == 0
    assert main(["run", "task.yaml", *arguments]) == 0
    assert ran[0].loss.terms[0].definition.name == "mine"
    out = capsys.readouterr().out
    assert ["mine", "acme_mine", "made", "up"] in [line.split() for line in out.splitlines()]
    assert "mine: made up\nfrom acme_mine\n" in out


def test_the_nearest_table_above_counts_and_its_folder_is_importable(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").write_text(NAMED, encoding="utf-8")
    below = project / "a" / "b"
    below.mkdir(parents=True)
    # One without the table is passed over.
    (project / "a" / "pyproject.toml").write_text("[tool.ruff]\nselect = []\n", encoding="utf-8")
    (project.parent / "pyproject.toml").write_text(NAMED.replace("mine", "other"), encoding="utf-8")
    monkeypatch.chdir(below)
    assert "mine" in listed()
    assert str(below) not in sys.path


def test_an_empty_table_is_the_nearest_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "pyproject.toml").write_text(NAMED, encoding="utf-8")
    below = project / "below"
    below.mkdir()
    (below / "pyproject.toml").write_text("[tool.lossreg]\n", encoding="utf-8")
    monkeypatch.chdir(below)
    assert "mine" not in listed()


def test_they_can_be_switched_off(project: Path) -> None:
    (project / "pyproject.toml").write_text(NAMED, encoding="utf-8")
    assert "mine" not in listed("--no-plugins")
    assert "acme_mine" not in sys.modules
    assert "mine" in listed("--no-plugins", "--plugin", "acme_mine")


def test_the_folder_of_a_config_is_not_looked_at(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").write_text(NAMED, encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert main(["check", str(project / "loss.yaml")]) == 1
    assert "acme_mine" not in sys.modules


@pytest.mark.parametrize(
    "text",
    [
        *("[tool.lossreg]\nplugins = {}", '[tool."lossreg"]\nplugins = {}'),
        *(" [ tool\t. lossreg ]\nplugins = {}", "[tool]\nlossreg.plugins = {}"),
        *("['tool'.lossreg]\nplugins = {}", '["tool"]\nlossreg = {{plugins = {}}}'),
        *("tool.lossreg.plugins = {}", "tool = {{lossreg = {{plugins = {}}}}}"),
        '"tool" = {{"lossreg" = {{plugins = {}}}}}',
    ],
)
def test_a_table_may_be_spelt_in_each_way_of_toml(project: Path, text: str) -> None:
    text = text.format('["acme_mine"]')
    (project / "pyproject.toml").write_text(text, encoding="utf-8")
    assert "mine" in listed()


def test_a_pyproject_without_a_table_is_not_parsed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").write_text('dependencies = ["lossreg"]\nnot toml', "utf-8")
    for parser in ("tomllib", "tomli"):
        monkeypatch.setitem(sys.modules, parser, None)
    assert "l1" in listed()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[tool.lossreg]\nplugins = [", "cannot be read: "),
        ('[tool.lossreg]\nplugins = ["\xff"]', "cannot be read: "),
        ("[tool.lossreg]\nplugins = 'acme_mine'", "must be a list of modules' names"),
        ("[tool.lossreg]\nplugins = [1]", "must be a list of modules' names"),
        ("[tool.lossreg]\nplugin = []", "unknown key 'plugin' in [tool.lossreg]; it has plugins"),
        ("[tool]\nlossreg = 1", "tool.lossreg must be a table"),
    ],
)
def test_a_wrong_pyproject_is_wrong_usage(
    project: Path, text: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = project / "pyproject.toml"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(SystemExit) as raised:
        main(["list"])
    assert raised.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {file}: ")
    assert problem in err
    assert main(["list", "--no-plugins"]) == 0


def test_a_pyproject_whose_tool_is_no_table_is_none_of_ours(project: Path) -> None:
    (project / "pyproject.toml").write_text('"tool.lossreg" = 1\n[tool]\n', encoding="utf-8")
    assert "mine" not in listed()


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("acme_nothing", "ModuleNotFoundError: No module named 'acme_nothing'"),
        ("acme_broken", "SystemExit: 3"),
        ("json", "it has no function marked with lossreg.plugin.hookimpl"),
        ("no module", "'no module' does not name a module"),
    ],
)
def test_a_module_that_is_no_plugin_is_a_problem(
    project: Path, module: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "acme_broken.py").write_text("raise SystemExit(3)", encoding="utf-8")
    assert main(["check", "loss.yaml", "--plugin", module]) == 1
    assert capsys.readouterr().err == f"error: plugin '{module}': {reason}\n"


def test_a_name_that_is_taken_is_a_conflict_that_the_module_settles(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "acme_taken.py").write_text(plugin("l1"), encoding="utf-8")
    for name, code in (("l1", 1), ("acme_taken:l1", 0), ("lossreg:l1", 0)):
        Path("loss.yaml").write_text(f"terms: {{a: {{type: '{name}'}}}}", encoding="utf-8")
        assert main(["check", "loss.yaml", "--plugin", "acme_taken"]) == code
    out = capsys.readouterr().out
    assert out.count("[LR302]") == 1
    assert "and acme_taken; write 'lossreg:l1' or 'acme_taken:l1'" in out
    assert {"acme_taken:l1", "lossreg:l1"} <= listed("--plugin", "acme_taken")


GENERATED = """
from torch import nn
from lossreg.plugin import LossDefinition, hookimpl
class OddLoss(nn.Module):
    def __init__(self, pair=(1, 2), mix: float | list[float] = 1.0): super().__init__()
    def forward(self, x): return x.sum()
@hookimpl
def lossreg_losses(): return [LossDefinition.from_module(OddLoss)]
"""


def test_a_generated_definition_is_marked(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    (project / "acme_odd.py").write_text(GENERATED, encoding="utf-8")
    assert main(["list", "--plugin", "acme_odd"]) == 0
    out = capsys.readouterr().out
    assert "OddLoss of acme_odd (generated)\n" in out
    assert out.count("generated") == 1
    assert main(["show", "odd", "--plugin", "acme_odd"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("odd: OddLoss of acme_odd\nfrom acme_odd, generated from its signature\n")
    assert "\n  pair: list of numbers, default [1, 2]\n" in out
    assert "\n  mix: number or list of numbers, default 1.0\n" in out
    for name, generated in (("odd", True), ("l1", False)):
        assert main(["show", name, "--json", "--plugin", "acme_odd"]) == 0
        assert json.loads(capsys.readouterr().out)["generated"] is generated


# --- whose it is ------------------------------------------------------------------------------


def below(project: Path, *names: str) -> Path:
    folder = project.joinpath(*names)
    folder.mkdir(parents=True)
    return folder


def usage_error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as raised:
        main(["list", *arguments])
    assert raised.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


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


# --- how far up -------------------------------------------------------------------------------


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


# --- what of its folder is importable ---------------------------------------------------------


@pytest.mark.parametrize(
    "start", [["-m", "lossreg"], ["-c", "from lossreg.cli import main; main()"]]
)
@pytest.mark.parametrize("by", ["--plugin", "pyproject.toml"])
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


# --- hostile files ----------------------------------------------------------------------------


def test_a_large_one_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "pyproject.toml"
    file.write_text(NAMED + "\n" * 2**20, encoding="utf-8")
    assert usage_error(capsys) == (
        f"error: {file}: it has more than 1,048,576 bytes; --no-plugins leaves it out\n"
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
