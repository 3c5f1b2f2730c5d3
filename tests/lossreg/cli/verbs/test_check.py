"""Files, folders and standard input are checked, each objective of each."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from checked_files import FINE, FOREIGN, WRONG, Capture, write
from lossreg.cli import main

pytestmark = pytest.mark.usefixtures("empty_folder")


SUSPICIOUS = "terms:\n  fit: {type: mse, weight: -1}\n"


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
        "    the weight is negative, so the term is maximised; if this is meant, write "
        "maximize: true, weight: 1\n"
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
    assert err == "error: found no .yaml or .yml file\n"


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
