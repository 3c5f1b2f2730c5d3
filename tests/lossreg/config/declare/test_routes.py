from __future__ import annotations

from typing import Any

import pytest

from lossreg.config import examine, load_config
from lossreg.vocabulary.paths import ValuePath
from lossreg.vocabulary.routes import Route, Transform


def route(written: Any) -> Route:
    """What one input is read as."""
    (term,) = load_config({"terms": {"fit": {"type": "value", "inputs": [written]}}}).terms
    return term.inputs["input"]


def applied(written: Any) -> tuple[Transform, ...]:
    return route({"from": "x", "apply": written}).transforms


@pytest.mark.parametrize("written", ["heads.seg.logits[-1]", {"from": "heads.seg.logits[-1]"}])
def test_a_path_alone_is_a_route(written: Any) -> None:
    assert route(written) == Route(ValuePath(("heads", "seg", "logits", -1)))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([], []),
        ("detach", [Transform("detach")]),
        (["detach"], [Transform("detach")]),
        ([{"detach": None}], [Transform("detach")]),
        ([{"detach": {}}], [Transform("detach")]),
        ({"div": 2}, [Transform("div", (("by", 2),))]),
        ([{"div": {"by": 2}}], [Transform("div", (("by", 2),))]),
        ("softmax", [Transform("softmax", (("dim", -1),))]),
        ([{"softmax": 1}], [Transform("softmax", (("dim", 1),))]),
        ([{"transpose": [1, -1]}], [Transform("transpose", (("dims", (1, -1)),))]),
        ("flatten", [Transform("flatten", (("start", 0), ("end", -1)))]),
        ([{"flatten": 1}], [Transform("flatten", (("start", 1), ("end", -1)))]),
        (
            [{"slice": {"end": -1, "dim": 1, "start": None}}],
            [Transform("slice", (("dim", 1), ("start", None), ("end", -1), ("step", 1)))],
        ),
        (
            [{"one_hot": 21}],
            [Transform("one_hot", (("classes", 21), ("dim", -1), ("ignore", None)))],
        ),
        (
            [{"shift": {"by": -1, "dim": 1, "fill": -100}}, "sigmoid"],
            [
                Transform("shift", (("by", -1), ("dim", 1), ("fill", -100))),
                Transform("sigmoid"),
            ],
        ),
    ],
    ids=str,
)
def test_a_value_without_names_binds_to_the_first_argument(
    written: Any, expected: list[Transform]
) -> None:
    assert applied(written) == tuple(expected)


def test_a_route_says_what_it_does() -> None:
    written = {"from": "a.b[0]", "apply": [{"div": 2.5}, "softmax", {"permute": [1, 0]}]}
    assert str(route(written)) == "a.b[0] | div(by=2.5) | softmax(dim=-1) | permute(dims=(1, 0))"


@pytest.mark.parametrize("key", ["mask", "sample_weight"])
def test_masks_and_weights_have_transforms_as_well(key: str) -> None:
    term = {
        "type": "mse",
        "divide_by": "kept",
        key: {"from": "m", "apply": [{"select": {"index": 0, "dim": 1}}]},
    }
    (read,) = load_config({"terms": {"fit": term}}).terms
    assert str(getattr(read, key)) == "m | select(index=0, dim=1)"


def test_the_same_path_with_other_transforms_is_no_suspicion() -> None:
    def codes(first: Any, second: Any) -> list[str]:
        document = {"terms": {"fit": {"type": "mse", "inputs": [first, second]}}}
        return [each.code for each in examine(document).diagnostics]

    detached = {"from": "x", "apply": "detach"}
    assert codes("x", detached) == []
    assert codes(detached, {"from": "x", "apply": ["detach"]}) == ["LR902"]
    assert codes("x", {"from": "x", "apply": []}) == ["LR902"]
