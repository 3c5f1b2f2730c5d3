"""`lossreg plot` on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from documents import Document
from lossreg.cli import main
from lossreg.errors import MissingExtraError

CONFIG = """\
terms:
  fit: {type: mse, inputs: [x, y]}
  kl: {type: value, inputs: [k], weight: {schedule: linear, start: 0.0, end: 0.5, steps: 200}}
  gate: {type: value, inputs: [k], weight: {from: lam}}
"""


@pytest.fixture
def file(empty_folder: Path) -> str:
    (empty_folder / "loss.yaml").write_text(CONFIG, encoding="utf-8")
    return "loss.yaml"


def test_it_writes_the_picture_and_says_what_is_in_it(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", file]) == 0
    assert capsys.readouterr().out == (
        "loss-weights.png: 2 terms, 220 steps\n"
        "not drawn: 'gate': its weight is known only in a step: lam\n"
    )
    assert Path("loss-weights.png").read_bytes().startswith(b"\x89PNG")


def test_the_suffix_says_the_form(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.svg", "b.SVG"):
        assert main(["plot", file, "-o", name, "--steps", "50"]) == 0
    assert Path("a.svg").read_bytes() == Path("b.SVG").read_bytes()
    assert b"<svg" in Path("a.svg").read_bytes()
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["plot", file, "-o", "a.pdf"])
    assert stop.value.code == 2
    assert "'a.pdf': expected a name that ends in .png or .svg" in capsys.readouterr().err


def test_json_has_the_weights(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", file, "--set", "terms.fit.weight=3", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["file"], shown["unit"], shown["end"]) == ("loss-weights.png", "step", 220)
    assert [(one["name"], one["first"], one["last"]) for one in shown["terms"]] == [
        ("fit", 3.0, 3.0),
        ("kl", 0.0, 0.5),
    ]
    assert list(shown["not_drawn"]) == ["gate"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "terms.kl.weight.unit=epoch", "--steps", "9"], "error: --steps counts steps"),
        (["--steps", "0"], "'0': expected a number of at least 1"),
        (["--steps-per-epoch", "x"], "'x': expected a number of at least 1"),
    ],
)
def test_wrong_usage(
    file: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: object = main(["plot", file, *words])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert message in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_is_reported(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", file, "-o", "nowhere/a.png"]) == 1
    assert "'nowhere/a.png' cannot be written: No such file" in capsys.readouterr().err


def test_without_matplotlib_it_says_what_to_install(file: str) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None; from lossreg.cli import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "plot", file], capture_output=True, text=True, check=False
    )
    expected = MissingExtraError("`lossreg plot`", extra="experiments", missing="matplotlib")
    assert done.returncode == 1
    assert str(expected) in done.stderr


def test_it_does_not_import_torch(file: str) -> None:
    code = (
        "import sys; from lossreg.cli import main; main(sys.argv[1:]); "
        "sys.exit('torch was imported' if 'torch' in sys.modules else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "plot", file], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_it_says_what_the_docs_show(empty_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = Document("docs/tools.md")
    shown = next(block for block in page.blocks("console") if block.startswith("$ lossreg plot"))
    command, _, expected = shown.partition("\n")
    page.write_files(empty_folder)
    assert main(command.split()[2:]) == 0
    assert capsys.readouterr().out == expected
    assert b"<svg" in (empty_folder / "weights.svg").read_bytes()
