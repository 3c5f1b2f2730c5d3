"""What is found as text in colour or without, as JSON and as annotations."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from checked_files import FINE, FOREIGN, WRONG, Capture, write
from lossreg.cli import main

pytestmark = pytest.mark.usefixtures("empty_folder")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    write("loss.yaml", WRONG)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["check", "loss.yaml"]) == 1
    shown = terminal.getvalue()
    assert "\x1b[31m[LR104]\x1b[0m" in shown
    assert re.sub(r"\x1b\[\d+m", "", shown).startswith("loss.yaml:2:20  terms.fit.weigth  [LR104]")


@pytest.mark.parametrize("form", ["human", "json", "github"])
def test_no_colour_elsewhere(form: str, capsys: Capture) -> None:
    assert main(["check", write("loss.yaml", WRONG), "--format", form]) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_no_colour_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["check", write("loss.yaml", WRONG)]) == 1
    assert "\x1b" not in terminal.getvalue()


def test_json(capsys: Capture) -> None:
    write("configs/loss.yaml", WRONG)
    write("configs/model.yaml", FOREIGN)
    assert main(["check", "configs", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "files": 1,
        "skipped": 1,
        "unread": [],
        "not_followed": [],
        "passed_over": 0,
        "diagnostics": [
            {
                "code": "LR104",
                "message": "unknown key; did you mean 'weight'?",
                "path": "terms.fit.weigth",
                "file": str(Path("configs/loss.yaml")),
                "line": 2,
                "column": 20,
                "end_column": 26,
                "source_line": "  fit: {type: mse, weigth: 2.0}",
                "severity": "error",
            }
        ],
    }


def test_json_of_what_is_fine(capsys: Capture) -> None:
    assert main(["check", write("loss.yaml", FINE), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "files": 1,
        "skipped": 0,
        "unread": [],
        "not_followed": [],
        "passed_over": 0,
        "diagnostics": [],
    }


def test_github_annotations(capsys: Capture) -> None:
    write("a:b,c%.yaml", "terms:\n  fit: {type: '50%\\n:,', weight: -1}\n")
    assert main(["check", "a:b,c%.yaml", "--format", "github"]) == 1
    assert capsys.readouterr().out == (
        "::error file=a%3Ab%2Cc%25.yaml,line=2,col=15,endColumn=24,title=LR105::terms.fit.type: "
        "there is no loss '50%25\\n:,'; no distribution or module of that name has losses here\n"
        "  in a:b,c%.yaml:2:15\n"
        "    2 |   fit: {type: '50%\\n:,', weight: -1}\n"
        "      |               ^^^^^^^^^\n"
        "::warning file=a%3Ab%2Cc%25.yaml,line=2,col=34,endColumn=36,title=LR904::"
        "terms.fit.weight: the weight is negative, so the term is maximised; if this is meant, "
        "write maximize: true, weight: 1\n"
        "  in a:b,c%.yaml:2:34\n"
        "    2 |   fit: {type: '50%\\n:,', weight: -1}\n"
        "      |                                  ^^\n"
        "1 file checked: 1 error, 1 warning\n"
    )


def test_github_paths_start_at_the_root_of_the_repository(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    write("repo/.git", "gitdir: elsewhere")  # a worktree has a file
    write("repo/configs/deep/loss.yaml", WRONG)
    (tmp_path / "other.yaml").write_text(WRONG)
    inside, outside = Path("repo/configs/deep/loss.yaml").resolve(), tmp_path / "other.yaml"
    monkeypatch.chdir("repo/configs")
    for argument, shown in (
        ("deep/loss.yaml", "configs/deep/loss.yaml"),
        ("./deep/../deep", "configs/deep/loss.yaml"),
        (str(inside), "configs/deep/loss.yaml"),
        (str(outside), str(outside)),
    ):
        assert main(["check", argument, "--format", "github"]) == 1
        out = capsys.readouterr().out
        assert out.startswith(f"::error file={shown},line=2,")
        assert f"\n  in {shown}:2:20\n" in out
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    assert main(["check", "deep", "--format", "github"]) == 1
    assert "::error file=work/repo/configs/deep/loss.yaml," in capsys.readouterr().out


def test_github_has_no_place_for_what_is_not_a_file(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(WRONG.encode())))
    assert main(["check", "-", "--format", "github"]) == 1
    assert capsys.readouterr().out.startswith("::error file=<stdin>,line=2,")
    write("loss.yaml", FINE)
    assert main(["check", "loss.yaml", "--set", "terms.fit.wieght=1", "--format", "github"]) == 1
    assert capsys.readouterr().out.startswith("::error file=--set,line=1,")


def test_json_and_another_format_exclude_each_other(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["check", "loss.yaml", "--json", "--format", "github"])
    assert raised.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


LONG = "x" * 20_000
HARMFUL = "\\e[31m\\a\\u202e\\0"  # escapes in double quotes: red, a bell, right to left, NUL


@pytest.mark.parametrize(
    "text",
    [
        f"terms:\n  fit: {{type: {LONG}}}\n",
        f"terms:\n  fit: {{type: mse, {LONG}: 1}}\n",
        f"terms:\n  ? {LONG}\n  : {{type: MSE}}\n",
        f"terms:\n  fit: {{type: mse, weight: {LONG}}}\n",
        f"terms:\n  fit: {{type: mse, weight: {'9_' * 450}9}}\n",
        f"terms:\n  fit: {{type: mse, weight: {'9' * 900}}}\n",
        f"terms:\n  fit: {{type: mse, weight: {'9' * 5000}}}\n",
        f"terms:\n  fit: {{type: mse, enabled: {LONG}}}\n",
        f"terms:\n  fit: {{type: mse, inputs: [{LONG}.., y]}}\n",
        f"terms:\n  fit: {{type: mse, inputs: {{{LONG}: y}}}}\n",
        f"terms:\n  fit: {{type: mse, inputs: [{LONG}, {LONG}]}}\n",
        f"terms:\n  fit: {{type: mse, params: {{{LONG}: y}}}}\n",
        f"terms:\n  fit: {{type: mse, params: {{reduction: {LONG}}}}}\n",
        f"terms:\n  fit: {{type: ctc, params: {{blank: {'9_' * 450}9}}}}\n",
        f"task: {LONG}\nloss: {{terms: {{fit: {{type: mse}}}}}}\n",
        f"task: digits\nseed: {LONG}\ntrainer: {{{LONG}: 1}}\nloss: {LONG}\n",
        f"terms:\n  fit: !{LONG} {{type: mse}}\n",
        f"terms:\n  fit: *{LONG}\n",
        f"terms:\n  fit: {{type: mse}}\n  {'1' * 900}: 1\n",
        f"{LONG}\n",
        f"terms: {{a: &a {{type: mse, z{LONG}: 1}}, b: *a, c: *a, d: *a, e: *a, {LONG}: *a}}\n",
        f'terms:\n  fit: {{type: "{HARMFUL}"}}\n',
        f'terms:\n  "{HARMFUL}": {{type: mse}}\n',
        f'terms:\n  fit: {{type: mse, "{HARMFUL}": 1}}\n',
        f'terms:\n  fit: {{type: mse, params: {{"{HARMFUL}": 1}}}}\n',
        f'terms:\n  fit: {{type: mse, inputs: {{"{HARMFUL}": 1}}}}\n',
        f'terms:\n  fit: {{type: mse, inputs: ["{HARMFUL}", "{HARMFUL}"]}}\n',
        f'terms:\n  fit: {{type: mse, weight: "{HARMFUL}"}}\n',
        f'terms:\n  fit: {{type: mse, params: {{reduction: "{HARMFUL}"}}}}\n',
        f'task: "{HARMFUL}"\nloss: {{terms: {{fit: {{type: mse}}}}}}\n',
    ],
)
def test_whatever_the_value_what_is_said_is_short_and_harmless(text: str, capsys: Capture) -> None:
    write("loss.yaml", text)
    assert main(["check", "loss.yaml", "--strict"]) == 1
    shown = capsys.readouterr().out
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert main(["check", "loss.yaml", "--json", "--strict"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["diagnostics"]
    for each in report["diagnostics"]:
        assert len(each["message"]) <= 400
        assert len(each["path"]) <= 400
        assert "pydantic" not in each["message"]
