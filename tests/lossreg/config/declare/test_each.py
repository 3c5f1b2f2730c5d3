from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lossreg.config import examine, load_config
from lossreg.config.grammar import EACH
from lossreg.config.models import ElementWeights

if TYPE_CHECKING:
    from lossreg.config.models import Each, TermConfig

L1 = {"type": "l1", "inputs": ["fake", "real.x"]}
EACH_OF_TWO = {"over": {"fake": "g", "real": "r"}, "combine": "sum"}


def read(group: dict[str, Any], **composite: Any) -> dict[str, TermConfig]:
    config = load_config({**composite, "terms": {"f": group}})
    return {term.name: term for term in config.terms}


def lists(each: dict[str, Any]) -> Each:
    (term,) = read({"each": {**EACH_OF_TWO, **each}, "terms": {"l1": L1}}).values()
    assert term.each is not None
    return term.each


def faults(group: dict[str, Any], **composite: Any) -> list[str]:
    return [str(fault) for fault in examine({**composite, "terms": {"f": group}}).diagnostics]


def test_paths_start_at_the_element_if_their_first_key_is_a_name() -> None:
    inner = {"from": "fake", "terms": {"a": {"type": "l1", "inputs": ["p", "heads.fake"]}}}
    terms = {"l1": {**L1, "mask": "valid", "divide_by": {"number": "real.n"}}, "inner": inner}
    found = read({"from": "m", "each": EACH_OF_TWO, "terms": terms})
    first, second = found["f/l1"], found["f/inner/a"]
    assert [str(route) for route in first.inputs.values()] == ["fake", "real.x"]
    assert str(first.mask) == "m.valid"
    assert str(first.divide_by) == "{number: real.n}"
    assert [str(route) for route in second.inputs.values()] == ["fake.p", "fake.heads.fake"]
    assert first.each is not None
    assert [str(route) for route in first.each.routes] == ["m.g", "m.r"]


def test_a_name_within_a_path_is_not_the_element() -> None:
    far = {"from": "heads", "terms": {"b": {"type": "mse", "inputs": ["fake", "y"]}}}
    found = faults({"each": EACH_OF_TWO, "terms": {"l1": L1, "far": far}})
    assert len(found) == 1
    assert found[0].startswith(
        "terms.f.terms.far.terms.b: expected a path that starts with 'fake' or 'real', found"
    )


def test_operands_of_transforms_start_there_too() -> None:
    route = {"from": "fake", "apply": [{"sub": "real.y"}, {"mul": "scale"}]}
    term = {**L1, "inputs": [route, "real.x"]}
    (found,) = read({"from": "m", "each": EACH_OF_TWO, "terms": {"l1": term}}).values()
    assert str(found.inputs["input"]) == "fake | sub(by=real.y) | mul(by=m.scale)"


def test_a_groups_own_divisor_is_looked_up_where_the_group_stands() -> None:
    group = {"from": "m", "each": EACH_OF_TWO, "divide_by": {"number": "n"}, "terms": {"l1": L1}}
    (found,) = read(group).values()
    assert str(found.divide_by) == "{number: n}"


def test_the_same_words_for_all_lists_or_for_one() -> None:
    assert lists({"pick": {"start": 1, "step": 2}}).pick == dict.fromkeys(
        ("fake", "real"), (1, None, 2)
    )
    assert lists({"pick": {"real": {"end": -1}}}).pick == {
        "fake": (None, None, 1),
        "real": (None, -1, 1),
    }


def test_the_defaults_are_those_of_the_grammar() -> None:
    each = lists({})
    for name in ("nested", "pick", "weights"):
        assert getattr(each, name) == EACH.keys[name].default


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (ElementWeights(), [1, 1, 1]),
        (ElementWeights(decay=0.5), [1, 0.5, 0.25]),
        (ElementWeights(decay=0.5, towards="last"), [0.25, 0.5, 1]),
        (ElementWeights(decay=0.5, towards="last", zero=(0, -1)), [0, 0.5, 0]),
        (ElementWeights(listed=(3, 2, 1)), [3, 2, 1]),
    ],
)
def test_the_weights_of_a_list(weights: ElementWeights, expected: list[float]) -> None:
    assert weights.of(3) == expected


def test_a_frozen_list_detaches_its_elements() -> None:
    group = {"each": EACH_OF_TWO, "terms": {"l1": L1}}
    (found,) = read(group, frozen=["r"]).values()
    assert [str(route) for route in found.inputs.values()] == ["fake", "real.x | detach"]
    (found,) = read({**group, "from": "m"}, frozen=["m"]).values()
    assert [str(route) for route in found.inputs.values()] == ["fake | detach", "real.x | detach"]


def test_a_frozen_source_of_a_list_detaches_that() -> None:
    over = {"fake": {"from": "g", "apply": ["unbind"]}, "real": ["a", "b"]}
    group = {"each": {"over": over, "combine": "sum"}, "terms": {"l1": L1}}
    (found,) = read(group, frozen=["g", "b"]).values()
    assert [str(route) for route in found.inputs.values()] == ["fake", "real.x"]
    assert found.each is not None
    assert [str(route) for route in found.each.routes] == [
        "g | detach | unbind(dim=0)",
        "a",
        "b | detach",
    ]


def test_a_name_is_not_a_frozen_path() -> None:
    group = {"each": EACH_OF_TWO, "terms": {"l1": L1}}
    (found,) = faults(group, frozen=["fake"])
    assert found.startswith("frozen[0]: no term reads 'fake' or anything below it")


def test_without_entries_a_term_cannot_be_pooled() -> None:
    term = {"type": "l1", "inputs": ["fake", "real"], "params": {"reduction": "sum"}}
    (found,) = faults({"each": {**EACH_OF_TWO, "combine": "pooled"}, "terms": {"l1": term}})
    assert "combine: pooled divides by one number, and this term is a sum" in found
