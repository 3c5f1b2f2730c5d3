"""The scripts of docs/before-and-after.md train the same model, and resume."""

from __future__ import annotations

import runpy
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch

from documents import Document

if TYPE_CHECKING:
    from pathlib import Path

PAGE = Document("docs/before-and-after.md")


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PAGE.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "data", raising=False)


def trained(script: str, epochs: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The checkpoint that a script leaves."""
    monkeypatch.setattr(sys, "argv", [script, str(epochs)])
    runpy.run_path(script, run_name="__main__")
    state: dict[str, Any] = torch.load(script.replace(".py", ".pt"))
    return state


def numbers(printed: str) -> list[tuple[int, float]]:
    pairs = [line.split() for line in printed.splitlines()]
    return [(int(step), float(total)) for step, total in pairs]


def test_both_train_the_same_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = trained("before.py", 2, monkeypatch)
    printed = numbers(capsys.readouterr().out)
    after = trained("after.py", 2, monkeypatch)
    assert [step for step, _ in printed] == list(range(1, 23))
    for found, expected in zip(numbers(capsys.readouterr().out), printed, strict=True):
        assert found == pytest.approx(expected, rel=1e-5)
    for part in ("model", "average"):
        torch.testing.assert_close(after[part], before[part], rtol=1e-4, atol=1e-5)


def test_stopped_and_resumed_it_ends_with_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = trained("after.py", 2, monkeypatch)
    (tmp_path / "after.pt").unlink()
    trained("after.py", 1, monkeypatch)
    resumed = trained("after.py", 2, monkeypatch)
    for part in ("model", "average", "loss"):
        torch.testing.assert_close(resumed[part], whole[part], rtol=0, atol=0)
