"""Lists that do not fit, and what is said of them; lists that may be missing."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor

import lossreg
from lossreg.errors import ConfigWarning, InputError, NonFiniteError

PAIR = {"fake": "g", "real": "r"}
L1 = {"type": "l1", "inputs": ["fake", "real"]}


def build(each: dict[str, Any], terms: dict[str, Any] | None = None, **group: Any) -> Any:
    terms = {"l1": L1} if terms is None else terms
    each = {"over": PAIR, "combine": "sum", **each}
    return lossreg.build({"terms": {"f": {"each": each, "terms": terms, **group}}})


def maps(*sizes: int) -> list[Tensor]:
    return [torch.rand(2, size) for size in sizes]


FAKE = "term 'f/l1', each.over 'fake' (path 'g'): "
REAL = "term 'f/l1', each.over 'real' (path 'r'): "


@pytest.mark.parametrize(
    ("each", "values", "message"),
    [
        (
            {},
            {"g": maps(3, 4), "r": maps(3)},
            REAL + "expected lists of equal length, found 2 elements of 'fake' and 1 of 'real'",
        ),
        (
            {"pick": {"real": {"start": 1}}},
            {"g": maps(3), "r": maps(3)},
            REAL
            + (
                "expected lists of equal length after 'pick', found 1 elements of 'fake' and "
                "0 of 'real'"
            ),
        ),
        (
            {"nested": 2},
            {"g": [maps(3), maps(3, 4)], "r": [maps(3), maps(3)]},
            REAL
            + ("expected lists of equal length, found 2 elements of 'fake' and 1 of 'real' at [1]"),
        ),
        (
            {},
            {"g": torch.rand(3, 4), "r": maps(3)},
            FAKE
            + (
                "expected a list, a tuple or a mapping, found a tensor (3, 4); to go over its"
                " first dimension write {from: g, apply: [unbind]}"
            ),
        ),
        (
            {"nested": 2},
            {"g": maps(3), "r": maps(3)},
            FAKE + "expected a list, a tuple or a mapping, found a tensor (2, 3) at [0]",
        ),
        (
            {},
            {"g": [], "r": []},
            FAKE
            + (
                "expected at least one element, found a list of 0 at 'fake' and a list of 0 "
                "at 'real'"
            ),
        ),
        (
            {},
            {"g": None, "r": maps(3)},
            FAKE + "expected a list, a tuple or a mapping, found None",
        ),
        (
            {},
            {"g": {"a": torch.rand(2)}, "r": {"b": torch.rand(2)}},
            REAL
            + (
                "expected mappings with the same keys, found 1 in 'fake' and 1 in 'real'; "
                "only 'real' has 'b'"
            ),
        ),
        (
            {},
            {"g": {"a": torch.rand(2), "b": torch.rand(2)}, "r": {"a": torch.rand(2)}},
            REAL
            + (
                "expected mappings with the same keys, found 2 in 'fake' and 1 in 'real'; "
                "only 'fake' has 'b'"
            ),
        ),
        (
            {},
            {"g": {"a": torch.rand(2)}, "r": maps(3)},
            REAL + "expected a mapping, as 'fake' is one, found a list of 1",
        ),
        (
            {},
            {"g": maps(3), "r": {"a": torch.rand(2)}},
            REAL + "expected a list, as 'fake' is one, found a mapping of 1",
        ),
        (
            {"weights": {"decay": 0.5, "towards": "last"}},
            {"g": {"a": torch.rand(2)}, "r": {"a": torch.rand(2)}},
            FAKE + "'weights' goes by places, so expected a list, found a mapping",
        ),
        (
            {"weights": [1, 2]},
            {"g": maps(3), "r": maps(3)},
            FAKE + "expected as many elements as weights, 2, found 1",
        ),
        (
            {"weights": {"zero": [2]}},
            {"g": maps(3, 4), "r": maps(3, 4)},
            FAKE + "weights.zero has the place 2, and the list has 2 elements",
        ),
        (
            {"weights": {"zero": [-1]}},
            {"g": maps(3), "r": maps(3)},
            FAKE + "expected an element whose weight is not 0, found none",
        ),
        (
            {},
            {"g": maps(3), "r": maps(3), "fake": torch.rand(2)},
            FAKE
            + (
                "'fake' is a name of each.over and a key of the step as well ((2,)), so a "
                "path that starts with it could mean both; choose another name"
            ),
        ),
        (
            {},
            {"g": maps(3)},
            (
                "term 'f/l1', input 'real' (path 'r'): there is no 'r' among the values; "
                "there is: g a list of 1"
            ),
        ),
        (
            {},
            {"g": maps(3, 4), "r": maps(3, 5)},
            (
                "term 'f/l1[1]', 'target' (path 'real'): expected a shape that fits (2, 4) of"
                " 'input', found (2, 5); torch would broadcast or refuse it"
            ),
        ),
        (
            {"nested": 2},
            {"g": [maps(3), [torch.rand(2, 3), 5]], "r": [maps(3), maps(3, 3)]},
            "term 'f/l1[1][1]', input 'input': expected a tensor at 'fake', found a int",
        ),
    ],
)
@pytest.mark.parametrize("combine", ["sum", "pooled"])
def test_what_does_not_fit_is_an_input_error(
    each: dict[str, Any], values: dict[str, Any], message: str, combine: str
) -> None:
    with pytest.raises(InputError) as error:
        build({**each, "combine": combine})(values)
    assert str(error.value) == message
    assert error.value.term is not None
    assert error.value.term in message


def test_a_missing_tensor_of_an_element_is_named() -> None:
    each = {"over": {"layer": "layers"}}
    loss = build(each, {"l1": {"type": "l1", "inputs": ["layer.p", "y"]}})
    layers = [{"p": torch.rand(2)}, {"q": torch.rand(2)}]
    with pytest.raises(InputError, match=re.escape("term 'f/l1[1]', input 'input'")) as error:
        loss(layers=layers, y=torch.rand(2))
    assert "there is no 'p' under 'layer'; there is: q (2,)" in str(error.value)


def test_a_name_may_stand_for_the_very_path_of_its_list() -> None:
    each = {"over": {"layers": "layers"}}
    loss = build(each, {"l1": {"type": "l1", "inputs": ["layers.p", "y"]}})
    p, y = torch.rand(2), torch.rand(2)
    assert loss(layers=[{"p": p}], y=y).total == (p - y).abs().mean()


def test_a_name_that_is_a_key_is_refused_where_the_group_starts() -> None:
    each = {"over": {"layer": "layers"}}
    terms = {"l1": {"type": "l1", "inputs": ["layer", "y"]}}
    loss = build(each, terms, **{"from": "model"})
    p, y = torch.rand(2), torch.rand(2)
    model = {"layers": [p], "y": y}
    assert loss(model=model, layer=p).total == (p - y).abs().mean()
    other = build(each, terms, **{"from": "model"})
    with pytest.raises(InputError, match=r"'layer' is a name of each\.over and a key of the step"):
        other(model={**model, "layer": p})


def test_every_element_of_the_first_batch_is_checked() -> None:
    terms = {"ce": {"type": "cross_entropy", "inputs": ["head", "labels"]}}
    loss = build({"over": {"head": "heads"}}, terms)
    heads = [torch.rand(3, 5), torch.rand(3, 2)]
    with pytest.raises(InputError, match=r"'f/ce\[1\]', 'target'.* from 0 to 1, found 4"):
        loss(heads=heads, labels=torch.tensor([0, 1, 4]))


def test_a_value_that_is_not_finite_is_laid_to_its_element() -> None:
    values = {"g": maps(3, 4, 5), "r": maps(3, 4, 5)}
    values["g"][1][0, 0] = math.nan
    with pytest.raises(NonFiniteError) as error:
        build({})(values)
    assert error.value.term == "f/l1"
    text = str(error.value)
    assert text.startswith("term 'f/l1' is nan: at [1] 'input' at 'fake': ")
    assert "1 nan and 0 infinite" in text
    assert "[0]" not in text


@pytest.mark.parametrize("values", [{}, {"g": None, "r": None}, {"g": [], "r": []}])
def test_an_optional_term_is_left_out_without_its_lists(values: dict[str, Any]) -> None:
    loss = lossreg.build(
        {
            "terms": {
                "f": {
                    "each": {"over": PAIR, "combine": "sum"},
                    "optional": True,
                    "terms": {"l1": L1},
                },
                "fit": {"type": "mse", "inputs": ["p", "y"]},
            }
        }
    )
    p, y = torch.rand(2), torch.rand(2)
    out = loss({**values, "p": p, "y": y})
    assert out.terms["f/l1"] == out.weights["f/l1"] == 0
    assert out.total == (p - y).square().mean()
    found = {"g": maps(3), "r": maps(3)}
    out = loss({**found, "p": p, "y": y})
    assert out.terms["f/l1"] == (found["g"][0] - found["r"][0]).abs().mean()


def test_an_optional_terms_tensors_are_in_every_element_or_in_none() -> None:
    terms = {
        "fit": {"type": "mse", "inputs": ["layer.p", "y"]},
        "mask": {"type": "mse", "inputs": ["layer.mask", "y"], "optional": True},
    }
    loss = build({"over": {"layer": "layers"}}, terms)
    y = torch.rand(2)
    with_mask, without = {"p": y + 1, "mask": y + 2}, {"p": y + 1}
    assert loss(layers=[without, without], y=y).terms["f/mask"] == 0
    assert loss(layers=[with_mask, with_mask], y=y).terms["f/mask"] == pytest.approx(8)
    with pytest.raises(InputError) as error:
        loss(layers=[with_mask, without, without], y=y)
    assert str(error.value) == (
        "term 'f/mask[1]', input 'input' (path 'layer.mask'): an optional term is left out as a "
        "whole, and 2 of 3 elements lack its tensors"
    )


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "there is no 'layers' among the values"),
        ({"layers": []}, "the list has no elements"),
        ({"layers": [{"p": torch.rand(2)}]}, "'layer.mask'): there is no 'mask' under 'layer'"),
    ],
)
def test_an_optional_term_that_never_comes_is_warned_of(
    values: dict[str, Any], reason: str
) -> None:
    mask = {"type": "mse", "inputs": ["layer.mask", "y"], "optional": True}
    each = {"over": {"layer": "layers"}, "combine": "sum"}
    loss = lossreg.build(
        {
            "terms": {
                "f": {"each": each, "terms": {"mask": mask}},
                "size": {"type": "value", "inputs": ["y"]},
            }
        }
    )
    values = {**values, "y": torch.rand(2)}
    for _ in range(99):
        loss(values)
    with pytest.warns(ConfigWarning, match=re.escape(reason)):
        loss(values)
