"""What the command line says of itself: verbs, examples that run, and what was probably meant."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from environments import ROOT
from fake_distributions import plugin
from lossreg.cli import main
from lossreg.cli.command import _VERBS, verb_module

Capture = pytest.CaptureFixture[str]
EXAMPLES = [(verb, command) for verb in _VERBS for command in verb_module(verb).EXAMPLES]
# Other exit codes than 0, as the example's own words say.
CODES = {"lossreg diff loss.yaml other.yaml": 1}


def ended(*words: str) -> int | str | None:
    with pytest.raises(SystemExit) as raised:
        main(words)
    return raised.value.code


def test_alone_it_prints_its_verbs_and_is_wrong_usage(capsys: Capture) -> None:
    assert ended() == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line.split()[0] for line in err.splitlines() if line.startswith("    ")]
    assert [word for word in lines if word in _VERBS] == list(_VERBS)
    assert "exit codes: 0 fine, 1 a problem was found, 2 wrong usage, 130 interrupted\n" in err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("chek", "there is no command 'chek'; did you mean 'check'?"),
        ("lint conf", "there is no command 'lint'; did you mean 'check'?"),
        ("validate", "did you mean 'check'?"),
        ("verify", "did you mean 'check'?"),
        ("ls", "did you mean 'list'?"),
        ("train", "did you mean 'run'?"),
        ("help", "did you mean '--help'?"),
        ("version", "did you mean '--version'?"),
        ("loss.yaml", "did you mean 'lossreg check loss.yaml'?"),
        ("--hlep", "there is no option '--hlep'; did you mean '--help'?"),
        ("check --hlep", "there is no option '--hlep'; did you mean '--help'?"),
        ("check --fromat=json loss.yaml", "did you mean '--format'?"),
        ("list --frobnicate", "there is no option '--frobnicate'\n"),
    ],
)
def test_what_was_probably_meant(words: str, hint: str, capsys: Capture) -> None:
    assert ended(*words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert hint in err


def test_what_is_not_an_option_is_not_refused_as_one(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "loss.yaml"
    file.write_text("terms: {fit: {type: mse}}\n")
    assert main(["check", "--form", "json", str(file)]) == 0  # argparse takes a beginning
    assert main(["check", "--", str(file), "--nothing"]) == 1
    assert "there is no such file" in capsys.readouterr().out


@pytest.mark.parametrize("verb", _VERBS)
def test_each_verb_has_examples_and_the_exit_codes(verb: str, capsys: Capture) -> None:
    assert ended(verb, "--help") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: lossreg {verb}")
    assert "\nexamples:\n  lossreg " in out
    assert out.endswith("2 wrong usage, 130 interrupted\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the examples name."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copy(ROOT / "tests" / "support" / "stranger_losses.py", tmp_path / "acme_losses.py")
    (tmp_path / "my_losses.py").write_text(plugin("mine"), encoding="utf-8")
    for name, text in {
        "loss.yaml": "terms:\n  fit: {type: smooth_l1, weight: 0.5}\n",
        "other.yaml": "terms:\n  fit: {type: smooth_l1}\n",
        "conf/loss/seg.yaml": "terms:\n  fit:\n    type: mse\n    weight: ${lam}\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
@pytest.mark.parametrize(
    ("verb", "command"),
    [
        pytest.param(*example, marks=[pytest.mark.nightly] * (example[0] == "run"))
        for example in EXAMPLES
    ],
)
def test_each_example_runs_as_it_is_written(verb: str, command: str, folder: Path) -> None:
    assert "lossreg" in command
    assert verb in command
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": programs},
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stderr) == (CODES.get(command, 0), "")
