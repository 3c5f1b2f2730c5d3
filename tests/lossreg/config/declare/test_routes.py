from __future__ import annotations

from typing import Any

import pytest

from lossreg.config import examine, load_config
from lossreg.vocabulary.inputs import DTYPES, REQUIRED, TRANSFORMS, Path, Route, Transform


def route(written: Any) -> Route:
    """What one input is read as."""
    (term,) = load_config({"terms": {"fit": {"type": "value", "inputs": [written]}}}).terms
    return term.inputs["input"]


def applied(written: Any) -> tuple[Transform, ...]:
    return route({"from": "x", "apply": written}).transforms


@pytest.mark.parametrize("written", ["heads.seg.logits[-1]", {"from": "heads.seg.logits[-1]"}])
def test_a_path_alone_is_a_route(written: Any) -> None:
    assert route(written) == Route(Path(("heads", "seg", "logits", -1)))


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


GOOD = {
    "number": [0, -1, 2.5, 3.4e38, -1e-45],
    "divisor": [1, -0.5],
    "whole": [0, -7, 2**31 - 1],
    "count": [1, 5],
    "dim": [0, -1, 3],
    "dims": [[0], [1, 0, -1]],
    "pair": [[0, 1], [1, 1]],
    "dtype": list(DTYPES),
}
BAD = {
    "number": [True, "1", None, float("nan"), float("inf"), [1], {"a": 1}, 10**400, 1e39, 1e-46],
    "divisor": [0, 0.0, -0.0, True, "2", None],
    "whole": [1.0, True, "1", 2**31, -(2**31), [1]],
    "count": [0, -1, 1.0, True, None],
    "dim": [1.0, "1", True, 2**40],
    "dims": [1, [1, 1], [0.0], ["a"], [True], [[0]]],
    "pair": [[0], [0, 1, 2], [], 1, [0, "1"]],
    "dtype": ["float", "torch.float32", "complex64", 32, None],
}
ARGUMENTS = [(name, argument) for name, declared in TRANSFORMS.items() for argument in declared]


def with_argument(name: str, argument: str, value: Any) -> dict[str, Any]:
    """A transform with one argument as given, and good values for what else it needs."""
    needed = {
        each.name: GOOD[each.kind][0] for each in TRANSFORMS[name] if each.default is REQUIRED
    }
    return {name: {**needed, argument: value}}


@pytest.mark.parametrize(
    ("name", "argument"), ARGUMENTS, ids=[f"{name} {each.name}" for name, each in ARGUMENTS]
)
def test_an_argument_takes_its_kind_and_nothing_else(name: str, argument: Any) -> None:
    for value in GOOD[argument.kind]:
        (transform,) = applied([with_argument(name, argument.name, value)])
        expected = tuple(value) if isinstance(value, list) else value
        assert dict(transform.arguments)[argument.name] == expected
    for value in BAD[argument.kind]:
        if value is None and argument.default is None:
            continue
        written = {"from": "x", "apply": [with_argument(name, argument.name, value)]}
        document = {"terms": {"fit": {"type": "value", "inputs": [written]}}}
        (found,) = examine(document).diagnostics
        assert found.code == "LR211", (value, found)
        assert found.path == f"terms.fit.inputs[0].apply[0].{name}.{argument.name}"
        assert "expected" in found.message


@pytest.mark.parametrize("name", [name for name, declared in TRANSFORMS.items() if declared])
def test_an_argument_without_default_must_be_there(name: str) -> None:
    required = [each.name for each in TRANSFORMS[name] if each.default is REQUIRED]
    document = {"terms": {"f": {"type": "value", "inputs": [{"from": "x", "apply": [name]}]}}}
    found = examine(document).diagnostics
    assert [each.code for each in found] == ["LR211"] * len(required)
    for each, missing in zip(found, required, strict=True):
        assert each.message.startswith(f"'{name}' needs '{missing}' (")


@pytest.mark.parametrize("name", [name for name, declared in TRANSFORMS.items() if not declared])
@pytest.mark.parametrize("value", [1, 0, False, "x", [1], {"dim": 1}])
def test_a_transform_without_arguments_takes_none(name: str, value: Any) -> None:
    inputs = [{"from": "x", "apply": [{name: value}]}]
    (found,) = examine({"terms": {"f": {"type": "value", "inputs": inputs}}}).diagnostics
    assert found.code == "LR211"
    assert found.message.startswith(f"'{name}' takes no argument, found ")


@pytest.mark.parametrize("key", ["mask", "sample_weight"])
def test_masks_and_weights_have_transforms_as_well(key: str) -> None:
    term = {"type": "mse", key: {"from": "m", "apply": [{"select": {"index": 0, "dim": 1}}]}}
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
