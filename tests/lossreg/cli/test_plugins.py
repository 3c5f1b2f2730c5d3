"""Modules that are named as plugins: by an option, and by the nearest pyproject.toml."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_distributions import plugin
from lossreg import experiments
from lossreg.cli import main
from named_plugins import CONFIG, NAMED, listed

if TYPE_CHECKING:
    from lossreg.config import ExperimentConfig

pytestmark = pytest.mark.usefixtures("project")


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
    assert ["mine", "made", "up"] in [line.split() for line in out.splitlines()]
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
        ("[tool.lossreg]\nplugins = 'acme_mine'", "must be a list of module names"),
        ("[tool.lossreg]\nplugins = [1]", "must be a list of module names"),
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
    def __init__(self, pair=(1, 2), mix: float | list[float] = 1.0, act=print): super().__init__()
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
    assert (
        "\ntorch.compile\n  Not tried: whether the graph breaks at this loss is not known.\n" in out
    )
    kept = "has no annotation, and its default <built-in function print> does not show its type"
    assert f"\nNot offered\n  act  {kept}\n" in out
    assert main(["show", "odd", "--markdown", "--plugin", "acme_odd"]) == 0
    assert "\n| `act` | has no annotation, and its default" in capsys.readouterr().out
    for name, generated in (("odd", True), ("l1", False)):
        assert main(["show", name, "--json", "--plugin", "acme_odd"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["generated"] is generated
        assert shown["compiles"] is (None if generated else True)
        assert list(shown["not_offered"]) == ["act"] * generated
