"""Every file in configs/ is checked, built, and has a test of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

import lossreg
from lossreg.cli import main
from lossreg.config import examine
from properties import CONFIGS

FILES = sorted(CONFIGS.glob("*.yaml"))
# Objectives with a term that is maximised: the warning says so, and it is meant.
MAXIMISED = {
    "entropy_bonus": "loss.terms.entropy.weight",
    "wgan_critic": "loss.terms.real.weight",
    "wgan_generator": "loss.terms.fool.weight",
}
# It is trained with, by the tests of `lossreg run`.
TRAINED = {"digits"}


def names(files: list[Path]) -> list[str]:
    return [file.stem for file in files]


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_it_has_no_fault(file: Path) -> None:
    found = [(each.code, each.path) for each in examine(file).diagnostics]
    expected = [("LR904", MAXIMISED[file.stem])] if file.stem in MAXIMISED else []
    assert found == expected


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_the_strict_check_passes_unless_a_term_is_maximised(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--strict", str(file)]) == (1 if file.stem in MAXIMISED else 0)
    assert capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*the term is maximised")
@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_it_builds(file: Path) -> None:
    assert lossreg.build(file).terms.names


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_it_says_what_it_is_before_anything_else(file: Path) -> None:
    header = file.read_text(encoding="utf-8").partition("\nloss:\n")[0]
    assert header.startswith("# ")
    if file.stem not in TRAINED:
        assert "https://" in header
        assert "# The step gives:" in header


def test_each_has_a_test_that_compares_it_with_torch() -> None:
    tests = {each.stem.removeprefix("test_") for each in Path(__file__).parent.glob("test_*.py")}
    assert tests - {"all"} == set(names(FILES)) - TRAINED
