"""Each config in the docs, or written by `lossreg new`, that names the schema is valid by it."""

from __future__ import annotations

import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from documents import ROOT, Document
from lossreg.cli import main
from lossreg.config.tools.schema import document_schema
from lossreg.registry import Registry

LINE = "# yaml-language-server: $schema=lossreg.schema.json\n"
PLUGIN = ROOT / "plugins" / "lossreg-example"
PAGES = ["README.md", "plugins/lossreg-example/README.md"]
PAGES += [str(Path("docs", file.name)) for file in sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    (page, block) for page in PAGES for block in Document(page).blocks("yaml") if LINE in block
]


def test_the_pages_on_editors_and_what_new_writes_have_one() -> None:
    assert {"docs/tools.md", "plugins/lossreg-example/README.md"} <= {page for page, _ in BLOCKS}


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_it_is_valid(
    page: str,
    block: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert block.startswith(LINE), f"{page}: editors look for it in the first line"
    monkeypatch.setattr(sys, "path", [*sys.path, str(PLUGIN / "src")])
    plugins = ["--plugin", "lossreg_example.plugin"] * page.startswith("plugins")
    registry = Registry.installed().with_plugins(*plugins[1:])
    losses = [(entry.name, entry.definition) for entry in registry.entries() if entry.state == "ok"]
    schema = document_schema(losses, [])
    validator = jsonschema.Draft202012Validator(schema)
    assert list(validator.iter_errors(yaml.safe_load(block))) == []
    assert list(validator.iter_errors({"terms": {"fit": {"type": "no_such_loss"}}})) != []
    (tmp_path / "loss.yaml").write_text(block, encoding="utf-8")
    assert main(["check", str(tmp_path / "loss.yaml"), "--strict", *plugins]) == 0
    assert capsys.readouterr().out.endswith("no problems\n")
