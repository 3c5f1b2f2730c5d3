"""`lossreg show FILE`: the objective of a config as a formula."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from lossreg.cli import main

ROOT = Path(__file__).parents[4]
FIT = "terms:\n  fit: {type: smooth_l1, weight: 0.5, inputs: [p, y]}\n"
SHOWN = """\
L = 0.5 · smooth_l1(p, y)

fit
  weight     0.5
  type       smooth_l1
  inputs     input: p
             target: y
  divide_by  the mean's own: the number of entries
"""


@pytest.fixture
def file(empty_folder: Path) -> str:
    (empty_folder / "loss.yaml").write_text(FIT, encoding="utf-8")
    return "loss.yaml"


def shown(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["show", *words]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_a_name_with_a_suffix_or_a_slash_is_a_file(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (file, "./loss.yaml", str(Path(file).absolute())):
        assert shown(name, capsys=capsys) == SHOWN
    Path("sub").mkdir()
    for name in ("sub/objective", "loss.yml"):
        Path(name).write_text(FIT, encoding="utf-8")
        assert shown(name, capsys=capsys) == SHOWN


def test_standard_input_is_a_file_as_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for text, code in ((FIT, 0), ("terms: {fit: {type: msee}}", 1)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert main(["show", "-"]) == code
    out, err = capsys.readouterr()
    assert out == SHOWN
    assert err.startswith("<stdin>:1:21  terms.fit.type  [LR105]")


def test_overrides_and_a_key_reach_the_objective(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(file, "--set", "terms.fit.params.beta=2", capsys=capsys)
    assert text.startswith("L = 0.5 · smooth_l1(p, y; beta=2)\n")
    Path("deep.yaml").write_text("model:\n  criterion:\n    " + FIT.replace("\n", "\n    "))
    assert shown("deep.yaml", "--key", "model.criterion", capsys=capsys) == SHOWN


def test_a_fault_is_told_as_check_tells_it(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(file).write_text("terms:\n  fit: {type: mse, weigth: 2}\n")
    assert main(["show", file]) == 1
    out, err = capsys.readouterr()
    assert main(["check", file]) == 1
    report = capsys.readouterr().out.partition("\n\n")[0]
    assert out == ""
    assert err == f"{report}\n1 error\n"


def test_a_file_that_is_not_there_is_a_fault(
    empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert empty_folder
    assert main(["show", "none.yaml"]) == 1
    assert "none.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["loss.yaml", "--kind", "loss"], "--kind is for the name of a loss or a task"),
        (["mse", "--key", "loss"], "--key and --set are for a file"),
        (["mse", "--set", "terms.fit.weight=2"], "--key and --set are for a file"),
    ],
)
def test_an_option_of_the_other_form_is_refused(
    words: list[str], message: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert file
    assert main(["show", *words]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_json_has_every_part(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(file, "--json", capsys=capsys))
    (objective,) = found["objectives"]
    assert objective.pop("latex").startswith("\\begin{aligned}\nL =& 0.5 \\cdot")
    assert objective == {
        "name": "",
        "total": "0.5 · smooth_l1(p, y)",
        "where": {},
        "frozen": [],
        "terms": [
            {
                "name": "fit",
                "adds": "0.5 · smooth_l1(p, y)",
                "weight": "0.5",
                "type": "smooth_l1",
                "inputs": {"input": "p", "target": "y"},
                "divide_by": "the mean's own: the number of entries",
            }
        ],
        "disabled": [],
    }


def test_markdown_has_the_total_as_mathematics(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    total = r"L =& 0.5 \cdot \mathrm{smooth\_l1}\left(\mathrm{p}, \mathrm{y}\right)"
    assert shown(file, "--markdown", capsys=capsys) == (
        f"$$\n\\begin{{aligned}}\n{total}\n\\end{{aligned}}\n$$\n\n"
        "## fit\n\n"
        "- weight: 0.5\n"
        "- type: smooth\\_l1\n"
        "- inputs: input: p; target: y\n"
        "- divide\\_by: the mean's own: the number of entries\n"
    )


def test_a_terminal_without_unicode_gets_other_signs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["show", str(ROOT / "configs" / "raft.yaml")]) == 0
    text = written.getvalue().decode("ascii")
    assert text.startswith("L = sum[flow in flows] u(i) * l1(flow, true_flow)\n")
    assert "\\" not in text
