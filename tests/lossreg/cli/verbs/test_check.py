from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lossreg.cli import main

FINE = "terms:\n  fit: {type: mse}\n"
WRONG = "terms:\n  fit: {type: mse, weigth: 2.0}\n"
SUSPICIOUS = "terms:\n  fit: {type: mse, weight: -1}\n"
FOREIGN = "model: {depth: 50}\n"

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, on a terminal of 80 columns."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return folder


def write(name: str, text: str) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return name


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_whole_output_for_one_file(capsys: Capture) -> None:
    write(
        "seg.yaml",
        "loss:\n"
        "  terms:\n"
        "    seg:\n"
        "      type: cross_entropy\n"
        "      weight: -1.0\n"
        "      params: {label_smoothin: 0.1}\n"
        "    aux: {type: MSELoss}\n",
    )
    assert main(["check", "seg.yaml"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert out == (
        "seg.yaml:5:15  loss.terms.seg.weight  warning [LR904]\n"
        "    the weight is negative, so the term is maximised\n"
        "    5 |       weight: -1.0\n"
        "      |               ^^^^\n"
        "\n"
        "seg.yaml:6:16  loss.terms.seg.params.label_smoothin  [LR103]\n"
        "    unknown parameter of 'cross_entropy'; did you mean 'label_smoothing'?\n"
        "    6 |       params: {label_smoothin: 0.1}\n"
        "      |                ^^^^^^^^^^^^^^\n"
        "\n"
        "seg.yaml:7:17  loss.terms.aux.type  [LR105]\n"
        "    there is no loss 'MSELoss'; did you mean 'mse'?\n"
        "    7 |     aux: {type: MSELoss}\n"
        "      |                 ^^^^^^^\n"
        "\n"
        "1 file checked: 2 errors, 1 warning\n"
    )


def test_a_fine_file_is_one_line(capsys: Capture) -> None:
    assert main(["check", write("fine.yaml", FINE)]) == 0
    assert capsys.readouterr() == ("1 file checked: no problems\n", "")


def test_a_warning_fails_only_when_it_should(capsys: Capture) -> None:
    write("loss.yaml", SUSPICIOUS)
    assert main(["check", "loss.yaml"]) == 0
    assert "1 file checked: 1 warning\n" in capsys.readouterr().out
    assert main(["check", "--strict", "loss.yaml"]) == 1
    assert main(["check", "--strict", write("fine.yaml", FINE)]) == 0


def test_many_files_in_one_go(capsys: Capture) -> None:
    files = [write("b.yaml", WRONG), write("fine.yaml", FINE), write("a.txt", WRONG)]
    assert main(["check", *files]) == 1
    out = capsys.readouterr().out
    assert re.findall(r"^\S+?:\d+:\d+", out, re.MULTILINE) == ["b.yaml:2:20", "a.txt:2:20"]
    assert out.endswith("\n3 files checked: 2 errors\n")


def test_a_missing_file_is_a_fault_beside_the_others(capsys: Capture) -> None:
    assert main(["check", "none.yaml", write("loss.yaml", WRONG)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("none.yaml  [LR001]\n    there is no such file\n\nloss.yaml:2:20  ")


@pytest.mark.parametrize(
    "name", ["with space.yaml", "a:b,c%.yaml", "größe-損失-🔥.yaml", "-dash.yaml"]
)
def test_a_files_name_may_be_anything(name: str, capsys: Capture) -> None:
    write(name, WRONG)
    assert main(["check", "--", name]) == 1
    assert capsys.readouterr().out.startswith(f"{name}:2:20  terms.fit.weigth  [LR104]\n")


def test_a_files_name_cannot_steer_the_terminal(capsys: Capture) -> None:
    name = write("\x1b[31mred\nline.yaml", WRONG)
    assert main(["check", name]) == 1
    out = capsys.readouterr().out
    assert out.startswith("\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}line.yaml:2:20")
    assert "\x1b" not in out


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_a_files_name_may_be_no_text() -> None:
    Path(os.fsdecode(b"\xff.yaml")).write_text(WRONG, encoding="utf-8")
    code = "from lossreg.cli import main; raise SystemExit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "check", b"\xff.yaml"],
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("\N{REPLACEMENT CHARACTER}.yaml:2:20  ")


# --- folders ------------------------------------------------------------------------------------


def test_a_folder_is_searched_for_losses(capsys: Capture) -> None:
    for name, text in {
        "configs/b/deep/er.yml": WRONG,
        "configs/a.YAML": WRONG,
        "configs/fine.yaml": FINE,
        "configs/model.yaml": FOREIGN,
        "configs/list.yaml": "- one\n- two\n",
        "configs/items.yaml": "items: [one]\n",
        "configs/tagged.yaml": "path: !include other.yaml\n",
        "configs/empty.yaml": "# nothing\n",
        "configs/notes.txt": WRONG,
        "configs/.hidden/x.yaml": WRONG,
        "configs/misspelt.yaml": "los:\n  terms: {fit: {type: mse}}\n",
        "configs/broken.yaml": "model: {depth: 50\n",
    }.items():
        write(name, text)
    assert main(["check", "configs"]) == 1
    out = capsys.readouterr().out
    assert re.findall(r"^(\S+?):\d+:\d+ .*\[(\w+)\]$", out, re.MULTILINE) == [
        (str(Path("configs/a.YAML")), "LR104"),
        (str(Path("configs/broken.yaml")), "LR003"),
        (str(Path("configs/misspelt.yaml")), "LR109"),
        (str(Path("configs/b/deep/er.yml")), "LR104"),
    ]
    assert out.endswith("\n5 files checked (5 without an objective skipped): 4 errors\n")


def test_a_named_file_without_a_loss_is_no_loss(capsys: Capture) -> None:
    assert main(["check", write("model.yaml", FOREIGN)]) == 1
    assert "expected 'loss:' or 'terms:'" in capsys.readouterr().out


def test_a_folder_of_foreign_files_is_fine(capsys: Capture) -> None:
    write("configs/model.yaml", FOREIGN)
    assert main(["check", "configs"]) == 0
    out = capsys.readouterr().out
    assert out == "0 files checked (1 without an objective skipped)\n"


def test_a_folder_without_yaml_is_wrong_usage(capsys: Capture) -> None:
    write("configs/notes.txt", WRONG)
    assert main(["check", "configs"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: there is no .yaml or .yml file there\n"


def test_a_folder_with_a_key_skips_what_does_not_have_it(capsys: Capture) -> None:
    write("configs/model.yaml", FOREIGN)
    write("configs/other.yaml", "train: {loss: {terms: {fit: {type: mse}}}}\n")
    write("configs/more.yaml", WRONG)
    write("configs/term.yaml", "fit: {type: mse, weight: 1}\n")
    assert main(["check", "configs", "--key", "train.loss"]) == 0
    out = capsys.readouterr().out
    assert out == "1 file checked (3 without 'train.loss' skipped): no problems\n"


def test_every_objective_of_every_file_is_looked_at(capsys: Capture) -> None:
    for name, text in {
        "configs/gan.yaml": "generator:\n  terms: {adv: {type: l2, wieght: 3}}\n"
        "discriminator:\n  terms: {adv: {type: l2, weight: 1}}\n",
        "configs/lightning.yml": "model:\n  init_args:\n    objective: {terms: {a: {type: l2}}}\n",
        "configs/fine.yaml": "one: {terms: {a: {type: mse}}}\ntwo: {terms: {a: {type: l1}}}\n",
        "configs/optimizer.yaml": "optimizer: {type: adamw, params: {lr: 0.1}}\n",
        "configs/dropped.yaml": "1: {terms: {a: {type: mse}}}\n",
        "configs/experiment.yaml": "task: digits\nseed: 1\n",
        "configs/yolo.yaml": "task: detect\nnames: {0: person}\n",
    }.items():
        write(name, text)
    assert main(["check", "configs"]) == 1
    out = capsys.readouterr().out
    assert re.findall(r"^(\S+?):\d+:\d+ .*\[(\w+)\]$", out, re.MULTILINE) == [
        (str(Path("configs/dropped.yaml")), "LR007"),
        (str(Path("configs/experiment.yaml")), "LR109"),
        (str(Path("configs/gan.yaml")), "LR105"),
        (str(Path("configs/gan.yaml")), "LR104"),
        (str(Path("configs/gan.yaml")), "LR105"),
        (str(Path("configs/lightning.yml")), "LR105"),
    ]
    assert out.endswith("\n5 files checked (2 without an objective skipped): 6 errors\n")
    assert main(["check", "configs/gan.yaml", "configs/fine.yaml"]) == 1
    assert capsys.readouterr().out.endswith("\n2 files checked: 3 errors\n")
    assert main(["check", "configs/fine.yaml"]) == 0
    assert capsys.readouterr().out == "1 file checked: no problems\n"


def test_a_term_outside_the_objective(capsys: Capture) -> None:
    rebuild = "rebuild: {type: smooth_l1, weight: 5.0}\n"
    write("configs/loss.yaml", "loss: {terms: {fit: {type: mse}}}\n" + rebuild)
    write("configs/model.yaml", "depth: 3\n" + rebuild)
    assert main(["check", "configs"]) == 0
    out = capsys.readouterr().out
    assert out.count("warning [LR905]\n    this looks like a term, but nothing trains it here") == 2
    assert out.endswith("\n2 files checked: 2 warnings\n")
    assert main(["check", "configs", "--strict"]) == 1
    write("configs/loss.yaml", "task: digits\nloss: {terms: {fit: {type: mse}}}\n" + rebuild)
    assert main(["check", "configs/loss.yaml"]) == 1
    assert "configs/loss.yaml:3:1  rebuild  [LR905]\n" in capsys.readouterr().out


def test_a_folder_that_is_not_looked_into_is_told(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("configs/a/loss.yaml", FINE)
    write("elsewhere/loss.yaml", WRONG)
    Path("configs/linked").symlink_to("../elsewhere", target_is_directory=True)
    assert main(["check", "configs"]) == 0
    out = capsys.readouterr().out
    assert out == "1 file checked (1 linked folder not followed): no problems\n"
    assert main(["check", "configs", "--json"]) == 0
    linked = str(Path("configs/linked"))
    assert json.loads(capsys.readouterr().out)["not_followed"] == [linked]
    assert main(["check", "configs/linked"]) == 1
    capsys.readouterr()

    scandir = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert main(["check", "configs"]) == 1
    out = capsys.readouterr().out
    unread = str(Path("configs/a"))
    assert f"{unread}  [LR001]\n    the folder cannot be read: Permission denied\n" in out
    assert out.endswith("\n0 files checked (1 linked folder not followed): 1 error\n")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize(
    ("verb", "code"),
    [
        (["check", "configs/pipe.yaml"], 1),
        (["check", "configs/link.yaml", "--json"], 1),
        (["check", "configs"], 1),
        (["check", "configs", "--format", "github"], 1),
        (["run", "configs/pipe.yaml"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_named_pipe_keeps_nobody_waiting(verb: list[str], code: int) -> None:
    write("configs/fine.yaml", FINE)
    os.mkfifo("configs/pipe.yaml")
    Path("configs/link.yaml").symlink_to("pipe.yaml")
    script = "import sys; from lossreg.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", script, *verb],
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == code
    assert "this is a named pipe; a config is a regular file" in done.stdout + done.stderr


# --- standard input, keys, overrides ------------------------------------------------------------


def test_standard_input(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(WRONG.encode())))
    assert main(["check", "-"]) == 1
    assert capsys.readouterr().out.startswith("<stdin>:2:20  terms.fit.weigth  [LR104]\n")


def test_of_standard_input_no_more_is_read_than_a_config_may_have(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = io.BufferedReader(Endless())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(endless))
    assert main(["check", "-"]) == 1
    assert "larger than 1,048,576 bytes" in capsys.readouterr().out


class Endless(io.RawIOBase):
    """What `yes` writes, and an error instead of what would fill the memory."""

    given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        self.given += len(buffer)
        assert self.given < 2**24
        buffer[:] = b"y" * len(buffer)
        return len(buffer)


NESTED = """\
model:
  backbone: resnet
  criterion:
    terms:
      fit: {type: mse, weight: heavy}
  others: [{terms: {fit: {type: mse}}}]
"""


@pytest.mark.parametrize(
    ("key", "first_line", "message"),
    [
        (
            "model.criterion",
            "m.yaml:5:32  model.criterion.terms.fit.weight  [LR201]",
            "expected a number, found the string 'heavy'",
        ),
        (
            "model.criterio",
            "m.yaml:3:3  model.criterion  [LR109]",
            "there is no 'criterio' under 'model'; did you mean 'model.criterion'?",
        ),
        ("mdl.criterion", "m.yaml:1:1  model  [LR109]", "there is no 'mdl' in the document"),
        ("model.loss", "m.yaml:1:1  [LR109]", "there is no 'loss' under 'model'"),
        ("model.others[3]", "m.yaml:6:3  [LR109]", "there is no element 3 under 'model.others'"),
        ("model.backbone", "m.yaml:2:13  model.backbone  [LR101]", "expected a mapping with"),
        ("model..x", "[LR109]", "the key the string 'model..x' is not a path"),
        ("", "[LR109]", "is not a path; write it as model.criterion"),
    ],
)
def test_a_key_says_where_the_loss_is(
    key: str, first_line: str, message: str, capsys: Capture
) -> None:
    assert main(["check", write("m.yaml", NESTED), "--key", key]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == first_line
    assert message in lines[1]


def test_a_key_may_go_through_a_list() -> None:
    assert main(["check", write("m.yaml", NESTED), "--key", "model.others[0]"]) == 0


def test_an_override_is_located_at_the_argument(capsys: Capture) -> None:
    write("loss.yaml", FINE)
    assert (
        main(["check", "loss.yaml", "--set", "terms.fit.weight=yes", "--set", "terms.aux={}"]) == 1
    )
    assert capsys.readouterr().out == (
        "--set:1:18  terms.fit.weight  [LR201]\n"
        "    expected a number, found the string 'yes'\n"
        "    1 | terms.fit.weight=yes\n"
        "      |                  ^^^\n"
        "\n"
        "--set:1:1  terms.aux  [LR102]\n"
        "    the key 'type', the loss's name, is missing\n"
        "    1 | terms.aux={}\n"
        "      | ^^^^^^^^^\n"
        "\n"
        "1 file checked: 2 errors\n"
    )


def test_the_same_fault_in_two_overrides_is_two_faults(capsys: Capture) -> None:
    write("loss.yaml", "terms:\n  a: {type: mse}\n  b: {type: mse}\n")
    overrides = ["--set", "terms.a.weight=012", "--set", "terms.b.weight=012"]
    assert main(["check", "loss.yaml", *overrides]) == 1
    out = capsys.readouterr().out
    assert out.count("write 12\n") == 2
    assert "as well" not in out


@pytest.mark.parametrize(
    ("override", "code", "message"),
    [
        ("terms.fit.weight", "LR401", "expected PATH=VALUE, found no '='"),
        ("=3", "LR401", "before '='"),
        ("terms..fit=3", "LR401", "before '='"),
        ("terms.fit.weight=[1", "LR003", "not valid YAML"),
        ("terms.fit.weight=!x 1", "LR006", "the tag !x is not allowed"),
        ("terms.fit.type.name=l1", "LR402", "'terms.fit.type' is the string 'mse'"),
        ("terms.fit[0]=x", "LR402", "'terms.fit' is a mapping"),
        ("terms.fit.weigth=2", "LR104", "did you mean 'weight'?"),
        ("terms.fit.type=MSELoss", "LR105", "did you mean 'mse'?"),
        ("terms.fit.weight=", "LR201", "expected a number, found nothing"),
    ],
)
def test_an_override_that_is_wrong(override: str, code: str, message: str, capsys: Capture) -> None:
    assert main(["check", write("loss.yaml", FINE), "--set", override, "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["diagnostics"]
    assert (found["code"], found["file"], found["line"]) == (code, "--set", 1)
    assert found["source_line"] == override
    assert message in found["message"]


def test_an_override_beside_the_loss_is_not_lost_in_silence(capsys: Capture) -> None:
    write("loss.yaml", "loss: {terms: {fit: {type: mse}}}\nmodel: {depth: 1}\n")
    assert main(["check", "loss.yaml", "--set", "los.terms.fit.weight=2"]) == 1
    out = capsys.readouterr().out
    assert "this override creates the key 'los', which nothing reads; did you mean 'loss'?" in out
    assert main(["check", "loss.yaml", "--set", "model.depth=2"]) == 0
    assert main(["check", "loss.yaml", "--set", "loss.terms.fit.weight=2"]) == 0


# --- colour -------------------------------------------------------------------------------------


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


# --- machines -----------------------------------------------------------------------------------


def test_json(capsys: Capture) -> None:
    write("configs/loss.yaml", WRONG)
    write("configs/model.yaml", FOREIGN)
    assert main(["check", "configs", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "files": 1,
        "skipped": 1,
        "not_followed": [],
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
        "not_followed": [],
        "diagnostics": [],
    }


def test_github_annotations(capsys: Capture) -> None:
    write("a:b,c%.yaml", "terms:\n  fit: {type: '50%\\n:,', weight: -1}\n")
    assert main(["check", "a:b,c%.yaml", "--format", "github"]) == 1
    assert capsys.readouterr().out == (
        "::error file=a%3Ab%2Cc%25.yaml,line=2,col=15,endColumn=24,title=LR105::terms.fit.type: "
        "there is no loss '50%25\\n:,'; no distribution or module of that name has losses here\n"
        "::warning file=a%3Ab%2Cc%25.yaml,line=2,col=34,endColumn=36,title=LR904::"
        "terms.fit.weight: the weight is negative, so the term is maximised\n"
    )


def test_json_and_another_format_exclude_each_other(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["check", "loss.yaml", "--json", "--format", "github"])
    assert raised.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


# --- whatever the value -------------------------------------------------------------------------

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
