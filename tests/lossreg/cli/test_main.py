from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from lossreg.cli import list as list_verb
from lossreg.cli import main

if TYPE_CHECKING:
    from fake_distributions import Site

VERBS = ["list", "show", "check", "codes", "new", "run"]


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


def test_a_reader_that_left_is_no_complaint() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "lossreg", "list"],
            stdout=write_end,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_error("--version") == 0
    assert capsys.readouterr().out == f"lossreg {version('lossreg')}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_error(verb, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: lossreg {verb}")


def test_a_broken_plugin_does_not_stop_the_others(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": "raise SystemExit(9)"}, version="2.1")
    assert main(["show", "l1"]) == 0
    assert main(["show", "odd"]) == 1
    assert capsys.readouterr().err == "error: loss 'odd' (acme 2.1, acme_odd): SystemExit: 9\n"
