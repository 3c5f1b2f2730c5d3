from __future__ import annotations

import json

import pytest

from lossreg.cli import main
from lossreg.config.faults.codes import CODES

Capture = pytest.CaptureFixture[str]


def test_all_codes_are_a_line_each(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["codes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(CODES)
    assert "LR103  error    an unknown parameter" in lines
    assert "LR904  warning  a negative weight" in lines


@pytest.mark.parametrize("name", ["LR103", "lr103", "Lr103"])
def test_one_code_with_its_examples(
    name: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["codes", name]) == 0
    assert capsys.readouterr().out == (
        "LR103 (error): an unknown parameter\n"
        "\n"
        "The loss (or the trainer) has no parameter of this name. `lossreg show` lists\n"
        "its parameters.\n"
        "\n"
        "Bad\n"
        "  terms:\n"
        "    fit: {type: smooth_l1, params: {betta: 0.5}}\n"
        "\n"
        "Good\n"
        "  terms:\n"
        "    fit: {type: smooth_l1, params: {beta: 0.5}}\n"
    )


@pytest.mark.parametrize("code", CODES)
def test_an_example_cannot_steer_the_terminal(code: str, capsys: Capture) -> None:
    assert main(["codes", code]) == 0
    out = capsys.readouterr().out
    assert all(char.isprintable() or char in "\n\t" for char in out)
    for override in CODES[code].overrides:
        assert f"# with --set {override}" in out


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("LR1O3", "did you mean LR103?"),
        ("LR1003", "did you mean LR103?"),
        ("WRONG", "`lossreg codes` lists them"),
        ("", "`lossreg codes` lists them"),
    ],
)
def test_an_unknown_code_is_answered_with_the_nearest(
    name: str, hint: str, capsys: Capture
) -> None:
    assert main(["codes", name]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"error: there is no code '{name}'; {hint}\n"


def test_an_unknown_code_cannot_steer_the_terminal(capsys: Capture) -> None:
    assert main(["codes", "\x1b[31m" + "x" * 1000]) == 1
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert len(err) < 200


def test_json(capsys: Capture) -> None:
    assert main(["codes", "--json"]) == 0
    assert [each["code"] for each in json.loads(capsys.readouterr().out)] == list(CODES)
    assert main(["codes", "LR904", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert set(found) == {"code", "title", "explanation", "bad", "good", "overrides", "warning"}
    assert found["warning"] is True


def test_markdown_of_one_code(capsys: Capture) -> None:
    assert main(["codes", "LR401", "--markdown"]) == 0
    out = capsys.readouterr().out
    assert "## LR401 (error): an override that is not PATH=VALUE\n" in out
    assert "```yaml\n# with --set terms.fit.weight\nterms:\n" in out
