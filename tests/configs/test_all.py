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
# Terms that are maximised: the warning says so, and it is meant.
MAXIMISED = {
    "entropy_bonus": ["entropy"],
    "ppo": ["policy", "entropy"],
    "wgan_critic": ["real"],
    "wgan_generator": ["fool"],
}
# It is trained with, by the tests of `lossreg run`.
TRAINED = {"digits"}


def has_several_objectives(file: Path) -> bool:
    return "\nobjectives:\n" in file.read_text(encoding="utf-8")


def names(files: list[Path]) -> list[str]:
    return [file.stem for file in files]


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_it_has_no_fault(file: Path) -> None:
    found = [(each.code, each.path) for each in examine(file, every=True).diagnostics]
    maximised = MAXIMISED.get(file.stem, [])
    assert found == [("LR904", f"loss.terms.{term}.weight") for term in maximised]


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_the_strict_check_passes_unless_a_term_is_maximised(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--strict", str(file)]) == (1 if file.stem in MAXIMISED else 0)
    assert capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*the term is maximised")
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
