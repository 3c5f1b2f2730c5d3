from __future__ import annotations

import pytest

from lossreg.config.faults.faults import Faults
from lossreg.config.faults.guesses import Guesses
from lossreg.config.read.documents import read_document
from lossreg.config.read.nodes import Document, Node

KNOWN = ("type", "weight", "inputs")
FOREIGN = {"name": "type", "alpha": "weight"}


def read(text: str) -> Node:
    return read_document(Document("a.yaml", text))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("{type: mse}", {}),
        ("{typ: mse}", {"type": "typ"}),
        ("{typ: mse, type: l1}", {}),
        ("{typ: mse, tpe: l1}", {"type": "typ"}),
        ("{name: mse}", {"type": "name"}),
        ("{name: seg, typ: mse}", {"type": "typ"}),
        ("{typ: mse, name: seg}", {"type": "typ"}),
        ("{type:mse, alpha:2}", {"type": "type:mse", "weight": "alpha:2"}),
        ("{colour: red, '': 1}", {}),
    ],
)
def test_what_is_probably_written(text: str, written: dict[str, str]) -> None:
    assert Guesses(read(text), KNOWN, FOREIGN).written == written


def test_a_key_that_belongs_elsewhere_is_not_another_ones() -> None:
    guesses = Guesses(read("{weights: 1}"), KNOWN, astray={"weights": "move it"})
    assert guesses.written == {}
    assert guesses.hint("weights") == "move it"


@pytest.mark.parametrize(
    ("text", "name", "hint"),
    [
        ("{typ: mse}", "typ", "did you mean 'type'?"),
        ("{typ: mse, type: l1}", "typ", "'type' is already given; remove this key"),
        (
            "{typ: mse, tpe: l1}",
            "tpe",
            "did you mean 'type', as with 'typ'? remove one of them",
        ),
        ("{typ:mse}", "typ:mse", "did you mean `type: mse`, with a space?"),
        ("{'typ:': mse}", "typ:", "did you mean 'type'?"),
        ("{colour: red}", "colour", None),
    ],
)
def test_what_to_do(text: str, name: str, hint: str | None) -> None:
    assert Guesses(read(text), KNOWN, FOREIGN).hint(name) == hint


def test_nothing_to_guess_leaves_the_mapping() -> None:
    node = read("{type: mse, colour: red}")
    assert Guesses(node, KNOWN).applied("", Faults()) is node


def test_a_guess_is_applied_to_a_copy_and_paths_stay_as_written() -> None:
    node, faults = read("{typ: mse, wieght: 2, inputs: [a]}"), Faults()
    meant = Guesses(node, KNOWN).applied("seg", faults)
    assert list(node.value) == ["typ", "wieght", "inputs"] == list(node.keys)
    assert {name: each.value for name, each in meant.value.items()} == {
        "type": "mse",
        "weight": 2,
        "inputs": node.value["inputs"].value,
    }
    assert meant.keys["weight"] == node.keys["wieght"]
    faults.add("LR201", ("seg", "weight"), "heavy", meant.value["weight"])
    (found,) = faults.sorted()
    assert (found.path, found.column) == ("seg.wieght", 20)


@pytest.mark.parametrize(
    ("text", "value", "column", "rewrite"),
    [
        ("{weight:0.5}", 0.5, 9, ""),
        ("{weight:'a'}", "a", 9, ""),
        ('{weight:"a"}', "a", 9, ""),
        ("{weight:yes}", "yes", 9, "true"),
        ("{weight:007}", "007", 9, "7"),
        ("{'weight:1'}", 1, 2, ""),
        ("{'weight:1': 2}", 2, 14, ""),
        ("{'weight:'}", None, 11, ""),
    ],
)
def test_the_value_in_a_key_without_its_space(
    text: str, value: object, column: int, rewrite: str
) -> None:
    node = read(text)
    (name,) = node.value
    found = Guesses(node, KNOWN).value(name)
    assert found.document is not None
    place = found.document.place(found.start, found.end)
    assert (found.value, found.rewrite) == (value, rewrite)
    assert place.column == column
