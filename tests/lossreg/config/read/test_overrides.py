from __future__ import annotations

from typing import Any

import pytest

from lossreg.config import examine
from lossreg.config.declare.parameters import plain
from lossreg.config.faults.faults import Faults
from lossreg.config.models import Weight
from lossreg.config.read.documents import read_document
from lossreg.config.read.nodes import Document, Node
from lossreg.config.read.overrides import apply_override
from lossreg.errors import Diagnostic

TEXT = """\
base: &base {type: mse, params: {reduction: sum}}
terms:
  fit: *base
  other:
    <<: *base
  third: *base
list: [1, {a: 2}, [3]]
empty:
"""


def override(*overrides: object, text: str = TEXT) -> tuple[Any, list[Diagnostic]]:
    root, faults = read_document(Document("a.yaml", text)), Faults()
    for each in overrides:
        apply_override(root, each, faults)
    return plain(root), faults.sorted()


def changed(*overrides: str) -> Any:
    values, found = override(*overrides)
    assert found == []
    return values


def test_sets_a_value() -> None:
    assert changed("terms.fit.type=l1")["terms"]["fit"]["type"] == "l1"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.3", 0.3),
        ("1e-3", 0.001),
        ("true", True),
        ("yes", "yes"),
        ("", None),
        ("  ", None),
        ("~", None),
        ("'1'", "1"),
        ("a b", "a b"),
        ("a=b=c", "a=b=c"),
        ("[1, {a: b}]", [1, {"a": "b"}]),
        ("a: b", {"a": "b"}),
        ("!!str 1", "1"),
        ("[&x 1, *x]", [1, 1]),
        ("x # not this", "x"),
        ("{a: 1,\n b: 2}", {"a": 1, "b": 2}),
    ],
)
def test_the_value_is_yaml(text: str, value: object) -> None:
    assert changed(f"terms.fit.weight={text}")["terms"]["fit"]["weight"] == value


def test_blanks_around_the_path_do_not_count() -> None:
    assert changed(" empty = 1")["empty"] == 1


def test_other_users_of_an_anchor_keep_their_value() -> None:
    for name in ("fit", "other", "third"):
        terms = changed(f"terms.{name}.params.reduction=mean")["terms"]
        found = {each: term["params"]["reduction"] for each, term in terms.items()}
        assert found == {**dict.fromkeys(terms, "sum"), name: "mean"}
    assert changed("terms.fit.params.reduction=mean")["base"]["params"] == {"reduction": "sum"}
    assert changed("base.type=l1")["terms"]["fit"]["type"] == "mse"


def test_missing_mappings_are_made() -> None:
    values = changed("terms.new.params.beta=2", "a.b.c=1", "empty.x=1")
    assert values["terms"]["new"] == {"params": {"beta": 2}}
    assert values["a"] == {"b": {"c": 1}}
    assert values["empty"] == {"x": 1}


def test_list_elements() -> None:
    values = changed("list[0]=9", "list[1].a=8", "list[-1][0]=7")
    assert values["list"] == [9, {"a": 8}, [7]]


def test_the_last_override_wins() -> None:
    assert changed("empty=1", "empty=2")["empty"] == 2


def test_a_value_of_nothing_stays_nothing() -> None:
    assert changed("list[0]=")["list"][0] is None


@pytest.mark.parametrize(
    ("argument", "code", "column", "end", "message"),
    [
        ("terms.fit.weight", "LR401", 1, 17, "expected PATH=VALUE, found no '='"),
        ("", "LR401", 1, 2, "expected PATH=VALUE, found no '='"),
        ("=1", "LR401", 1, 2, "expected a path such as loss.terms.seg.weight before '='"),
        ("a..b=1", "LR401", 1, 5, "expected a path"),
        ("[0]=1", "LR401", 1, 4, "expected a path"),
        ("a b=1", "LR401", 1, 4, "expected a path"),
        (".".join("a" * 65) + "=1", "LR401", 1, 130, "the path has more than 64 levels"),
        ("base.type.name=1", "LR402", 1, 15, "cannot set 'name' there: 'base.type' is the string"),
        ("list.a=1", "LR402", 1, 7, "cannot set 'a' there: 'list' is a list"),
        ("list[3]=1", "LR402", 1, 8, "cannot set element 3 there: 'list' is a list"),
        ("list[-4]=1", "LR402", 1, 9, "cannot set element -4 there: 'list' is a list"),
        ("list[5].a=1", "LR402", 1, 10, "cannot set element 5 there"),
        ("terms[0]=1", "LR402", 1, 9, "cannot set element 0 there: 'terms' is a mapping"),
        ("new[0]=1", "LR402", 1, 7, "cannot set element 0 there: 'new' is"),
        ("empty=[1, 2", "LR003", 12, 13, "this is not valid YAML"),
        ("empty='x", "LR003", 9, 10, "this is not valid YAML"),
        ("empty=a: b: c", "LR003", 11, 12, "a ': ' inside a value"),
        ("empty=@x", "LR003", 7, 8, "a value cannot begin with '@'"),
        ("empty=!x 1", "LR006", 7, 11, "the tag !x is not allowed"),
        ("empty={a: 1, a: 2}", "LR008", 14, 15, "duplicate key 'a'"),
        ("empty={1: 2}", "LR007", 8, 9, "write '1' in quotes"),
        ("empty=*base", "LR009", 7, 12, "there is no anchor '&base'"),
        ("empty=x\x07", "LR002", 8, 9, "U+0007"),
        ("größe=x\x07", "LR002", 8, 9, "U+0007"),
        ("empty=" + "[" * 65, "LR004", 71, 72, "nested deeper than 64 levels"),
    ],
)
def test_a_fault_stands_in_the_argument(
    argument: str, code: str, column: int, end: int, message: str
) -> None:
    _, (found,) = override(argument)
    assert (found.code, found.file, found.line, found.column) == (code, "--set", 1, column)
    assert found.message.startswith(message) or message in found.message
    assert found.source_line == argument
    assert found.end_column == end


@pytest.mark.parametrize("argument", [1, None, b"a=1", ["a=1"]])
def test_an_override_is_a_string(argument: object) -> None:
    _, (found,) = override(argument)
    assert found.code == "LR401"
    assert found.message.startswith("expected PATH=VALUE, found ")


def test_a_bad_value_is_told_with_its_place_in_the_argument() -> None:
    source = {"terms": {"fit": {"type": "mse"}}}
    arguments = ("terms.fit.weight=heavy", "terms.fit.typ=l1", "terms.fit.params={reduction: avg}")
    found = examine(source, overrides=arguments).diagnostics
    assert {(each.code, each.path, each.column, each.end_column) for each in found} == {
        ("LR201", "terms.fit.weight", 18, 23),
        ("LR104", "terms.fit.typ", 1, 14),
        ("LR203", "terms.fit.params.reduction", 30, 33),
    }


def test_an_override_mends_what_the_file_has_wrong() -> None:
    text = b"terms:\n  fit: {type: mse, weight: heavy}\n"
    examined = examine(text, overrides=["terms.fit.weight=2"])
    assert examined.diagnostics == ()
    assert examined.loss is not None
    assert examined.loss.terms[0].weight == Weight(2.0)


def test_an_override_shares_no_node_with_the_next() -> None:
    root, faults = read_document(Document("a.yaml", "a: 1\n")), Faults()
    apply_override(root, "b.c=1", faults)
    apply_override(root, "b.d=2", faults)
    assert isinstance(root, Node)
    assert plain(root) == {"a": 1, "b": {"c": 1, "d": 2}}
