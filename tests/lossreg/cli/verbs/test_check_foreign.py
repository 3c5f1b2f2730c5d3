"""`--skip-without-objective`: what of a whole repository is checked, and what is skipped."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from checked_files import FINE, FOREIGN, WRONG, Capture, write
from foreign_files import READ, UNREAD, write_foreign
from lossreg.cli import main

pytestmark = pytest.mark.usefixtures("empty_folder")

SKIP = "--skip-without-objective"


def test_foreign_files_are_skipped_and_counted_when_they_are_named(capsys: Capture) -> None:
    files = write_foreign(Path())
    assert main(["check", SKIP, *files]) == 0
    assert capsys.readouterr().out == (
        f"0 files checked ({len(READ)} without an objective skipped, {len(UNREAD)} unreadable "
        "without one skipped (LR002, LR003, LR004, LR005, LR007, LR010))\n"
    )
    assert main(["check", SKIP, *files, write("loss.yaml", FINE)]) == 0
    assert capsys.readouterr().out.startswith("1 file checked (")


def test_the_reason_of_each_is_in_the_json(capsys: Capture) -> None:
    files = write_foreign(Path())
    assert main(["check", SKIP, *files, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["files"] == 0
    assert report["skipped"] == len(READ)
    assert {fault["file"]: fault["code"] for fault in report["unread"]} == {
        str(Path(name)): code for name, (_, code) in UNREAD.items()
    }
    assert report["diagnostics"] == []


@pytest.mark.parametrize("name", [*READ, *UNREAD])
def test_a_person_who_names_one_is_told(name: str, capsys: Capture) -> None:
    write_foreign(Path())
    assert main(["check", name]) == 1
    assert "no problems" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (WRONG, "LR104"),
        ("losss: {terms: {fit: {type: mse}}}\n", "LR109"),
        ("loss: {term: {fit: {type: mse}}}\n", "LR104"),
        ("loss: [{type: mse}]\n", "LR101"),
        ("loss:\n", "LR101"),
        ("model: {depth: 5}\nhead: {type: mse, weight: 2}\n", "LR905"),
        ("deep: {er: {terms: {fit: {type: mze}}}}\n", "LR105"),
        # Not read as a document, but for what is written in it:
        ("terms:\n  fit: {type: mse\n", "LR003"),
        ("a: 1\n---\nterms: {fit: {type: mse}}\n", "LR005"),
        ("model:\n  criterion: {'terms' : {fit: {type: mse}}}\n---\na: 1\n", "LR005"),
        ("loss:\n\tfit: 1\n", "LR010"),
        ("- terms: {a: {type: mse}}\n---\n", "LR005"),
        (f"loss: {{}}\nlong: {'x' * 2**20}\n", "LR004"),
        ("'objectives':\n  a: [\n", "LR003"),
        ("\ufeffterms:\n  fit: {type: mse\n", "LR003"),
        # Tags and keys that are not read beside an objective: `build` would refuse them, too.
        ("terms: {fit: {type: mse}}\nsecret: !vault x\n", "LR006"),
        ("terms: {fit: {type: mse}}\nports: {80: 80}\n", "LR007"),
    ],
)
def test_what_seems_to_hold_an_objective_is_reported(text: str, code: str, capsys: Capture) -> None:
    write("loss.yaml", text)
    failed = main(["check", SKIP, "loss.yaml", "--strict", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code in [fault["code"] for fault in report["diagnostics"]]
    assert (failed, report["files"], report["skipped"], report["unread"]) == (1, 1, 0, [])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_an_objective_in_another_encoding_is_reported(encoding: str, capsys: Capture) -> None:
    Path("loss.yaml").write_bytes(FINE.encode(encoding))
    assert main(["check", SKIP, "loss.yaml"]) == 1
    assert "[LR002]" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        "kind: Pod\nnodeSelectorTerms: []\n---\na: 1\n",
        "a: 1  # terms: none\n---\nb: 2\n",
        "kind: Pod\nspec:\n  loss: 1\n---\na: 1\n",
        "losses_of_life: 1\n---\na: 1\n",
    ],
)
def test_words_that_are_not_keys_of_an_objective(text: str, capsys: Capture) -> None:
    write("pods.yaml", text)
    assert main(["check", SKIP, "pods.yaml"]) == 0
    assert "1 unreadable without one skipped (LR005)" in capsys.readouterr().out


def test_a_missing_file_is_a_problem_even_so(capsys: Capture) -> None:
    assert main(["check", SKIP, "missing.yaml"]) == 1
    assert "[LR001]" in capsys.readouterr().out


def test_standard_input_is_skipped_likewise(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text, code, said in (
        (FOREIGN, 0, "0 files checked (1 without an objective skipped)\n"),
        ("a: 1\n---\nb: 2\n", 0, "0 files checked (1 unreadable without one skipped (LR005))\n"),
        ("a: 1\n---\nterms: {}\n", 1, "1 file checked: 1 error\n"),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert main(["check", SKIP, "-"]) == code
        assert capsys.readouterr().out.endswith(said)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="a shell's <(command)")
def test_a_pipe_that_is_not_readable_yaml_is_reported(capsys: Capture) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"a: 1\n---\nb: 2\n")
    os.close(writer)
    try:
        assert main(["check", SKIP, f"/dev/fd/{reader}"]) == 1
    finally:
        os.close(reader)
    assert "[LR005]" in capsys.readouterr().out


def test_a_folder_is_read_as_before_without_the_option(capsys: Capture) -> None:
    write("conf/model.yaml", FOREIGN)
    write("conf/pods.yaml", "a: 1\n---\nb: 2\n")
    assert main(["check", "conf"]) == 1
    assert "[LR005]" in capsys.readouterr().out
    assert main(["check", "conf", SKIP]) == 0


def test_interpolations_are_counted(capsys: Capture) -> None:
    write("conf/loss/seg.yaml", "terms:\n  fit:\n    type: mse\n    weight: ${lam}\n")
    write("conf/model.yaml", "width: ${width}\n")
    assert main(["check", "conf", "--interpolations"]) == 0
    assert capsys.readouterr().out == (
        "1 file checked (1 without an objective skipped, 1 interpolation passed over): "
        "no problems\n"
    )
    assert main(["check", "conf", "--interpolations", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed_over"] == 1
    assert main(["check", "conf"]) == 1
    assert "`lossreg check --interpolations` pass over it" in capsys.readouterr().out
