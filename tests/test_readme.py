"""The README's blocks run, and what it lists is what there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import lossreg
from documents import Document
from lossreg.cli import main
from lossreg.testing import LossContract

if TYPE_CHECKING:
    from pathlib import Path

README = Document("README.md")


# Lightning's advice to a data set of 48 samples, and its own use of torch.
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)")
def test_python_blocks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    README.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # as the folder of a script is
    README.run_python()
    assert "train/loss/total" in capsys.readouterr().out


def test_the_training_example_is_short() -> None:
    (block,) = (block for block in README.blocks("python") if "ObjectiveModule" in block)
    assert sum(bool(line.strip()) for line in block.splitlines()) <= 20


def test_check_prints_what_the_readme_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    README.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    (shown,) = (block for block in README.blocks("console") if block.startswith("$ lossreg check"))
    command, _, expected = shown.partition("\n")
    assert main(command.split()[2:]) == 1
    assert capsys.readouterr().out.strip() == expected.strip()


@pytest.mark.nightly
def test_a_loss_is_a_file_its_test_and_one_line_of_pyproject(tmp_path: Path) -> None:
    README.write_files(tmp_path)
    entry_points = (tmp_path / "pyproject.toml").read_text(encoding="utf-8")
    name, module = re.findall(r'^(\w+) = "(.+)"$', entry_points, re.MULTILINE)[0]
    metadata = tmp_path / "my_losses-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-losses\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[lossreg.losses]\n{name} = {module}\n")
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    checks = [name for name in dir(LossContract) if name.startswith("test_")]
    assert f"{len(checks)} passed" in found.stdout


def test_the_table_names_each_losss_torch_class() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", README.text, re.MULTILINE))
    assert {"l1", "cross_entropy", "ctc"} <= set(rows)
    for name, torch_class in rows.items():
        made = type(lossreg.create(name)).__name__
        assert torch_class == ("NLLLoss2d" if name == "nll2d" else made)


def test_every_verb_stands_in_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    verbs = re.findall(r"^    (\w+)  ", capsys.readouterr().out, re.MULTILINE)
    assert len(verbs) >= 5
    for verb in verbs:
        assert f"| `lossreg {verb}" in README.text
