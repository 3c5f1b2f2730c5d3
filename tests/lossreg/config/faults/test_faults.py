from __future__ import annotations

import enum
import math

import pytest

from lossreg.config import examine
from lossreg.config.faults.faults import Faults, clipped, describe, path_text
from lossreg.config.read.nodes import MOST_FAULTS, Document, Node, SourceError
from lossreg.errors import ConfigError


@pytest.mark.parametrize(
    ("path", "step", "expected"),
    [
        ("", "loss", "loss"),
        ("loss", "terms", "loss.terms"),
        ("aux", 2, "aux[2]"),
        ("", 0, "[0]"),
        ("a", "größe", "a.größe"),
        ("a", "x\ny", "a.x\N{REPLACEMENT CHARACTER}y"),
        ("a", "x" * 61, "a." + "x" * 59 + "…"),
    ],
)
def test_a_path_is_one_step_longer(path: str, step: str | int, expected: str) -> None:
    assert path_text((path, step)) == expected


def test_a_text_is_cut_and_made_printable() -> None:
    assert clipped("x" * 60) == "x" * 60
    assert clipped("x" * 61) == "x" * 59 + "…"
    assert clipped("a\x1b[31m\u202eb") == "a\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}b"


class _Colour(enum.IntEnum):
    RED = 1


class _Loud(float):
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "nothing"),
        (True, "true"),
        (False, "false"),
        ({}, "a mapping"),
        ([], "a list"),
        ((1, 2), "a list"),
        ("", "an empty string"),
        ("mean", "the string 'mean'"),
        ("x" * 10**6, "the string '" + "x" * 59 + "…'"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (3, "3"),
        (1e-3, "0.001"),
        (10**60, "an integer of more than 60 digits"),
        (-(10**5000), "an integer of more than 60 digits"),
        (_Colour.RED, "1"),
        (_Loud(2.0), "2.0"),
        (object(), "a object"),
        (type("x" * 1000, (), {})(), "a " + "x" * 59 + "…"),
    ],
    ids=lambda value: str(type(value)),
)
def test_a_value_in_a_few_words(value: object, words: str) -> None:
    assert describe(value) == words


def test_faults_are_sorted_by_place_and_overrides_come_last() -> None:
    faults, document = Faults(), Document("a.yaml", "one\ntwo\n")
    faults.add("LR101", "d", "override", Node(1, Document("--set", "d=1"), 2, 3))
    faults.add("LR101", "c", "third", Node(1, document, 5, 6))
    faults.add("LR101", "b", "second", Node(1, document, 4, 5))
    faults.add("LR101", "a", "first", Node(1, document, 0, 3))
    faults.add("LR101", "", "nowhere")
    found = faults.sorted()
    assert [each.message for each in found] == ["nowhere", "first", "second", "third", "override"]
    assert [(each.line, each.column, each.end_column) for each in found[1:]] == [
        (1, 1, 4),
        (2, 1, 2),
        (2, 2, 3),
        (1, 3, 4),
    ]
    assert [each.source_line for each in found] == [None, "one", "two", "two", "d=1"]


def test_a_fault_in_an_anchored_value_is_told_once_and_names_its_users() -> None:
    document = Document("a.yaml", "x: &x 1\n")
    node = Node(1, document, 6, 7)
    for users, expected in [
        ("a", "wrong"),
        ("ab", "wrong (used by b as well)"),
        ("abcd", "wrong (used by b, c, d as well)"),
        ("abcdefg", "wrong (used by b, c, d, … as well)"),
        ("aabb", "wrong (used by b as well)"),
    ]:
        faults = Faults()
        for user in users:
            faults.add("LR201", user, "wrong", node)
        (found,) = faults.sorted()
        assert (found.path, found.message) == ("a", expected)


def test_two_faults_at_one_place_are_two() -> None:
    faults = Faults()
    node = Node(1, Document("a.yaml", "x: 1\n"), 3, 4)
    faults.add("LR201", "x", "wrong", node)
    faults.add("LR202", "x", "wrong", node)
    faults.add("LR201", "x", "wrong as well", node)
    assert len(faults.sorted()) == 3


def test_warnings_alone_raise_nothing() -> None:
    faults = Faults()
    faults.add("LR901", "", "odd", severity="warning")
    assert not faults.has_errors
    faults.raise_errors()
    faults.add("LR101", "", "wrong")
    assert faults.has_errors
    with pytest.raises(ConfigError) as raised:
        faults.raise_errors()
    assert [each.severity for each in raised.value.diagnostics] == ["warning", "error"]


def test_there_is_an_end_to_faults() -> None:
    faults = Faults()
    for index in range(MOST_FAULTS):
        faults.add("LR101", "", f"fault {index}")
    faults.add("LR101", "", "fault 0")  # told already
    with pytest.raises(SourceError, match="more than 1,000 faults"):
        faults.add("LR101", "", "one more")
    assert len(faults.sorted()) == MOST_FAULTS


def test_a_document_full_of_faults_ends_with_a_word_on_the_rest() -> None:
    text = "terms:\n" + "".join(f"  t{index}: {{type: l3}}\n" for index in range(1_500))
    found = examine(text.encode()).diagnostics
    assert len(found) == MOST_FAULTS + 1
    assert (found[-1].code, found[-1].line) == ("LR004", MOST_FAULTS + 2)
    assert found[-1].message == "there are more than 1,000 faults; the rest is not read"


def test_a_faults_line_is_cut_or_left_out_where_it_is_very_long() -> None:
    text = "terms: {fit: {type: l3}, rest: {type: mse, params: {" + " " * 10_000 + "x: 1}}}\n"
    near, far = examine(text.encode()).diagnostics
    assert near.source_line == text[:4_000]
    assert (far.column, far.source_line) == (text.index("x:") + 1, None)
