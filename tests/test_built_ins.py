"""What a built-in is made of: its file, its test, one line of pyproject."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from lossreg.registry import Registry

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
LOSSES = ROOT / "plugins" / "lossreg_losses"
TESTS = ROOT / "tests" / "plugins" / "lossreg_losses"

BUILT_INS = [
    "bce",
    "bce_with_logits",
    "cosine_embedding",
    "cross_entropy",
    "ctc",
    "hinge_embedding",
    "kl_div",
    "l1",
    "margin_ranking",
    "mse",
    "multi_margin",
    "multilabel_margin",
    "multilabel_soft_margin",
    "nll",
    "nll2d",
    "poisson_nll",
    "smooth_l1",
    "soft_margin",
    "triplet_margin",
    "value",
]


def declared() -> dict[str, str]:
    """The lines of pyproject: entry-point name to module."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    entry_points: dict[str, str] = tomllib.loads(text)["project"]["entry-points"]["lossreg.losses"]
    return entry_points


def contracts(file: Path) -> list[dict[str, object]]:
    """What the direct subclasses of LossContract in a test file declare."""
    return [
        {
            ast.unparse(statement.targets[0]): statement.value.value
            for statement in each.body
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
        }
        for each in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(each, ast.ClassDef)
        and "LossContract" in [ast.unparse(base) for base in each.bases]
    ]


def imported(file: Path) -> set[str]:
    """The modules that a file imports, wherever it does."""
    found = set()
    for each in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(each, ast.Import):
            found.update(alias.name for alias in each.names)
        elif isinstance(each, ast.ImportFrom):
            found.add(each.module or ".")
    return found


def loss_files() -> list[Path]:
    return [file for file in sorted(LOSSES.glob("*.py")) if not file.stem.startswith("_")]


def test_the_built_ins_are_torchs_losses_and_value() -> None:
    assert sorted(declared()) == BUILT_INS


def test_a_built_in_is_a_line_a_file_and_a_test() -> None:
    assert declared() == {name: f"lossreg_losses.{name}" for name in declared()}
    assert {file.stem for file in loss_files()} == set(declared())
    assert {file.stem for file in TESTS.glob("test_[!_]*.py")} == {
        f"test_{name}" for name in declared()
    }


@pytest.mark.parametrize("name", BUILT_INS)
def test_a_built_in_keeps_the_contract(name: str) -> None:
    declared = contracts(TESTS / f"test_{name}.py")
    assert declared
    assert all(each == {"loss": name, "torch_free": True} for each in declared)


@pytest.mark.parametrize("name", BUILT_INS)
def test_a_built_ins_file_holds_that_loss_alone(name: str) -> None:
    definition = Registry.installed()[f"lossreg:{name}"]
    module = sys.modules[f"lossreg_losses.{name}"]
    assert definition.config.__module__ == module.__name__
    assert [each.name for each in module.lossreg_losses()] == [name]


@pytest.mark.parametrize("file", loss_files(), ids=lambda file: file.stem)
def test_a_built_in_sees_nothing_of_lossreg_but_the_plugin_module(file: Path) -> None:
    own = {name for name in imported(file) if name.partition(".")[0] == "lossreg"}
    assert own == {"lossreg.plugin"}


def test_the_core_imports_no_built_in() -> None:
    importers = [
        file
        for file in (ROOT / "lossreg").rglob("*.py")
        if any(name.partition(".")[0] == "lossreg_losses" for name in imported(file))
    ]
    assert importers == []
