"""What `lossreg show` prints on the page about tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from documents import Document
from lossreg.cli import main

PAGE = Document("docs/tools.md")


def test_show_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    PAGE.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (block,) = (text for text in PAGE.blocks("console") if text.startswith("$ lossreg show"))
    command, _, expected = block.partition("\n")
    assert main(command.split()[2:]) == 0
    assert capsys.readouterr().out == expected
