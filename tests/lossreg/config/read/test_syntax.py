"""What is no YAML, told in the same words whichever of PyYAML's parsers refuses it."""

from __future__ import annotations

import pytest

from yaml_faults import assert_refused, read_alike

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
    "a tab after a key's colon": (
        "terms:\n  a:\t\n    type: mse\n",
        [("LR003", 2, 5, "a tab stands where only spaces may; write spaces instead")],
    ),
    "a tab before a value": ("a:\n  type: \tmse\n", [("LR003", 2, 9, "a tab stands where only")]),
    "a tab for the space after a colon": ("a:\tmse\n", [("LR003", 1, 3, "a tab stands where")]),
    "a tab in a list": ("a: [p, \tq]\n", [("LR003", 1, 8, "a tab stands where only spaces")]),
    "a tab in braces": ("a: {\ttype: mse}\n", [("LR003", 1, 5, "a tab stands where only")]),
    "a tab before a bracket": ("a: [1\t]\n", [("LR003", 1, 6, "a tab stands where only")]),
    "a tab before a comment": ("a: 1\t# one\n", [("LR003", 1, 5, "a tab stands where only")]),
    "a tab at the end": ("a: [1]\t\n", [("LR003", 1, 7, "a tab stands where only spaces may")]),
    "a tab inside a value": ("a: b\tc\n", [("LR003", 1, 5, "a tab stands where only spaces")]),
    "a tab after a block's sign": ("a: |\t\n  b\n", [("LR003", 1, 5, "a tab stands where")]),
    "a tab after the document's mark": ("---\ta\n", [("LR003", 1, 4, "a tab stands where")]),
    "a tab on a line of its own": ("a: |\n  b\n\t\n", [("LR010", 3, 1, "use spaces")]),
    "a question mark in a list": (
        "a: [p?q, r]\n",
        [("LR003", 1, 6, "a '?' inside brackets or braces; put the value in quotes")],
    ),
    "a question mark in a key in braces": ("{ty?pe: mse}\n", [("LR003", 1, 4, "a '?' inside")]),
    "a comment in a directive": ("%YAML 1.2#\n---\na: 1\n", [("LR003", 1, 10, "not valid YAML")]),
    "a comment after a block's sign": ("a: |#\n  b\n", [("LR003", 1, 5, "not valid YAML")]),
    "a bracket after a colon": (
        "a: {type:[ ctc\n",
        [("LR003", 2, 1, "ends before the [ of line 1, column 10 is closed")],
    ),
    "a bracket too many after a colon": (
        "a: {type:] mse\n",
        [("LR003", 1, 10, "an unexpected ']'; the { of line 1, column 4 is still open")],
    ),
    "a tag that runs into a comma": (
        "a: {b: !,c}\n",
        [("LR003", 1, 11, "an unexpected '}'; the { of line 1, column 4 is still open")],
    ),
    "a merge of nothing before a comment": ("a: {<<: # one\n}\n", [("LR009", 1, 8, "'<<' takes")]),
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


@pytest.mark.parametrize(
    "text",
    [
        "# a\ttab\na: 1 # two\ttabs\t\n",
        'a: "b\tc"\nd: \'e\t\'\nf: "g\n\th"\n',
        "a: |\n  b\tc\n  \td\t\ne: >-\n  f\n  \tg\n",
        "a: p?q\nb: '?'\n# why?\nc: [\"d?\"]\n",
        "%YAML 1.2 # one\n---\na: 50%\n",
        "a: | # one\n  b\nc: >-\n  d#e\n",
        "a: !!str 1\nb: ! 2\nc: 3!\n# d!\n",
        "a: {k: # one\n}\nb: {k: , l: # two\n , m: {n:\n\n}}\nc: [k: , l:\n]\n",
        "? a\n: b\n? c\nd: {? e : f, ? g}\n",
    ],
)
def test_reads_alike(text: str) -> None:
    assert read_alike(text)
