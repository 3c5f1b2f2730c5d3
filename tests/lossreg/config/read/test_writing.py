"""A document that is written reads as the same values, with each parser and by YAML 1.1."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lossreg.config.read.documents
from environments import ROOT
from lossreg.config import examine
from lossreg.config.read.documents import MAX_BYTES, read_bytes
from lossreg.config.read.nodes import Node
from lossreg.config.read.python import from_python
from lossreg.config.read.writing import TooLargeError, same_values, yaml_text

DOCUMENTS = [
    *sorted((Path(__file__).parents[1] / "corpus" / "good").glob("*.yaml")),
    *sorted((ROOT / "configs").glob("*.yaml")),
]
LOADERS = ["SafeLoader", *(["CSafeLoader"] if hasattr(yaml, "CSafeLoader") else [])]

STRINGS = [
    *("", " ", "a", "mean", "a b", "a: b", "a #b", "#a", "- a", "?", "? a", ":", "a:", "["),
    *("{}", "*a", "&a", "!a", "!!str a", "|", ">", "%a", "@a", "`a", "'", '"', "\\", "\\n"),
    *("'a'", '"a"', "---", "null", "Null", "~", "true", "TRUE", "yes", "No", "on", "OFF", "y"),
    *("n", "Y", "N", "nan", ".nan", "inf", ".inf", "-.inf", "1", "-1", "+1", "1.0", ".5", "5."),
    *("1e3", "1e-3", "1.0e-3", "1E5", "e5", "0x1F", "-0x1F", "0o17", "017", "0b11", "1_000"),
    *("1:30", "190:20:30", "2001-01-01", "=", "<<", "a\nb", "\n", "a\n", "\na", "a\r\nb", "\r"),
    *("\t", "a\tb", " a", "a ", "  a: b", "a\n\n b", "größe", "損失", "🔥", "e\u0301", "\u200d"),
    *("\u202eabc", "\u2066", "\u2028", "\u2029", "\x85", "\x00", "\x07", "\x1b[31m", "\x7f"),
    *("\x9f", "\xa0", "\ufeff", "\ufffe", "\uffff", "\U0010ffff", "decoder.pixels"),
    *("hidden[-1]", "a/b", "a-b", "_", "-", "--", "...", "a,b", "${x}", "%d", "x" * 2_000),
]  # fmt: skip
NUMBERS = [
    *(0, 1, -1, 10**18, 2**63, -(2**64), 10**899, 10**900, 16**997, 0.0, -0.0, 1.0, 0.1, 1e-3),
    *(1e-5, 1e-300, 5e-324, 1e15, 1e16, 1e17, 1e22, 1e300, 1.7976931348623157e308, 1 / 3),
    *(2**53 + 0.0, math.inf, -math.inf, math.nan, True, False, None),
]  # fmt: skip

scalars = st.one_of(
    st.sampled_from(STRINGS + NUMBERS),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.floats(),
    st.integers(),
)
keys = st.one_of(st.sampled_from(STRINGS), st.text(st.characters(exclude_categories=["Cs"])))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(keys, inner)),
    max_leaves=20,
)


@pytest.fixture(params=LOADERS)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(lossreg.config.read.documents, "_LOADER", getattr(yaml, request.param))
    return str(request.param)


def assert_survives(value: dict[str, Any]) -> str:
    """A document of this value reads as it again; returns its text."""
    root = from_python(value)
    text = yaml_text(root)
    assert all(char.isprintable() or char == "\n" for char in text)
    document, again = read_bytes(text.encode(), "a.yaml")
    assert document.faults == []
    assert same_values(again, root)
    return text


@pytest.mark.parametrize("value", STRINGS + NUMBERS, ids=lambda value: repr(value)[:30])
@pytest.mark.usefixtures("loader")
def test_a_value_survives_wherever_it_stands(value: Any) -> None:
    key = value if isinstance(value, str) else "key"
    assert_survives({key: value, "list": [value, [value], {key: [value]}, [], {}, [[]], [{}]]})


@pytest.mark.usefixtures("loader")
def test_a_parser_of_yaml_1_1_reads_the_same() -> None:
    plain = [value for value in NUMBERS if not (isinstance(value, int) and value >= 10**900)]
    found = yaml.safe_load(assert_survives({"a": STRINGS + plain}))
    assert repr(found) == repr({"a": STRINGS + plain})


@settings(
    derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.dictionaries(keys, values))
def test_any_document_survives(value: dict[str, Any]) -> None:
    for parser in LOADERS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lossreg.config.read.documents, "_LOADER", getattr(yaml, parser))
            assert_survives(value)


def test_what_people_write_is_written_as_people_do() -> None:
    text = """\
task: digits
seed: 3
loss:
  terms:
    classify:
      type: cross_entropy
      inputs: [logits, labels]
      params:
        weight: [0.5, 1, 1.0e-05]
    rebuild:
      type: smooth_l1
      weight: null
      inputs:
        input:
          from: "hidden[-1]"
          apply:
            - div: 4.0
            - softmax
            - transpose: [1, 2]
              more:
                - [1]
                -
                  - {}
                  - x: "no"
"""
    _, root = read_bytes(text.encode(), "a.yaml")
    assert yaml_text(root) == text


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_a_config_means_the_same_once_it_is_written(file: Path) -> None:
    several = "\nobjectives:\n" in file.read_text(encoding="utf-8")
    found = examine(file, several=several)
    assert found.document is not None
    again = examine(yaml_text(found.document).encode(), several=several)
    # nan is no equal of itself, but its text is.
    assert repr(again.loss) == repr(found.loss)
    assert repr(again.by_name) == repr(found.by_name)
    assert repr(again.experiment) == repr(found.experiment)


def test_overrides_are_part_of_what_is_written() -> None:
    document = b"terms: {a: {<<: &base {type: l1, weight: 1}, inputs: [p, q]}, b: *base}"
    overrides = ["terms.a.weight=1e-3", "terms.b.inputs=[u, v]", "terms.c={type: mse, weight: 2}"]
    found = examine(document, overrides=overrides)
    assert found.document is not None
    assert yaml.safe_load(yaml_text(found.document)) == {
        "terms": {
            "a": {"inputs": ["p", "q"], "type": "l1", "weight": 0.001},
            "b": {"type": "l1", "weight": 1, "inputs": ["u", "v"]},
            "c": {"type": "mse", "weight": 2},
        }
    }


def test_a_source_with_a_fault_has_nothing_to_write() -> None:
    assert examine(b"terms: {a: {type: mze}}").document is None
    assert examine(b"terms: [").document is None


@pytest.mark.usefixtures("loader")
def test_what_is_too_large_in_full_keeps_its_anchors() -> None:
    long = "x" * 100_000
    weights = ", ".join(["0.5"] * 1_000)
    text = (
        f"notes: [&text {long}, *text, {{deep: [*text, *text]}}]\n"
        f"first: &weights {{w: [{weights}], s: &inner {{note: *text}}}}\n"
        + "".join(f"k{i}: {{again: *weights, one: [*inner, 1]}}\n" for i in range(60))
    )
    _, root = read_bytes(text.encode(), "a.yaml")
    written = yaml_text(root)
    assert len(written) < 200_000
    _, again = read_bytes(written.encode(), "a.yaml")
    assert same_values(again, root)


def test_what_is_too_large_with_anchors_too_is_refused() -> None:
    root = from_python({"a": "\u202e" * (MAX_BYTES // 3)})
    with pytest.raises(TooLargeError):
        yaml_text(root)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *((1, 1.0), (1, True), (0.0, -0.0), ("1", 1), (None, "null"), ([1], [1, 1]), ([], {})),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ],
)
def test_different_values_are_told_apart(one: Any, other: Any) -> None:
    assert not same_values(from_python(one), from_python(other))
    assert same_values(from_python(one), from_python(one))
    assert same_values(Node(math.nan), Node(math.nan))


def test_a_bool_of_yaml_1_1_has_quotes_even_where_few_parsers_know_it() -> None:
    assert yaml_text(from_python({"y": "n", "no": "Y"})) == '"y": "n"\n"no": "Y"\n'
