"""Every file in configs/ is checked, built, and has a test of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lossreg
from lossreg.cli import main
from lossreg.config import examine
from properties import CONFIGS

FILES = sorted(CONFIGS.glob("*.yaml"))
# It is trained with, by the tests of `lossreg run`.
TRAINED = {"digits"}


def has_several_objectives(file: Path) -> bool:
    return "\nobjectives:\n" in file.read_text(encoding="utf-8")


def names(files: list[Path]) -> list[str]:
    return [file.stem for file in files]


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_it_has_no_fault(file: Path) -> None:
    assert not examine(file, every=True).diagnostics


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_the_strict_check_passes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--strict", str(file)]) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_it_builds(file: Path) -> None:
    if has_several_objectives(file):
        losses = lossreg.build_objectives(file)
        assert all(loss.terms.names for loss in losses.values())
    else:
        assert lossreg.build(file).terms.names


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_it_says_what_it_is_before_anything_else(file: Path) -> None:
    header = re.split(r"\n(?:loss|objectives):\n", file.read_text(encoding="utf-8"))[0]
    assert header.startswith("# ")
    if file.stem not in TRAINED:
        assert "https://" in header
        assert "# The step gives:" in header


def test_each_has_a_test_that_compares_it_with_torch() -> None:
    tests = {each.stem.removeprefix("test_") for each in Path(__file__).parent.glob("test_*.py")}
    assert tests - {"all"} == set(names(FILES)) - TRAINED
