"""Arguments of transforms, read against a table made here: what an entry can say is enforced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from lossreg.config import examine, load_config
from lossreg.runtime.routing import Router
from lossreg.vocabulary.arguments import NUMBER, REQUIRED, WHOLE, Argument, Violation
from lossreg.vocabulary.transforms import TRANSFORMS, TransformDefinition


def check_limits(values: Mapping[str, Any]) -> Violation | None:
    """At least one limit; the lower one below the upper one."""
    low, high = values["min"], values["max"]
    if low is None and high is None:
        return Violation("'clamp' needs 'min', 'max' or both")
    if low is not None and high is not None and low >= high:
        return Violation(f"expected a 'min' below 'max' ({high}), found {low}", "min")
    return None


CLAMP = TransformDefinition(
    "clamp",
    "numbers within limits",
    lambda tensor, low, high: tensor.clamp(low, high),
    (Argument("min", NUMBER, None), Argument("max", NUMBER, None)),
    rule=check_limits,
    by_name=True,
)
# Its rule points at an argument that need not be written.
ROLL = TransformDefinition(
    "roll",
    "places moved around",
    lambda tensor, by, dim: tensor.roll(by, dim),
    (Argument("by", WHOLE, 0), Argument("dim", WHOLE)),
    rule=lambda values: None if values["by"] else Violation("'roll' by 0 does nothing", "by"),
)


@pytest.fixture(autouse=True)
def _in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    for definition in (CLAMP, ROLL):
        monkeypatch.setitem(TRANSFORMS, definition.name, definition)


def document(*written: Any) -> dict[str, Any]:
    inputs = [{"from": "x", "apply": list(written)}]
    return {"terms": {"fit": {"type": "value", "inputs": inputs}}}


def faults(*written: Any) -> list[tuple[str, str, str]]:
    start = "terms.fit.inputs[0].apply"
    found = examine(document(*written)).diagnostics
    return [(fault.code, fault.path.removeprefix(start), fault.message) for fault in found]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"min": 0}, [0.0, 0.5, 3.0]),
        ({"max": 1}, [-2.0, 0.5, 1.0]),
        ({"max": 1, "min": -1}, [-1.0, 0.5, 1.0]),
        ({"min": None, "max": 1}, [-2.0, 0.5, 1.0]),
    ],
    ids=str,
)
def test_arguments_run_in_the_order_of_the_entry(
    written: dict[str, Any], expected: list[float]
) -> None:
    (term,) = load_config(document({"clamp": written})).terms
    router = Router()
    place = router.add(term.inputs["input"], "fit", "input", optional=False)
    clamped = router.run({"x": torch.tensor([-2.0, 0.5, 3.0])})[place]
    assert clamped is not None
    assert clamped.tolist() == expected


@pytest.mark.parametrize(
    "written", ["clamp", {"clamp": None}, {"clamp": {}}, {"clamp": {"min": None}}]
)
def test_a_rule_may_ask_for_one_of_several(written: Any) -> None:
    assert faults(written) == [("LR211", "[0].clamp", "'clamp' needs 'min', 'max' or both")]


def test_a_rule_points_at_an_argument_that_is_written() -> None:
    message = "expected a 'min' below 'max' (1), found 2"
    assert faults("detach", {"clamp": {"min": 2, "max": 1}}) == [
        ("LR211", "[1].clamp.min", message)
    ]
    text = b"terms: {fit: {type: value, inputs: [{from: x, apply: {clamp: {min: 2, max: 1}}}]}}"
    (fault,) = examine(text).diagnostics
    assert (fault.line, fault.column) == (1, text.index(b"2, max") + 1)


def test_a_rule_about_an_argument_that_is_not_written_points_at_the_transform() -> None:
    assert faults({"roll": {"dim": 1}}) == [("LR211", "[0].roll", "'roll' by 0 does nothing")]
    assert faults({"roll": {"dim": 1, "by": 0}})[0][1] == "[0].roll.by"


def test_a_rule_sees_only_arguments_that_are_right_one_by_one() -> None:
    ((_, place, message),) = faults({"clamp": {"min": "2", "max": 1}})
    assert place == "[0].clamp.min"
    assert message == (
        "expected a finite number, a path or a schedule, found the string '2'; leave out the quotes"
    )
    assert [place for _, place, _ in faults({"roll": {"by": 0}})] == ["[0].roll"]


@pytest.mark.parametrize("value", [0.5, 0, False, "0.5", [0, 1]])
def test_a_single_value_without_a_name_may_be_refused(value: Any) -> None:
    ((code, place, message),) = faults({"clamp": value})
    assert (code, place) == ("LR211", "[0].clamp")
    assert message.startswith("'clamp' takes its arguments by name, found ")
    assert message.endswith("; write {clamp: {min: ...}} or {clamp: {max: ...}}")


@pytest.mark.parametrize(
    ("name", "hint"), [("minn", "did you mean 'min'?"), ("lowest", "expected one of min, max")]
)
def test_an_unknown_argument_is_all_that_is_said(name: str, hint: str) -> None:
    assert faults({"clamp": {name: 0}}) == [("LR104", f"[0].clamp.{name}", f"unknown key; {hint}")]


def test_what_is_required_says_of_what_kind() -> None:
    assert ROLL.arguments[1].default is REQUIRED
    ((_, _, message),) = faults({"roll": 1})
    assert message == "'roll' needs 'dim' (a whole number); write {roll: {by: 1, dim: ...}}"


@pytest.mark.parametrize(
    ("value", "found"),
    [([1, 2], "[1, 2]"), (["a"], "[the string 'a']"), ({"a": 1}, "a mapping"), ([[1]], "[a list]")],
)
def test_what_is_written_is_described(value: Any, found: str) -> None:
    ((_, _, message),) = faults({"roll": {"by": value, "dim": 0}})
    assert message == f"expected a whole number, found {found}"
