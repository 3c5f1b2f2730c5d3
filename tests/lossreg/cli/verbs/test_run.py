from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from fake_distributions import TASKS, Site, plugin, task_plugin
from lossreg import experiments
from lossreg.cli import main
from lossreg.errors import InputError, LossregError

DIGITS = Path(__file__).parents[4] / "configs" / "digits.yaml"
EXPERIMENT = """\
task: digits
trainer: {accelerator: cpu, max_epochs: 1}
loss:
  terms:
    classify: {type: cross_entropy, inputs: [logits, labels]}
    rebuild: {type: smooth_l1, inputs: [decoder.pixels, image]}
"""


@pytest.fixture(autouse=True)
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = Path("small.yaml")
    file.write_text(EXPERIMENT)
    return file


def launch(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lossreg", "run", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_the_bundled_config_beats_both_baselines(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(DIGITS), "--json"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    told = json.loads(out)
    accuracy = told["held_out"]["accuracy"]
    rebuild = told["held_out"]["rebuild_error"]
    assert accuracy["value"] > accuracy["baseline"]
    assert rebuild["value"] < 0.5 * rebuild["baseline"]
    assert told["folder"] == str(Path("runs", "digits"))


def test_the_table_comes_last_and_nothing_else_is_printed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["run", "small.yaml"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    number = r"[\d.]+"
    expected = (
        r"term +first +last +weighted",
        rf"classify +{number} +{number} +{number}",
        rf"rebuild +{number} +{number} +{number}",
        rf"total +{number} +{number} +{number}",
        r"",
        r"held out +this run +baseline",
        rf"accuracy +{number} +{number}  logistic regression on the pixels",
        rf"rebuild error \(mse\) +{number} +{number}  the mean training image",
        r"",
        rf"22 steps, 1 epoch, {number} s: {re.escape(str(Path('runs', 'small')))}",
    )
    lines = out.splitlines()
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line)


def test_an_override_is_trained_with_and_written_down(capsys: pytest.CaptureFixture[str]) -> None:
    override = "loss.terms.rebuild.weight=0.25"
    one_step = "trainer.max_steps=1"
    assert main(["run", "small.yaml", "--json", "--set", override, "--set", one_step]) == 0
    told = json.loads(capsys.readouterr().out)
    term = told["terms"]["rebuild"]
    assert term["weighted"] == pytest.approx(0.25 * term["last"])
    kept = Path("runs/small/config.yaml").read_text()
    assert kept.startswith(
        "# What `lossreg run small.yaml` trained, with this applied:\n"
        f"#   --set {override}\n#   --set {one_step}\n\ntask: digits\n"
    )
    assert yaml.safe_load(kept) == {
        "task": "digits",
        "trainer": {"accelerator": "cpu", "max_epochs": 1, "max_steps": 1},
        "loss": {
            "terms": {
                "classify": {"type": "cross_entropy", "inputs": ["logits", "labels"]},
                "rebuild": {
                    "type": "smooth_l1",
                    "inputs": ["decoder.pixels", "image"],
                    "weight": 0.25,
                },
            }
        },
    }


def test_the_kept_config_trains_the_same_again() -> None:
    Path("small.yaml").write_text(
        "defaults: &term {weight: {schedule: linear, start: 1e-3, end: 2, steps: 3}}\n"
        "notes: ['1e-3', 'yes', 'null', 'a\\nb', \"\\e[31m\"]\n"
        + EXPERIMENT.replace("{type: smooth_l1,", "{<<: *term, type: smooth_l1,")
    )
    overrides = ["trainer.max_steps=4", "seed=3", "loss.terms.rebuild.params.beta=1e-1"]
    assert main(["run", "small.yaml", *(f"--set={each}" for each in overrides)]) == 0
    assert main(["run", str(Path("runs", "small", "config.yaml"))]) == 0
    first, again = Path("runs", "small"), Path("runs", "config")
    assert (first / "metrics.csv").read_bytes() == (again / "metrics.csv").read_bytes()
    kept = [(each / "config.yaml").read_text().partition("\n\n")[2] for each in (first, again)]
    assert kept[0] == kept[1]
    found = yaml.safe_load(kept[0])
    assert found["notes"] == ["1e-3", "yes", "null", "a\\nb", "\x1b[31m"]
    assert found["loss"]["terms"]["rebuild"]["weight"]["start"] == 0.001
    assert found["seed"] == 3


@pytest.mark.skipif(os.name == "nt", reason="such names cannot be there")
@pytest.mark.parametrize(
    "name",
    [
        *("a\nseed: 9", "\udcff"),
        *(
            pytest.param(name, marks=pytest.mark.nightly)
            for name in ("\x1b[31m\u202e", "损失", "$\\frac$")
        ),
    ],
)
def test_a_files_name_may_be_anything(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    Path("small.yaml").rename(f"{name}.yaml")
    assert main(["run", f"{name}.yaml", "--set", "trainer.max_steps=1"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    (folder,) = Path("runs").iterdir()
    assert out.endswith(f": {folder}\n")
    assert folder.name.isprintable()
    kept = (folder / "config.yaml").read_text(encoding="utf-8")
    assert all(char.isprintable() or char == "\n" for char in out + kept)
    assert "seed" not in yaml.safe_load(kept)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.yaml"], "there is no such file"),
        (["objective.yaml"], "this is an objective, not an experiment to run"),
        (["small.yaml", "--set", "task=digit"], "did you mean 'digits'?"),
        (["small.yaml", "--set", "trainer.max_epoch=3"], "did you mean 'max_epochs'?"),
        (["small.yaml", "--set", "trainer.devices=0"], "devices"),
        (["small.yaml", "--set", "loss.terms.rebuild.inputs=[a, b]"], "there is no 'a'"),
        (["small.yaml", "--set", "trainer.strategy=fsdp"], "Lightning refuses"),
    ],
    ids=["missing file", "no task", "unknown task", "unknown option", "bad option", "no such input",
         "refused option"],
)  # fmt: skip
def test_a_fault_is_told_without_a_traceback_and_leaves_no_folder(
    arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("objective.yaml").write_text("terms: {fit: {type: cross_entropy}}\n")
    assert main(["run", *arguments]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert list(Path().glob("runs/*")) == []


def test_without_the_extra_the_exit_code_is_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    assert main(["run", "small.yaml"]) == 1
    assert "pip install 'lossreg[experiments]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (LossregError("on every rank"), 1, ""),
        (InputError("on this one"), 1, "rank 1: error: on this one\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=["common fault", "fault of its own", "interrupt"],
)
def test_a_rank_other_than_the_first_tells_only_what_may_be_its_own(
    error: BaseException,
    code: int,
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(experiments, "run", fails)
    monkeypatch.setattr(experiments, "rank", lambda: 1)
    assert main(["run", "small.yaml"]) == code
    assert capsys.readouterr() == ("", told)


@pytest.mark.nightly
def test_two_processes_share_one_folder_and_print_one_table() -> None:
    options = ["trainer.devices=2", "trainer.strategy=ddp", "trainer.max_epochs=1"]
    process = launch("small.yaml", *(part for each in options for part in ("--set", each)))
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.count("classify") == 1
    assert "Warning" not in err
    assert "recommended" not in err
    assert [each.name for each in Path("runs").iterdir()] == ["small"]
    # 1,347 images dealt out to two processes, in batches of 64: 11 steps.
    assert Path("runs/small/metrics.csv").read_text().splitlines()[-1].startswith("11,1,")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_is_exit_code_130_and_keeps_the_metrics() -> None:
    # A shell's background job ignores the signal, and so would all that it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = launch("small.yaml", "--set", "trainer.max_epochs=1000000")
    finally:
        signal.signal(signal.SIGINT, before)
    metrics = Path("runs/small/metrics.csv")
    try:
        deadline = time.monotonic() + 60
        while not (metrics.exists() and metrics.read_text().count("\n") > 5):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
    assert metrics.read_text().count("\n") > 5
    assert Path("runs/small/curves.png").exists()


LINE = """\
task: line
trainer: {accelerator: cpu, max_epochs: 20}
loss: {terms: {fit: {type: mse, inputs: [y, z]}}}
"""


def test_a_third_partys_task_is_trained(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.add("acme", {"line": "acme_line"}, {"acme_line": task_plugin("line")}, group=TASKS)
    Path("line.yaml").write_text(LINE)
    for name in ("line", "acme:line"):
        assert main(["run", "line.yaml", "--json", "--set", f"task={name}"]) == 0
        out, err = capfd.readouterr()
        assert err == ""
        told = json.loads(out)
        assert told["steps"] == 80
        assert told["total"]["last"] < 0.1 < told["total"]["first"]
        assert told["held_out"]["error"]["value"] < 0.1


def test_a_task_of_a_module_that_is_not_installed_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("acme_own_line.py").write_text(task_plugin("line") + plugin("own"))
    Path("line.yaml").write_text(LINE.replace("mse", "own"))
    assert main(["run", "line.yaml"]) == 1
    options = ["--plugin", "acme_own_line", "--set", "trainer.max_steps=1"]
    assert main(["run", "line.yaml", *options]) == 0
    assert (tmp_path / "runs" / "line" / "metrics.csv").exists()
    del sys.modules["acme_own_line"]


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        ("1 / 0", "raised ZeroDivisionError: division by zero"),
        ("7", "returned int, not a Task"),
    ],
)
def test_a_task_that_cannot_be_built_is_told_as_its_plugins_fault(
    site: Site, build: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = task_plugin("line", build=build)
    site.add("acme", {"line": "acme_line"}, {"acme_line": source}, version="2.1", group=TASKS)
    Path("line.yaml").write_text(LINE)
    assert main(["check", "line.yaml"]) == 0
    assert main(["run", "line.yaml"]) == 1
    told = capsys.readouterr().err
    assert told == f"error: building the task 'line' (acme 2.1, acme_line) {reason}\n"
    assert not Path("runs").exists()
