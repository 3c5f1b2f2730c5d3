"""docs/bridge-a-library.md: what it shows can be installed, is right, and passes the contract."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from documents import Document
from lossreg.cli import main
from lossreg.config import examine

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pathlib import Path

    from fake_distributions import Site

PAGE = Document("docs/bridge-a-library.md")
FILES = PAGE.files()
TESTS: dict[str, type] = {}
exec(FILES["tests/test_metric_bridge.py"], TESTS)  # the page's own tests are collected here


@pytest.fixture(autouse=True)
def bridge(site: Site) -> Site:
    """The page's modules, installed as its pyproject says."""
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    modules = {
        name.removesuffix(".py"): text
        for name, text in FILES.items()
        if name.endswith(".py") and "/" not in name
    }
    entry_points = project["entry-points"]["lossreg.losses"]
    site.add(project["name"], entry_points, modules, version=project["version"])
    return site


TestContrastive = TESTS["TestContrastive"]
TestFocal = TESTS["TestFocal"]


def test_a_bridged_loss_is_the_librarys() -> None:
    PAGE.run_python()


def test_the_config_has_no_fault(tmp_path: Path) -> None:
    PAGE.write_files(tmp_path)
    assert len(PAGE.blocks("yaml")) == 1
    assert examine(tmp_path / "metric.yaml").diagnostics == ()


def test_the_library_is_imported_where_a_loss_is_built(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["show", "metric_focal"]) == 0
    assert main(["show", "metric_contrastive"]) == 0
    assert "metric_library" not in sys.modules
    assert "from lossreg-metric 1.0\n" in capsys.readouterr().out


def test_lossreg_bridge_writes_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (shown,) = PAGE.blocks("console")
    command, _, expected = shown.partition("\n")
    assert main(command.split()[2:]) == 0
    assert capsys.readouterr().out == expected
