"""YAML text with places. All of it runs under both of PyYAML's parsers."""

from __future__ import annotations

import pytest

from lossreg.config.read.documents import read_bytes
from lossreg.config.read.nodes import Node
from yaml_faults import assert_refused, faults, values

pytestmark = pytest.mark.usefixtures("parser")


def spans(node: Node, path: str = "") -> dict[str, str]:
    """The text of every value and, under `path:`, of every key."""
    assert node.document is not None
    text = node.document.text
    found = {path: text[node.start : node.end]}
    if isinstance(node.value, dict):
        for name, each in node.value.items():
            _, start, end = node.keys[name]
            found[f"{path}/{name}:"] = text[start:end]
            found |= spans(each, f"{path}/{name}")
    if isinstance(node.value, list):
        for index, each in enumerate(node.value):
            found |= spans(each, f"{path}/{index}")
    return found


REFUSED = {
    "a key that stands twice": (
        "a: 1\nb: 2\na: 3\n",
        [("LR008", 3, 1, "duplicate key 'a' (first on line 1)")],
    ),
    "a quoted key that stands twice": (
        "x: {\"a\": 1, 'a': 2, a: 3}\n",
        [("LR008", 1, 13, "duplicate key"), ("LR008", 1, 21, "duplicate key")],
    ),
    "a key that an alias repeats": (
        "&k a: 1\n*k : 2\n",
        [("LR008", 2, 1, "duplicate key 'a' (first on line 1)")],
    ),
    "a merge that stands twice": (
        "x: &x {k: 1}\ny: &y {k: 2}\na:\n  <<: *x\n  b: {<<: *y}\n  <<: *y\n",
        [("LR008", 6, 3, "duplicate key '<<' (first on line 4); write <<: [*a, *b]")],
    ),
    "a merge that stands three times": (
        "x: &x {}\na: {<<: *x, <<: *x, <<: [*x]}\n",
        [("LR008", 2, 13, "write <<: [*a, *b]"), ("LR008", 2, 21, "write <<: [*a, *b]")],
    ),
    "merges of nothing that stand twice": (
        "a: {<<: [], ? <<\n : {k: 1}}\n",
        [("LR008", 1, 15, "(first on line 1); write <<: [*a, *b]")],
    ),
    "a merge that stands twice in what is merged": (
        "x: &x {}\na: {<<: {<<: *x, <<: *x}}\n",
        [("LR008", 2, 18, "write <<: [*a, *b]")],
    ),
    "a quoted key that looks like a merge twice": (
        "x: &x {}\na: {'<<': 1, <<: *x, \"<<\": 2}\n",
        [("LR008", 2, 22, "duplicate key '<<' (first on line 2)")],
    ),
    "two documents": (
        "a: 1\n---\nb: 2\n",
        [("LR005", 2, 1, "expected one document, found another one")],
    ),
    "two empty documents": ("---\n---\n", [("LR005", 2, 1, "another one")]),
    "a document after its end": ("a: 1\n...\n---\nb: 2\n", [("LR005", 3, 1, "another one")]),
    "a tag of Python's": (
        "a: !!python/object:os.system x\n",
        [("LR006", 1, 4, "the tag !!python/object:os.system is not allowed")],
    ),
    "a tag on a mapping": ("a: !include {b: 1}\n", [("LR006", 1, 4, "the tag !include is not")]),
    "a tag on a list": ("a:\n  - !x [1]\n", [("LR006", 2, 5, "the tag !x is not")]),
    "a tag of another kind": ("a: !!map [1]\n", [("LR006", 1, 4, "the tag !!map is not")]),
    "a set": ("a: !!set {b}\n", [("LR006", 1, 4, "the tag !!set is not")]),
    "binary": ("a: !!binary aGk=\n", [("LR006", 1, 4, "the tag !!binary is not")]),
    "a timestamp": ("a: !!timestamp 2024-01-31\n", [("LR006", 1, 4, "!!timestamp is not")]),
    "a tag that does not fit": (
        "a: !!int mean\n",
        [("LR006", 1, 4, "the tag does not fit the value; remove it")],
    ),
    "a very long tag": ("a: !" + "x" * 999 + " 1\n", [("LR006", 1, 4, "x" * 58 + "… is not")]),
    "a number as a key": (
        "a:\n  1: x\n",
        [("LR007", 2, 3, "a key must be a string; write '1' in quotes")],
    ),
    "a bool as a key": ("true: x\n", [("LR007", 1, 1, "write 'true' in quotes")]),
    "nothing as a key": ("{~: x}\n", [("LR007", 1, 2, "write '~' in quotes")]),
    "an empty key": ("?\n: x\n", [("LR007", 1, 2, "a key must be a string")]),
    "a list as a key": (
        "a: {[1]: x}\n",
        [("LR007", 1, 5, "a key must be a string, not a list or a mapping")],
    ),
    "a mapping as a key": ("? {a: 1}\n: x\n", [("LR007", 1, 3, "not a list or a mapping")]),
    "an alias of a list as a key": (
        "a: &l [1]\n*l : x\n",
        [("LR007", 2, 1, "a key must be a string")],
    ),
    "an alias of a number as a key": (
        "a: &n 1\n*n : x\n",
        [("LR007", 2, 1, "a key must be a string")],
    ),
    "an alias without an anchor": (
        "a: *base\nbase: &base 1\n",
        [("LR009", 1, 4, "there is no anchor '&base' above this alias")],
    ),
    "a list that holds itself": (
        "a: &a [1, *a]\n",
        [("LR009", 1, 11, "the alias '*a' stands inside its own anchor")],
    ),
    "a mapping that holds itself": (
        "a: &a\n  b:\n    c: *a\n",
        [("LR009", 3, 8, "the alias '*a' stands inside its own anchor")],
    ),
    "a mapping that merges itself": ("a: &a {<<: *a}\n", [("LR009", 1, 12, "its own anchor")]),
    "a merge of a number": (
        "a: {<<: 1}\n",
        [("LR009", 1, 9, "'<<' takes a mapping, or a list of mappings")],
    ),
    "a merge of a list with a number": (
        "x: &x {}\na:\n  <<: [*x, 2, *x, 3]\n",
        [("LR009", 3, 12, "'<<' takes"), ("LR009", 3, 19, "'<<' takes")],
    ),
    "a merge of nothing": ("a:\n  <<:\n", [("LR009", 2, 6, "'<<' takes a mapping")]),
    "a tab before a key": (
        "a:\n\tb: 1\n",
        [("LR010", 2, 1, "a tab is used as indentation; use spaces")],
    ),
    "a tab after blanks": ("a:\n  b: 1\n \tc: 1\n", [("LR010", 3, 2, "use spaces")]),
    "a tab before a list": ("a:\n\t- 1\n", [("LR010", 2, 1, "use spaces")]),
    "a tab after a CR": ("a:\r\tb: 1\r", [("LR010", 2, 1, "use spaces")]),
    "a tab before a key in braces": ("a: {\n\tb: 1}\n", [("LR010", 2, 1, "use spaces")]),
    "a control character": (
        "a: b\x07\n",
        [("LR002", 1, 5, "the character U+0007 is not allowed in YAML; remove it")],
    ),
    "a control character in quotes": ('a: "\x1b[0m"\n', [("LR002", 1, 5, "U+001B")]),
    "a control character in a comment": ("# \x7f\na: 1\n", [("LR002", 1, 3, "U+007F")]),
    "a C1 control character": ("a: \x9b\n", [("LR002", 1, 4, "U+009B")]),
    "a NUL": ("a: 1\n\x00", [("LR002", 2, 1, "the character U+0000 is not allowed")]),
    "a non-character": ("a: \uffff\n", [("LR002", 1, 4, "U+FFFF")]),
    "a byte order mark inside": ("a: \ufeffb\n", [("LR002", 1, 4, "U+FEFF")]),
    "two byte order marks": ("\ufeff\ufeffa: 1\n", [("LR002", 1, 1, "U+FEFF")]),
    "NEL": (
        "a: 1\nb: x\x85y\n",
        [("LR002", 2, 5, "the line separator U+0085 stands outside quotes; remove it")],
    ),
    "U+2028": ("a: x\u2028y\n", [("LR002", 1, 5, "U+2028 stands outside quotes")]),
    "U+2029 in a comment": ("a: 1 # x\u2029y\n", [("LR002", 1, 9, "U+2029 stands outside")]),
    "NEL in a block": ("a: |\n  x\x85  y\n", [("LR002", 2, 4, "U+0085 stands outside quotes")]),
    "NEL as a line's end": ("a: 1\x85b: 2\n", [("LR002", 1, 5, "U+0085 stands outside")]),
    "NEL between quotes that are closed": (
        '["\u2028", \u2028 "\u2028"]',
        [("LR002", 1, 7, "U+2028 stands outside quotes")],
    ),
    "NEL before what is not YAML": ("a: x\u2028y\nb: [\n", [("LR002", 1, 5, "U+2028")]),
    "nothing": ("", [("LR011", 1, 1, "the document is empty")]),
    "blanks": ("  \n\n", [("LR011", 1, 1, "the document is empty")]),
    "comments": ("# one\n# two\n", [("LR011", 1, 1, "the document is empty")]),
    "a byte order mark alone": ("\ufeff", [("LR011", 1, 1, "the document is empty")]),
    "a document's beginning alone": ("---\n", [("LR011", 1, 1, "the document is empty")]),
    "65 levels": (
        "[" * 65 + "]" * 65,
        [("LR004", 1, 65, "the document is nested deeper than 64 levels")],
    ),
    "what came before is told as well": (
        "a: 1\na: !x 2\n1: 3\nb: [\n",
        [
            ("LR008", 2, 1, "duplicate key"),
            ("LR006", 2, 4, "the tag !x"),
            ("LR007", 3, 1, "write '1' in quotes"),
            ("LR003", 5, 1, "ends before the [ of line 4, column 4 is closed"),
        ],
    ),
}


@pytest.mark.parametrize(("text", "expected"), REFUSED.values(), ids=REFUSED)
def test_refuses_at_its_place(text: str, expected: list[tuple[str, int, int, str]]) -> None:
    assert_refused(text, expected)


@pytest.mark.parametrize(
    ("data", "column", "byte"),
    [
        (b"a: caf\xe9\n", 7, "0xe9"),
        (b"a: \xc3", 4, "0xc3"),
        (b"a: \xc0\x80", 4, "0xc0"),
        (b"a: \xed\xa0\x80", 4, "0xed"),  # a surrogate
        (b"a: \xf4\x90\x80\x80", 4, "0xf4"),  # beyond Unicode
        ("é: ".encode() + b"\xff", 4, "0xff"),
        (b"\xef\xbb\xbfa: \xff", 4, "0xff"),
        ("a: 1\n".encode("utf-16"), 1, "0xff"),
        ("a: 1\n".encode("utf-32"), 1, "0xff"),
    ],
)
def test_what_is_not_utf_8_is_told_with_its_byte(data: bytes, column: int, byte: str) -> None:
    message = f"the document is not UTF-8: byte {byte}; save it as UTF-8"
    assert faults(data) == [("LR002", 1, column, message)]


def test_utf_16_without_its_mark_is_a_nul() -> None:
    assert faults("a: 1\n".encode("utf-16-le"))[0][:3] == ("LR002", 1, 2)


def test_a_byte_order_mark_is_skipped_and_counts_no_column() -> None:
    text = "\ufeffa: 1\na: 2\n"
    assert values("\ufeffa: 1\n") == {"a": 1}
    assert faults(text)[0][:3] == ("LR008", 2, 1)
    assert faults("\ufeff!x a: 2\n")[0][:3] == ("LR006", 1, 1)


def test_a_scalar_in_quotes_holds_any_line_separator_and_lines_after_it_are_right() -> None:
    text = "a: \"x\x85y\u2028z\u2029\"\nb: '\x85'\nc: 1\nc: 2\n"
    document, root = read_bytes(text.encode(), "a.yaml")
    assert [document.place(each.start, each.end)[:2] for each in document.faults] == [(4, 1)]
    assert document.line(4) == "c: 2"
    assert spans(root)["/b"] == "'\x85'"
    document, root = read_bytes('["\u2028", !x 1]'.encode(), "a.yaml")
    assert document.place(document.faults[0].start, 0)[:2] == (1, 7)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: 1\r\nb: 2\r\na: 3\r\n", 3, 1),
        ("a: 1\rb: 2\ra: 3\r", 3, 1),
        ("a: 1\n\r\r\n\na: 3", 5, 1),
        ("# é\na: {a: é, b: ü, a: 3}\n", 2, 17),
        ("a: {a: \U0001f600, b: '\U0001f600\U0001f600', a: 3}\n", 1, 20),
        ("\U0001f600: 1\n\U0001f600: 2\n", 2, 1),
        ("a: {a: e\u0301, a: 3}\n", 1, 12),
        ("a: {a: 漢字, a: 3}\n", 1, 12),
        ('a: {a: "\t", a: 3}\n', 1, 13),
        ("a: |\n  x\n  y\n\na: 1\n", 5, 1),
        ("a: >-\n  x\n\n  y\n\n\na: 1\n", 7, 1),
        ("a: one\n  two\n  three\na: 1\n", 4, 1),
        ('a: "one\n\n  two\\\n  three"\na: 1\n', 5, 1),
    ],
)
def test_lines_and_columns_are_counted_as_an_editor_does(text: str, line: int, column: int) -> None:
    assert [each[:3] for each in faults(text)] == [("LR008", line, column)]


def test_every_value_and_key_knows_its_text() -> None:
    text = (
        "loss:\n"
        "  terms:   # what is summed\n"
        "    seg: &seg {type: mse, weight: 1e-3}\n"
        "    'ré\U0001f600':\n"
        "      <<: *seg\n"
        '      inputs: [a.b, "c"]\n'
        "  # the end\n"
        "empty:\n"
        "text: |\n"
        "  two\n"
        "  lines\n"
    )
    _, root = read_bytes(text.encode(), "a.yaml")
    found = spans(root)
    terms = "/loss/terms/"
    assert found[terms[:-1] + ":"] == "terms"
    assert found[terms + "seg:"] == "seg"
    assert found[terms + "seg/weight"] == "1e-3"
    assert found[terms + "seg"].endswith("{type: mse, weight: 1e-3}")
    assert found[terms + "ré\U0001f600:"] == "'ré\U0001f600'"
    assert found[terms + "ré\U0001f600/inputs"] == '[a.b, "c"]'
    assert found[terms + "ré\U0001f600/inputs/1"] == '"c"'
    assert found[terms + "ré\U0001f600/type:"] == "type"
    assert found["/loss/terms"].endswith('inputs: [a.b, "c"]\n  # the end')
    assert found["/empty"] == ""
    assert found["/text"].startswith("|\n  two")


def test_an_empty_values_place_is_right_after_its_key() -> None:
    for text in ("x: {a: , b: 1}", "x:\n  a:   # nothing\n  b: 1\n", "x: {a:\n\n  , b: 1}"):
        _, root = read_bytes(text.encode(), "a.yaml")
        node = root.value["x"].value["a"]
        assert node.value is None
        assert text[: node.start].endswith("a:")
        assert node.start == node.end


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\nb: ~\nc: null\n", {"a": None, "b": None, "c": None}),
        ("a: [1, , ]\n", None),
        ("a: [1, 2, ]\n", {"a": [1, 2]}),
        ("- \n- x\n", [None, "x"]),
        ("a: one\n  two\n\n  three\n", {"a": "one two\nthree"}),
        ("a: |\n  one\n   two\n\n", {"a": "one\n two\n"}),
        ("a: |-\n  1\n", {"a": "1"}),
        ("a: >\n  one\n  two\n", {"a": "one two\n"}),
        ("a: >+\n  one\n\n", {"a": "one\n\n"}),
        ("a: |2\n    one\n", {"a": "  one\n"}),
        ("a: '1'\nb: \"true\"\nc: 'it''s'\n", {"a": "1", "b": "true", "c": "it's"}),
        ('a: "\\x41\\u00e9\\U0001F600\\n"\n', {"a": "Aé\U0001f600\n"}),
        ("a: !!str 1\nb: ! 2\nc: !!int 3\n", {"a": "1", "b": "2", "c": 3}),
        ("a: !!float 1e-3\nb: !!map {}\nc: !!seq []\n", {"a": 0.001, "b": {}, "c": []}),
        ("a: yes\nb: 012\nc: 1_000\nd: 2024-01-31\n", None),
        ("# \t\na: '\t'\n", {"a": "\t"}),
        ("%YAML 1.1\n---\na: 1\n...\n", {"a": 1}),
        ("a: &x {b: 1}\nc: *x\n", {"a": {"b": 1}, "c": {"b": 1}}),
        ("&k a: *k\n", None),
        ("a: &x 1\nb: &x 2\nc: *x\n", {"a": 1, "b": 2, "c": 2}),
        ("x: &n name\n*n : 1\n", {"x": "name", "name": 1}),
    ],
)
def test_reads(text: str, expected: object) -> None:
    if expected is not None:
        assert values(text) == expected
    elif "yes" in text:
        assert values(text) == {"a": "yes", "b": "012", "c": "1_000", "d": "2024-01-31"}
    elif "&k" in text:
        assert values(text) == {"a": "a"}
    else:
        assert [each.code for each in faults(text)] == ["LR003"]


@pytest.mark.parametrize(
    ("merged", "expected"),
    [
        ("{<<: *one}", {"a": 1, "b": 1}),
        ("{<<: *one, a: 9}", {"a": 9, "b": 1}),
        ("{a: 9, <<: *one}", {"a": 9, "b": 1}),
        ("{<<: [*one, *two]}", {"a": 1, "b": 1, "c": 2}),
        ("{<<: [*two, *one]}", {"a": 1, "b": 2, "c": 2}),
        ("{<<: [*two, *one], b: 9}", {"a": 1, "b": 9, "c": 2}),
        ("{<<: {a: 3}}", {"a": 3}),
        ("{<<: []}", {}),
        ("{<<: *three}", {"a": 1, "b": 4, "d": 4}),
        ("{'<<': 1}", {"<<": 1}),
    ],
)
def test_merge_keys(merged: str, expected: dict[str, int]) -> None:
    text = (
        "one: &one {a: 1, b: 1}\ntwo: &two {b: 2, c: 2}\n"
        "three: &three {<<: *one, b: 4, d: 4}\n"
        f"all: {merged}\n"
    )
    assert values(text)["all"] == expected


def test_a_merge_may_stand_once_in_each_mapping() -> None:
    text = "x: &x {a: 1}\ny: &y {b: 2}\nall: [{<<: *x}, {<<: *y, c: {<<: *x}}]\n<<: *y\n"
    assert values(text)["all"] == [{"a": 1}, {"b": 2, "c": {"a": 1}}]
    assert values(text)["b"] == 2


def test_merged_keys_are_not_copied_back() -> None:
    text = "one: &one {a: 1}\ntwo: &two {<<: *one, b: 2}\nthree: {<<: *two, a: 3}\n"
    assert values(text) == {"one": {"a": 1}, "two": {"a": 1, "b": 2}, "three": {"a": 3, "b": 2}}


def test_a_merged_values_place_is_where_it_is_written() -> None:
    document, root = read_bytes(b"one: &one {a: 1}\ntwo:\n  <<: *one\n", "a.yaml")
    two = root.value["two"]
    assert document.place(two.value["a"].start, 0)[:2] == (1, 15)
    assert two.keys["a"][0] is document
    assert document.place(*two.keys["a"][1:])[:2] == (1, 12)


def test_a_key_that_is_an_alias_stands_where_it_is_used() -> None:
    document, root = read_bytes(b"x: &n name\n*n : 1\n", "a.yaml")
    assert document.place(*root.keys["name"][1:]) == (2, 1, 3)
