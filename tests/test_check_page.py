"""What docs/check.md shows is what happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from documents import ROOT, Document
from foreign_files import READ, UNREAD
from lossreg.cli import main

PAGE = Document("docs/check.md")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    PAGE.write_files(tmp_path)
    (tmp_path / "configs").mkdir()
    for name in ("loss.yaml", "configs/loss.yaml"):
        (tmp_path / name).write_text("terms: {fit: {type: mse}}\n", encoding="utf-8")
    (tmp_path / "k8s.yaml").write_text(UNREAD["k8s.yaml"][0], encoding="utf-8")
    (tmp_path / "mkdocs.yml").write_text(READ["mkdocs.yml"], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", PAGE.blocks("console"))
def test_each_command_prints_what_is_shown(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    command, _, shown = block.partition("\n")
    assert main(command.split()[2:]) == 0
    assert capsys.readouterr().out.endswith(shown)


def test_python_blocks_run(capsys: pytest.CaptureFixture[str]) -> None:
    PAGE.run_python()
    assert "the interpolation '${lam}'" in capsys.readouterr().out


def test_the_hooks_are_those_of_the_repository(folder: Path) -> None:
    def hook(file: Path) -> Any:
        loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
        return loaded["repos"][0]["hooks"][0] if isinstance(loaded, dict) else loaded[0]

    provided = hook(ROOT / ".pre-commit-hooks.yaml")
    assert hook(folder / ".pre-commit-config.yaml")["id"] == provided["id"]
    local = hook(folder / "local/.pre-commit-config.yaml")
    assert local.pop("entry") == f".venv/bin/{provided.pop('entry')}"
    del provided["description"]
    assert local == provided


def test_hydra_composes_what_is_checked(folder: Path) -> None:
    hydra = pytest.importorskip("hydra")
    (folder / "conf/loss/base.yaml").write_text("# @package _global_\nhead: heads.seg\neps: 0.1\n")
    omegaconf = pytest.importorskip("omegaconf")
    import lossreg

    with hydra.initialize_config_dir(str(folder / "conf"), version_base=None):
        config = hydra.compose("config")
    loss = lossreg.build(omegaconf.OmegaConf.to_container(config.loss, resolve=True))
    assert [str(route) for route in loss.config.terms[0].inputs.values()] == [
        "heads.seg.logits",
        "labels",
    ]
