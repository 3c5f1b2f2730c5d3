"""What a built-in is made of: its file, its test, one line of pyproject."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from random import Random

import pytest
import torch

from built_ins import BUILT_INS, ROOT, TESTS, built_in
from lossreg.registry import Registry
from lossreg.testing import LossContract
from oracles import Draw

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LOSSES = ROOT / "plugins" / "lossreg_losses"


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


def test_what_pyproject_declares_is_installed() -> None:
    # The metadata of an editable install is as old as the install.
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
    for constants in declared:
        assert constants.items() >= {"loss": name, "torch_free": True}.items()
        assert constants.keys() <= {"loss", *dir(LossContract)}


@pytest.mark.parametrize("name", BUILT_INS)
def test_a_built_ins_test_gives_what_the_tests_of_all_losses_need(name: str) -> None:
    example = built_in(name).example(Draw(Random(0), torch.float64, batch=6))
    inputs = Registry.installed()[f"lossreg:{name}"].inputs
    assert list(example.tensors) == [argument.name for argument in inputs]
    assert set(example.leaves) <= {argument.name for argument in inputs if argument.gradient}
    assert example.loss(example.tensors, "sum").isfinite()


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
