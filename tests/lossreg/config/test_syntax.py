"""What is no YAML, told in the same words whichever of PyYAML's parsers refuses it."""

from __future__ import annotations

import pytest

from yaml_faults import assert_refused

REFUSED = {
    "a bracket that is not closed": (
        "a: [1, 2\nb: 3\n",
        [("LR003", 2, 2, "an unexpected ':'; the [ of line 1, column 4 is still open")],
    ),
    "a brace that is not closed": (
        "a: {b: 1\n",
        [("LR003", 2, 1, "ends before the { of line 1, column 4")],
    ),
    "a quote that is not closed": (
        "a: 'x\nb: 1\n",
        [("LR003", 3, 1, "ends before the ' of line 1, column 4")],
    ),
    "a bracket too many": ("a: [1]]\n", [("LR003", 1, 7, "an unexpected ']'; check the brackets")]),
    "two values": ("a: b: c\n", [("LR003", 1, 5, "a ': ' inside a value; put the value in")]),
    "an at sign": ("a: @b\n", [("LR003", 1, 4, "a value cannot begin with '@'")]),
    "a backtick": ("a: `b`\n", [("LR003", 1, 4, "a value cannot begin with '`'")]),
    "a percent sign": ("a: %b\n", [("LR003", 1, 4, "a value cannot begin with '%'")]),
    "an indentation that does not fit": (
        "a:\n    b: 1\n  c: 2\n",
        [("LR003", 3, 3, "this is not valid YAML: check the indentation")],
    ),
    "an escape of a surrogate": (
        'a: "x\\uD800"\n',
        [("LR003", 1, 6, "the escape stands for no character")],
    ),
    "an escape of two surrogates": ('a: "\\ud83d\\ude00"\n', [("LR003", 1, 5, "no character")]),
    "an escape beyond Unicode": ('a: "\\U00110000"\n', [("LR003", 1, 5, "no character")]),
    "an escape far beyond Unicode": ('a: "\\UFFFFFFFF"\n', [("LR003", 1, 5, "no character")]),
    "an unknown escape": ('a: "\\q"\n', [("LR003", 1, 5, "this is not valid YAML")]),
    "an unknown escape after a backslash": ('a: "\\\\\\q"\n', [("LR003", 1, 7, "not valid YAML")]),
    "an escape that is too short": ('a: "\\x4"\n', [("LR003", 1, 7, "this is not valid YAML")]),
}


@pytest.mark.parametrize(("text", "expected"), REFUSED.values(), ids=REFUSED)
def test_says_what_is_wrong_and_where(text: str, expected: list[tuple[str, int, int, str]]) -> None:
    assert_refused(text, expected)
