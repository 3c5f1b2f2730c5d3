"""`lossreg expand` and `lossreg diff` on the command line."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from lossreg.cli import main

DOCUMENT = "terms:\n  fit: {type: smooth_l1, weight: 0.5}\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("loss.yaml").write_text(DOCUMENT)
    return "loss.yaml"


def test_an_override_is_written_as_well(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["expand", file, "--set", "terms.fit.params.beta=2"]) == 0
    text = capsys.readouterr().out
    assert "      beta: 2.0\n" in text
    assert text.startswith("# Expanded by lossreg ")
    Path("expanded.yaml").write_text(text)
    assert main(["diff", file, "expanded.yaml"]) == 1
    assert capsys.readouterr().out == (
        "fit  params.beta: the default (loss.yaml:2:3) -> 2 (expanded.yaml:17:13)\n"
    )
    assert main(["diff", file, file]) == 0
    assert capsys.readouterr().out == "the same objective\n"


def test_json_has_every_side(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.yaml").write_text(DOCUMENT.replace("fit", "other"))
    assert main(["diff", file, "other.yaml", "--json"]) == 1
    first, second = json.loads(capsys.readouterr().out)
    assert first == {
        "what": "fit",
        "key": "",
        "before": {"text": "", "place": "loss.yaml:2:3"},
        "after": {"text": None, "place": ""},
    }
    assert second["what"] == "other"
    assert main(["diff", file, "other.yaml"]) == 1
    assert capsys.readouterr().out == (
        "fit  only in the first (loss.yaml:2:3)\nother  only in the second (other.yaml:2:3)\n"
    )


def test_a_fault_is_told_as_check_tells_it(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.yaml").write_text("terms:\n  fit: {type: msee}\n")
    for words in (["expand", "bad.yaml"], ["diff", file, "bad.yaml"]):
        assert main(words) == 1
        assert "bad.yaml:2:15  terms.fit.type  [LR105]" in capsys.readouterr().err


def given(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_standard_input_is_read_where_a_line_stands_for_it(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["expand", file]) == 0
    expanded = capsys.readouterr().out
    given(monkeypatch, DOCUMENT)
    assert main(["expand", "-"]) == 0
    assert capsys.readouterr().out == expanded
    given(monkeypatch, expanded)
    assert main(["diff", file, "-"]) == 0
    given(monkeypatch, DOCUMENT.replace("0.5", "0.25"))
    assert main(["diff", "-", file]) == 1
    out = capsys.readouterr().out
    assert out.endswith("fit  weight: 0.25 (<stdin>:2:34) -> 0.5 (loss.yaml:2:34)\n")


def test_several_objectives_of_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, "objectives:\n  a: {terms: {fit: {type: mse}}}\n")
    assert main(["expand", "-"]) == 0
    assert "objectives:\n  a:\n" in capsys.readouterr().out


def test_a_fault_of_standard_input_has_its_place(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (["expand", "-"], ["diff", file, "-"]):
        given(monkeypatch, "terms:\n  fit: {type: msee}\n")
        assert main(words) == 1
        assert "<stdin>:2:15  terms.fit.type  [LR105]" in capsys.readouterr().err


def test_only_one_side_can_be_standard_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "-", "-"]) == 2
    assert capsys.readouterr() == ("", "error: only one of the two can be standard input\n")


def test_a_process_without_standard_input(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    for words in (["expand", "-"], ["diff", file, "-"]):
        assert main(words) == 1
        assert capsys.readouterr().err == "error: there is no standard input\n"
