"""The blocks of docs/composites.md run, and what it lists is what there is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from documents import ROOT, Document
from lossreg.config import examine
from lossreg.vocabulary.transforms import TRANSFORMS

if TYPE_CHECKING:
    from pathlib import Path

COMPOSITES = Document("docs/composites.md")


def test_python_blocks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    COMPOSITES.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    COMPOSITES.run_python()
    assert "segment" in capsys.readouterr().out


def test_every_yaml_block_is_a_file_without_a_fault(tmp_path: Path) -> None:
    COMPOSITES.write_files(tmp_path)
    files = [name for name in COMPOSITES.files() if name.endswith(".yaml")]
    assert len(files) == len(COMPOSITES.blocks("yaml"))
    for name in files:
        assert examine(tmp_path / name, every=True).diagnostics == (), name


def test_every_transform_is_used_by_a_config_or_an_example() -> None:
    configs = [file.read_text(encoding="utf-8") for file in (ROOT / "configs").glob("*.yaml")]
    pages = [Document(str(page)) for page in (ROOT / "docs").glob("*.md")]
    examples = [block for page in pages for block in page.blocks("yaml")]
    words = set(re.findall(r"\w+", "\n".join([*configs, *examples])))
    assert set(TRANSFORMS) <= words


def test_links_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", COMPOSITES.text, re.MULTILINE)
    anchors = {f"#{each.lower().replace(' ', '-')}" for each in headings}
    for link in re.findall(r"\]\(([^)]+)\)", COMPOSITES.text):
        assert link in anchors or (ROOT / "docs" / link).exists(), link


def test_the_measured_command_is_the_scripts() -> None:
    script = (ROOT / "benchmarks" / "composite_cost.py").read_text(encoding="utf-8")
    (command,) = (each for each in COMPOSITES.blocks("console") if "composite_cost" in each)
    assert " ".join(command.split()) in " ".join(script.replace(" [--device cuda]", "").split())
