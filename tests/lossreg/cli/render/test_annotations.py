from __future__ import annotations

from pathlib import Path

from lossreg.cli.render.annotations import github_text
from lossreg.errors import Diagnostic

ROOT = Path("/nowhere")
MARK = "\N{REPLACEMENT CHARACTER}"


def test_a_fault_without_a_place() -> None:
    found = Diagnostic(code="LR102", message="it is missing", path="loss.terms")
    assert github_text(found, ROOT) == "::error title=LR102::loss.terms: it is missing"


def test_what_a_command_gives_a_meaning_is_escaped() -> None:
    found = Diagnostic(
        code="LR105",
        message="50%\r\nof: a, b",
        path="terms.a",
        file="a%,:\n.yaml",
        line=3,
        column=5,
    )
    assert github_text(found, ROOT) == (
        "::error file=a%25%2C%3A%0A.yaml,line=3,col=5,title=LR105::terms.a: 50%25%0D%0Aof: a, b\n"
        f"  in a%,:{MARK}.yaml:3:5"
    )


def test_it_steers_no_log() -> None:
    found = Diagnostic(code="LR105", message="\x1b[31m\u202e", path="\x07", file="\x9b.yaml")
    assert github_text(found, ROOT) == (
        f"::error file={MARK}.yaml,title=LR105::{MARK}: {MARK}[31m{MARK}\n  in {MARK}.yaml"
    )


def test_no_later_line_is_a_command() -> None:
    found = Diagnostic(
        code="LR105",
        message="one\n::stop-commands::x",
        file="::warning::x.yaml",
        line=1,
        column=1,
        source_line="::add-mask::secret",
    )
    first, *rest = github_text(found, ROOT).splitlines()
    assert first.endswith("::one%0A::stop-commands::x")
    assert rest
    assert not any(line.lstrip().startswith("::") for line in rest)
