from __future__ import annotations

import pytest

from lossreg.cli.render.report import diagnostic_text, error_text, summary_text, table
from lossreg.config import examine
from lossreg.errors import ConfigError, Diagnostic, UnknownLossError


@pytest.fixture(autouse=True)
def width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def at(line: str, column: int, end: int | None) -> list[str]:
    """The source line and the caret's line, as shown, without their margin."""
    diagnostic = Diagnostic(
        code="LR104",
        message="unknown key",
        file="a.yaml",
        line=1,
        column=column,
        end_column=end,
        source_line=line,
    )
    source, caret = diagnostic_text(diagnostic).splitlines()[2:]
    assert source.startswith("    1 |")
    assert caret.startswith("      |")
    return [source[8:], caret[8:]]


def cells(text: str) -> int:
    """Cells by hand, for the few characters used here."""
    wide = "損失関数目標🔥"
    return sum(0 if char in {"́", "️"} else 2 if char in wide else 1 for char in text)


@pytest.mark.parametrize(
    ("line", "marked"),
    [
        ("terms: {fit: mse}", "mse"),
        ("mse", "mse"),
        ("損失: {type: mse}", "mse"),
        ("fit: {損失: 目標}", "目標"),
        ("🔥: {fire: bad}", "bad"),
        ("e\u0301te\u0301: {a: bad}", "bad"),
        ("heart \u2764\ufe0f: {a: bad}", "bad"),
        ("a: {e\u0301: 1, b: 2}", "e\u0301"),
    ],
)
def test_the_caret_stands_under_what_is_meant(line: str, marked: str) -> None:
    start = line.index(marked)
    shown, caret = at(line, start + 1, start + 1 + len(marked))
    assert shown == line
    assert len(caret) - len(caret.lstrip()) == cells(line[:start])
    assert caret.strip() == "^" * cells(marked)


def test_a_tab_is_four_cells() -> None:
    assert at("a:\tbad", 4, 7) == ["a:    bad", "      ^^^"]
    assert at("\ta: 1", 1, 2) == ["    a: 1", "^^^^"]


def test_a_control_character_is_replaced() -> None:
    shown, caret = at("a: \x1b[31mbad\x07", 9, 12)
    assert shown == "a: \N{REPLACEMENT CHARACTER}[31mbad\N{REPLACEMENT CHARACTER}"
    assert caret == "        ^^^"


def test_what_is_beyond_the_lines_end_is_one_caret() -> None:
    assert at("terms:", 7, 8) == ["terms:", "      ^"]
    assert at("", 1, 1) == ["", "^"]
    assert at("terms:", 7, None) == ["terms:", "      ^"]


@pytest.mark.parametrize("before", [0, 10, 34, 35, 36, 60, 70, 500, 3_900])
@pytest.mark.parametrize(
    ("filler", "wide"), [("x", 1), ("損", 2), ("\t", 4), ("e\u0301", 1), ("\x00", 1)]
)
def test_a_long_line_is_cut_around_the_caret(filler: str, wide: int, before: int) -> None:
    start = len(filler) * before
    shown, caret = at(filler * before + "BAD" + filler * 500, start + 1, start + 4)
    assert caret.strip() == "^^^"
    assert cells(shown[: shown.index("BAD")]) == len(caret) - len(caret.lstrip())
    assert cells(shown) <= 71
    assert shown.startswith("…") == (wide * before > 35)
    assert shown.endswith("…")


def test_a_long_fault_has_carets_to_the_edge() -> None:
    shown, caret = at("x" * 1_000, 1, 1_001)
    assert shown == "x" * 70 + "…"
    assert caret == "^" * 70


@pytest.mark.parametrize("columns", ["1", "20", "80", "10000"])
def test_any_width_of_the_terminal(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown, caret = at("x" * 200 + "BAD" + "x" * 200, 201, 204)
    assert shown[caret.index("^") :].startswith("BAD")
    assert len(shown) <= 100


def test_a_fault_far_into_a_line_is_told_without_the_line() -> None:
    document = "{" + "".join(f"k{i}: 1, " for i in range(1_000)) + "loss: {terms: {a: 3}}}"
    (found,) = examine(document.encode()).diagnostics
    assert found.source_line is None
    assert found.column == document.index("3}}}") + 1
    assert len(diagnostic_text(found).splitlines()) == 2


def test_a_fault_without_a_place() -> None:
    found = Diagnostic(code="LR102", message="it is missing", path="loss.terms")
    assert diagnostic_text(found) == "loss.terms  [LR102]\n    it is missing"
    assert diagnostic_text(Diagnostic(code="LR011", message="m", file="a")) == "a  [LR011]\n    m"


def test_a_message_of_several_lines_is_indented_and_harmless() -> None:
    found = Diagnostic(code="LR209", message="one\n\x1b[2Jtwo\r")
    text = diagnostic_text(found)
    assert text == "[LR209]\n    one\n    \N{REPLACEMENT CHARACTER}[2Jtwo"


def test_colours() -> None:
    error = Diagnostic(code="LR104", message="m", file="a", line=1, column=1, source_line="x")
    assert diagnostic_text(error, colour=True) == (
        "\x1b[1ma:1:1\x1b[0m  \x1b[31m[LR104]\x1b[0m\n"
        "    m\n"
        "\x1b[34m    1 |\x1b[0m x\n"
        "\x1b[34m      |\x1b[0m \x1b[31m^\x1b[0m"
    )
    warning = Diagnostic(code="LR904", message="m", severity="warning")
    assert "\x1b[33mwarning [LR904]\x1b[0m" in diagnostic_text(warning, colour=True)


def test_a_summary_counts() -> None:
    error = Diagnostic(code="LR104", message="m")
    warning = Diagnostic(code="LR904", message="m", severity="warning")
    assert summary_text([]) == "no problems"
    assert summary_text([error]) == "1 error"
    assert summary_text([warning, error, error]) == "2 errors, 1 warning"
    assert summary_text([warning, warning]) == "2 warnings"


def test_an_error_of_a_config_is_all_its_diagnostics() -> None:
    error = ConfigError(
        [Diagnostic(code="LR104", message="one"), Diagnostic(code="LR1", message="2")]
    )
    assert error_text(error) == "[LR104]\n    one\n[LR1]\n    2\n2 errors"
    assert error_text(UnknownLossError("x")).startswith("error: unknown loss 'x'")


def test_a_table_wraps_its_last_column() -> None:
    rows = [("a", "b" * 30 + " " + "c" * 30), ("longer", "")]
    assert table(rows, width=40) == f"a       {'b' * 30}\n        {'c' * 30}\nlonger"


def test_a_tables_cell_is_one_line() -> None:
    mark = "\N{REPLACEMENT CHARACTER}"
    rows = [("a\nb", "c\x1b\nd"), ("longer", "")]
    assert table(rows, width=40) == f"a{mark}b     c{mark} d\nlonger"
