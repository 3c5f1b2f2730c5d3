from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

import lossreg
from fake_distributions import Site, plugin
from lossreg.config import examine, load_config

if TYPE_CHECKING:
    from lossreg.config.models import TermConfig

L1 = {"type": "l1", "inputs": ["boxes", "target.boxes"]}


def read(**terms: Any) -> dict[str, TermConfig]:
    """The terms of a composite by name."""
    return {term.name: term for term in load_config({"terms": terms}).terms}


def codes(**terms: Any) -> list[tuple[str, str]]:
    return [(each.code, each.path) for each in examine({"terms": terms}).diagnostics]


def test_names_join_with_a_slash_in_the_order_of_the_file() -> None:
    inner = {"terms": {"x": L1, "total": L1}}
    assert list(read(a=L1, g={"terms": {"boxes": L1, "h": inner}}, z=L1)) == [
        "a",
        "g/boxes",
        "g/h/x",
        "g/h/total",
        "z",
    ]


def test_paths_start_where_the_group_says() -> None:
    term = {
        **L1,
        "inputs": [{"from": "boxes", "apply": "detach"}, "target.boxes[0]"],
        "mask": {"from": "valid", "apply": [{"cast": "bool"}]},
        "sample_weight": "w",
        "divide_by": {"number": "n"},
    }
    inner = {"from": "deep[1]", "terms": {"boxes": term}}
    (found,) = read(g={"from": "aux[2]", "terms": {"h": inner}}).values()
    assert {name: str(each) for name, each in found.inputs.items()} == {
        "input": "aux[2].deep[1].boxes | detach",
        "target": "aux[2].deep[1].target.boxes[0]",
    }
    assert str(found.mask) == "aux[2].deep[1].valid | cast(dtype=bool)"
    assert str(found.sample_weight) == "aux[2].deep[1].w"
    assert str(found.divide_by) == "{number: aux[2].deep[1].n}"


def test_inputs_left_out_are_named_as_the_arguments_there() -> None:
    (found,) = read(g={"from": "aux", "terms": {"boxes": {"type": "l1"}}}).values()
    assert [str(each) for each in found.inputs.values()] == ["aux.input", "aux.target"]


def test_a_group_without_from_starts_where_it_stands() -> None:
    (found,) = read(g={"from": "aux", "terms": {"h": {"terms": {"boxes": L1}}}}).values()
    assert str(found.inputs["input"]) == "aux.boxes"


def test_weights_and_schedules_multiply() -> None:
    linear = {"schedule": "linear", "start": 0, "end": 1, "steps": 10}
    by_epoch = {"schedule": "linear", "start": 2, "end": 4, "steps": 2, "unit": "epoch"}
    inner = {"weight": by_epoch, "terms": {"boxes": {**L1, "weight": 5}, "plain": L1}}
    found = read(g={"weight": linear, "terms": {"h": inner, "x": {**L1, "weight": 3}}})
    assert found["g/h/boxes"].weight.value(steps=4, epochs=1) == pytest.approx(0.4 * 3 * 5)
    assert found["g/h/plain"].weight.value(steps=4, epochs=1) == pytest.approx(0.4 * 3)
    assert found["g/x"].weight.value(steps=4, epochs=1) == pytest.approx(0.4 * 3)


def test_a_group_of_weight_0_leaves_the_graph_with_its_schedules() -> None:
    linear = {"schedule": "linear", "start": 0, "end": 1, "steps": 10}
    found = read(a=L1, g={"weight": 0, "terms": {"x": L1, "y": {**L1, "weight": linear}}})
    assert found["g/x"].weight.is_zero
    assert found["g/y"].weight.is_zero


def test_a_product_that_no_float_holds_is_an_error() -> None:
    term = {**L1, "weight": 1e20}
    assert codes(g={"weight": 1e20, "terms": {"x": term}}) == [("LR202", "terms.g.terms.x.weight")]
    assert codes(g={"weight": 1e18, "terms": {"x": term}}) == []
    huge = {"schedule": "linear", "start": 0, "end": -1e20, "steps": 10}
    assert ("LR202", "terms.g.terms.x.weight") in codes(g={"weight": huge, "terms": {"x": term}})
    assert codes(g={"weight": 1e300, "terms": {"h": {"weight": 1e300, "terms": {"x": L1}}}}) == [
        ("LR202", "terms.g.terms.h.terms.x.weight")
    ]


def test_a_product_that_is_0_in_float32_is_an_error() -> None:
    refused = [("LR202", "terms.g.terms.x.weight")]
    for outer, inner in ((1e-20, 1e-20), (1e-200, 1e-200), (-1e-30, 1e-10), (1, 1e-46), (1e-46, 1)):
        term = {**L1, "weight": inner}
        found = codes(g={"weight": outer, "terms": {"x": term}})
        assert [each for each in found if each[0] != "LR904"] == refused, (outer, inner)
    falling = {"schedule": "linear", "start": 1, "end": 1e-30, "steps": 10}
    assert codes(g={"weight": falling, "terms": {"x": {**L1, "weight": 1e-10}}}) == refused
    assert codes(g={"weight": falling, "terms": {"x": {**L1, "weight": falling}}}) == refused
    deep = {"weight": 1e-30, "terms": {"x": L1}}
    assert codes(g={"weight": 1e-300, "terms": {"h": deep}}) == [
        ("LR202", "terms.g.terms.h.terms.x.weight")
    ]


def test_a_product_that_float32_holds_is_fine_whatever_its_factors() -> None:
    for outer, inner in ((1e-20, 1e-17), (1e-60, 1e60), (0, 1e-30), (1e-300, 0)):
        assert codes(a=L1, g={"weight": outer, "terms": {"x": {**L1, "weight": inner}}}) == []
    falling = {"schedule": "cosine", "start": 1, "end": 0, "steps": 10}
    assert codes(g={"weight": falling, "terms": {"x": {**L1, "weight": 1e-37}}}) == []


def test_a_divisor_is_inherited_and_found_where_the_group_stands() -> None:
    own = {**L1, "divide_by": {"number": "mine"}}
    inner = {"from": "deep", "terms": {"x": L1, "y": own}}
    other = {"from": "deep", "divide_by": {"number": "n"}, "terms": {"x": L1}}
    found = read(
        g={"from": "aux", "divide_by": {"number": "sizes.n"}, "terms": {"h": inner, "i": other}}
    )
    assert {name: str(each.divide_by) for name, each in found.items()} == {
        "g/h/x": "{number: sizes.n}",
        "g/h/y": "{number: aux.deep.mine}",
        "g/i/x": "{number: aux.n}",
    }


@pytest.mark.parametrize("outer", [True, False])
@pytest.mark.parametrize("inner", [True, False])
@pytest.mark.parametrize("own", [True, False])
def test_switches_are_inherited(outer: bool, inner: bool, own: bool) -> None:
    def found(key: str) -> TermConfig:
        term = {**L1, key: own}
        nested = {key: inner, "terms": {"x": term}}
        return read(a=L1, g={key: outer, "terms": {"h": nested}})["g/h/x"]

    assert found("optional").optional == (outer or inner or own)
    assert found("enabled").enabled == (outer and inner and own)


def test_an_inherited_denominator_needs_a_sum(site: Site) -> None:
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": plugin("odd")})
    odd = {"type": "odd", "inputs": ["a", "b"]}
    inner = {"terms": {"x": odd}}
    assert codes(g={"divide_by": {"number": "n"}, "terms": {"x": odd}}) == [
        ("LR213", "terms.g.terms.x")
    ]
    assert codes(g={"divide_by": {"number": "n"}, "terms": {"h": inner}}) == [
        ("LR213", "terms.g.terms.h.terms.x")
    ]
    assert codes(a={**odd, "divide_by": {"number": "n"}}) == [("LR213", "terms.a.divide_by")]
    assert codes(g={"terms": {"x": odd}}) == []


def test_faults_of_a_group_and_of_its_terms_are_told_at_once() -> None:
    wrong = {"from": 3, "weight": "1", "optional": "x", "terms": {"a b": L1, "y": {"type": "l2"}}}
    assert sorted(codes(g=wrong)) == [
        ("LR105", "terms.g.terms.y.type"),
        ("LR107", "terms.g.terms.a b"),
        ("LR201", "terms.g.optional"),
        ("LR201", "terms.g.weight"),
        ("LR206", "terms.g.from"),
    ]


@pytest.mark.parametrize("key", ["type", "inputs", "mask", "sample_weight", "ignore", "params"])
def test_what_only_a_term_has_is_refused_of_a_group(key: str) -> None:
    assert codes(g={key: "x", "terms": {"x": L1}}) == [("LR104", f"terms.g.{key}")]


def test_a_group_reaches_an_override() -> None:
    document = {"loss": {"terms": {"g": {"terms": {"x": L1}}}}}
    config = load_config(
        document, overrides=["loss.terms.g.weight=3", "loss.terms.g.terms.x.weight=2"]
    )
    assert config.terms[0].weight.factor == 6


def test_a_group_computes_what_its_terms_say() -> None:
    # Layer 0: |1 - 0| * 0.5 / 2; layer 1: |3 - 0| * 0.5 * 2 / 2.
    document = {
        "aux": {
            "from": "aux",
            "weight": 0.5,
            "divide_by": {"number": "n"},
            "terms": {
                "l0": {"from": "layers[0]", "terms": {"x": {"type": "l1"}}},
                "l1": {"from": "layers[1]", "weight": 2, "terms": {"x": {"type": "l1"}}},
            },
        }
    }
    loss = lossreg.build({"terms": document})
    layers = [{"input": torch.tensor([each]), "target": torch.zeros(1)} for each in (1.0, 3.0)]
    out = loss(aux={"layers": layers}, n=2)
    assert {name: each.item() for name, each in out.terms.items()} == {
        "aux/l0/x": 0.5,
        "aux/l1/x": 1.5,
    }
    assert out.total == 0.5 * 0.5 + 1.5 * 1.0
    assert "train/loss/aux/l0/x" in out.log_dict("train/")
    assert [name for name, _ in loss.terms.named_children()] == ["aux/l0/x", "aux/l1/x"]
