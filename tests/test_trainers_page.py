"""The blocks of docs/trainers.md run, each where its trainer is installed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from documents import ROOT, Document
from lossreg.config import examine

PAGE = Document("docs/trainers.md")
LOOPS = PAGE.before("## Lightning")
HYDRA = {name for name in PAGE.section("## Hydra").files() if name.endswith(".yaml")}
OTHERS = {"cli.yaml", *HYDRA}  # not lossreg's own


def run(page: Document) -> None:
    """Run a part of the page after the loops, whose names it uses."""
    both = Document(page.name)
    both.text = LOOPS.text + page.text
    both.run_python()


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PAGE.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)


def test_loops_run(capsys: pytest.CaptureFixture[str]) -> None:
    LOOPS.run_python()
    printed = capsys.readouterr().out
    assert printed.count("train/loss/total") == 3  # ten batches, four a step
    assert "val/weighted/rebuild" in printed


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)")
def test_lightning_runs() -> None:
    pytest.importorskip("lightning", reason="lightning is not installed")
    run(PAGE.section("## Lightning"))


@pytest.mark.nightly  # a process of its own; LightningCLI has tests without one
def test_lightning_cli_runs() -> None:
    pytest.importorskip("lightning", reason="lightning is not installed")
    pytest.importorskip("jsonargparse", reason="jsonargparse is not installed")
    (command,) = re.findall(r"^python (train.py .+)$", PAGE.text, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, *command.split()],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def test_every_objective_is_a_file_without_a_fault(tmp_path: Path) -> None:
    files = {name for name in PAGE.files() if name.endswith(".yaml")}
    assert len(files) == len(PAGE.blocks("yaml"))
    for name in files - OTHERS:
        assert examine(tmp_path / name, every=True).diagnostics == (), name


def test_links_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", PAGE.text, re.MULTILINE)
    anchors = {f"#{heading.lower().replace(' ', '-')}" for heading in headings}
    for link in re.findall(r"\]\(([^)]+)\)", PAGE.text):
        file = link.partition("#")[0]
        is_there = link.startswith("https://") or (ROOT / "docs" / file).is_file()
        assert link in anchors or is_there, link


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true")
def test_hugging_face_runs(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    PAGE.section("## Hugging Face").run_python()
    assert "loss/next_token" in capsys.readouterr().out
    assert Path("run/checkpoint-2/objective.pt").is_file()
