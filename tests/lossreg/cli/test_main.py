from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lossreg.cli import main
from lossreg.cli.verbs import list as list_verb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fake_distributions import Site


def usage_error(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    return raised.value.code


def test_a_problem_is_one_line_on_stderr_and_exit_code_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["show", "SmoothL1"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: unknown loss 'SmoothL1'; did you mean 'smooth_l1'?\n"


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--debug", "SmoothL1"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):")
    assert err.endswith("\nerror: unknown loss 'SmoothL1'; did you mean 'smooth_l1'?\n")


@pytest.mark.parametrize(
    "arguments",
    [(), ("nothing",), ("list", "extra"), ("show",), ("show", "--colour", "l1"), ("check",)],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert usage_error(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: lossreg")


def test_an_interrupt_is_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(list_verb, "run", interrupted)
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_error_of_lossreg_itself_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(_arguments: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(list_verb, "run", faulty)
    with pytest.raises(ZeroDivisionError):
        main(["list"])


@contextmanager
def pipe_without_a_reader() -> Iterator[int]:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        yield write_end
    finally:
        os.close(write_end)


def command(*arguments: str, **streams: Any) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own; what is no stream of it is captured."""
    return subprocess.run(
        [sys.executable, "-m", "lossreg", *arguments],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
        text=True,
        check=False,
    )


# What fits into Python's buffer is written at the end only, the rest of it on the way.
@pytest.mark.parametrize(
    "arguments",
    [
        *("list", "show l1", "codes --json", "check right.yaml", "check many.yaml", "--help"),
        *(
            pytest.param(arguments, marks=pytest.mark.nightly)
            for arguments in (
                *("list --json", "show l1 --markdown", "codes", "codes LR101", "check wrong.yaml"),
                *("check wrong.yaml --json", "check wrong.yaml --format github", "list --help"),
                "--version",
            )
        ),
    ],
)
def test_a_reader_that_left_is_no_complaint_and_changes_no_verdict(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("right.yaml").write_text("terms: {fit: {type: mse}}", encoding="utf-8")
    Path("wrong.yaml").write_text("terms: {fit: {type: mze}}", encoding="utf-8")
    many = "".join(f"  fit{i}: {{type: mze}}\n" for i in range(900))
    Path("many.yaml").write_text(f"terms:\n{many}", encoding="utf-8")
    for unbuffered in ("", "1"):
        monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
        with pipe_without_a_reader() as pipe:
            done = command(*arguments.split(), stdout=pipe)
        is_wrong = "wrong.yaml" in arguments or "many.yaml" in arguments
        assert (done.returncode, done.stderr) == (int(is_wrong), "")


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [("codes", 0), ("schema", 0), ("check fine", 0), ("check wrong.yaml", 1)],
)
def test_a_pipe_to_head_keeps_the_exit_code(
    arguments: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fine").mkdir()
    warned = "".join(f"  fit{i}: {{type: mse, weight: -1}}\n" for i in range(900))
    Path("fine", "warned.yaml").write_text(f"terms:\n{warned}", encoding="utf-8")
    Path("wrong.yaml").write_text("terms: {fit: {type: mze}}", encoding="utf-8")
    call = f"{shlex.quote(sys.executable)} -m lossreg {arguments}"
    # A POSIX shell has no pipefail: the code is written beside the pipe.
    script = f"{{ {call}; echo $? > code; }} | head -n 1"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=False, text=True)
    assert (Path("code").read_text().strip(), done.stderr) == (str(code), "")
    assert done.stdout.count("\n") == 1


def test_a_reader_that_leaves_on_the_way() -> None:
    arguments = [sys.executable, "-m", "lossreg", "list", "--json"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        os.read(process.stdout.fileno(), 1)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_where_nobody_reads_the_complaints_the_exit_code_tells() -> None:
    for arguments, code in (
        ("show no_such_loss", 1),
        ("check none.yaml", 1),
        ("list --nothing", 2),
    ):
        with pipe_without_a_reader() as pipe:
            assert command(*arguments.split(), stderr=pipe).returncode == code


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("list", 0),
        ("check none.yaml", 1),
        pytest.param("show l1", 0, marks=pytest.mark.nightly),
        pytest.param("show no_such_loss", 1, marks=pytest.mark.nightly),
    ],
)
def test_closed_streams_are_no_crash(arguments: str, code: int) -> None:
    call = f"{shlex.quote(sys.executable)} -m lossreg {arguments}"
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        done = subprocess.run(f"{call} {closed}", shell=True, capture_output=True, check=False)
        assert done.returncode == code
        assert b"Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
def test_standard_input_that_is_closed_is_a_problem() -> None:
    call = f"{shlex.quote(sys.executable)} -m lossreg check - <&-"
    done = subprocess.run(call, shell=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (1, b"error: there is no standard input\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's full device")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_a_problem(unbuffered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    message = "error: the output cannot be written: No space left on device\n"
    for arguments in ("codes", "--help", "list --json"):
        with Path("/dev/full").open("w") as full:
            done = command(*arguments.split(), stdout=full)
        assert (done.returncode, done.stderr) == (1, message)


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_error("--version") == 0
    assert capsys.readouterr().out == f"lossreg {version('lossreg')}\n"


def test_a_broken_plugin_does_not_stop_the_others(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": "raise SystemExit(9)"}, version="2.1")
    assert main(["show", "l1"]) == 0
    assert main(["show", "odd"]) == 1
    assert capsys.readouterr().err == "error: loss 'odd' (acme 2.1, acme_odd): SystemExit: 9\n"
