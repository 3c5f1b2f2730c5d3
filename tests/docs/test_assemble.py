"""The documentation site is assembled from the repository and the registry, and builds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from documents import ROOT
from lossreg.registry import Registry


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, ROOT / "docs" / "assemble.py", folder], check=True)
    return folder


def listed(site: Path) -> list[str]:
    """The pages that the site's navigation leads to."""
    nav = yaml.safe_load((site / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    return re.findall(r'"([\w/-]+\.md)"', json.dumps(nav))


def test_every_page_is_in_the_navigation(site: Path) -> None:
    pages = {file.relative_to(site / "docs").as_posix() for file in (site / "docs").rglob("*.md")}
    assert sorted(listed(site)) == sorted(pages)
    assert {file.name for file in (ROOT / "docs").glob("*.md")} < pages


def test_every_built_in_has_a_page(site: Path) -> None:
    index = (site / "docs" / "losses" / "index.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\((\w+)\.md\)", index) == list(Registry.installed())
    for name in Registry.installed():
        text = (site / "docs" / "losses" / f"{name}.md").read_text(encoding="utf-8")
        assert text.startswith(f"# {name}\n".replace("_", "\\_"))


def test_links_of_the_repository_become_links_of_the_site(site: Path) -> None:
    start = (site / "docs" / "index.md").read_text(encoding="utf-8")
    assert "](composites.md)" in start
    assert "](https://github.com/lossreg/lossreg/blob/main/configs)" in start
    page = (site / "docs" / "denominators.md").read_text(encoding="utf-8")
    assert "](composites.md#entries-that-count)" in page
    tools = (site / "docs" / "tools.md").read_text(encoding="utf-8")
    assert "](index.md#the-command-line)" in tools


@pytest.mark.skipif(find_spec("zensical") is None, reason="the extra `docs` is not installed")
def test_the_site_builds_without_a_warning(site: Path) -> None:
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file"]
    done = subprocess.run(
        [*command, site / "mkdocs.yml"], cwd=site, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for page in listed(site):
        folder = page.removesuffix("index.md").removesuffix(".md")
        assert (site / "site" / folder / "index.html").is_file(), page
    formula = (site / "site" / "losses" / "mse" / "index.html").read_text(encoding="utf-8")
    assert '<div class="arithmatex">' in formula
