from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from fake_distributions import Site, plugin
from lossreg.config import examine, load_config
from lossreg.registry import Registry

if TYPE_CHECKING:
    from lossreg.config.models import TermConfig

REGISTRY = Registry.installed()
# A loss without an unreduced form has nothing to choose from.
LOSSES = sorted(name for name in REGISTRY if "none" in REGISTRY[name].reductions)
WITHOUT_TARGETS = [name for name in LOSSES if REGISTRY[name].target is None]


def codes(**term: Any) -> list[tuple[str, str]]:
    found = examine({"terms": {"fit": term}}).diagnostics
    return [(each.code, each.path) for each in found if each.severity == "error"]


def read(**term: Any) -> TermConfig:
    (found,) = load_config({"terms": {"fit": {"type": "mse", **term}}}).terms
    return found


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("key", ["mask", "sample_weight"])
def test_entries_can_be_chosen_where_there_are_some(name: str, key: str) -> None:
    assert codes(type=name, divide_by="kept", **{key: "m"}) == []


@pytest.mark.parametrize("name", LOSSES)
def test_targets_can_be_ignored_where_each_entry_has_one(name: str) -> None:
    refused = name in WITHOUT_TARGETS
    assert codes(type=name, ignore=0) == [("LR213", "terms.fit.ignore")] * refused


@pytest.mark.parametrize("name", LOSSES)
def test_every_built_in_has_a_sum_to_be_divided(name: str) -> None:
    assert codes(type=name, divide_by={"number": "n"}) == []


def test_a_loss_of_one_form_offers_nothing_of_it(site: Site) -> None:
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": plugin("odd")})
    term = {"mask": "m", "sample_weight": "w", "ignore": 0, "divide_by": {"number": "n"}}
    assert codes(type="odd", **term) == [
        ("LR213", f"terms.fit.{key}") for key in ("mask", "sample_weight", "ignore", "divide_by")
    ]


@pytest.mark.parametrize("value", [0, -100, 255, 0.5])
def test_ignore_is_a_number(value: float) -> None:
    assert read(ignore=value).ignore == value


@pytest.mark.parametrize("value", ["nan", math.nan])
def test_ignore_may_be_nan(value: Any) -> None:
    found = read(ignore=value).ignore
    assert found is not None
    assert math.isnan(found)


@pytest.mark.parametrize(
    ("value", "code"),
    [("NaN", "LR201"), (".nan", "LR201"), (True, "LR201"), (None, "LR201"), (math.inf, "LR202")],
)
def test_ignore_is_nothing_else(value: Any, code: str) -> None:
    assert codes(type="mse", ignore=value) == [(code, "terms.fit.ignore")]


@pytest.mark.parametrize(
    "term",
    [
        {},
        {"mask": "m"},
        {"sample_weight": "m", "divide_by": "weights"},
        {"ignore": 0},
        {"divide_by": "rows"},
        {"divide_by": {"number": "n"}},
    ],
    ids=str,
)
def test_lossreg_reduces_where_torch_cannot(term: dict[str, Any]) -> None:
    assert read(**term).reduced_by_lossreg == bool(term)


@pytest.mark.parametrize("checks", ["never", "first", "always"])
@pytest.mark.parametrize("on_nonfinite", ["raise", "warn", "ignore"])
def test_options_of_the_composite(checks: str, on_nonfinite: str) -> None:
    document = {"checks": checks, "on_nonfinite": on_nonfinite, "terms": {"fit": {"type": "mse"}}}
    config = load_config(document)
    assert (config.checks, config.on_nonfinite) == (checks, on_nonfinite)


def test_options_have_defaults() -> None:
    config = load_config({"terms": {"fit": {"type": "mse"}}})
    assert (config.checks, config.on_nonfinite) == ("first", "raise")


@pytest.mark.parametrize("key", ["checks", "on_nonfinite"])
@pytest.mark.parametrize("value", ["no", True, False, None, 1, ["never"], "First"])
def test_options_are_closed(key: str, value: Any) -> None:
    found = examine({key: value, "terms": {"fit": {"type": "mse"}}}).diagnostics
    assert [(each.code, each.path) for each in found] == [("LR203", key)]
    assert found[0].message.startswith("expected ")


def test_every_fault_of_a_term_is_told_at_once() -> None:
    term = {
        "type": "value",
        "weight": {"schedule": "cosin", "start": 0.0, "end": 1.0, "steps": 9},
        "inputs": [{"from": "x", "apply": ["sofmax", {"div": 0}]}],
        "mask": 3,
        "ignore": "x",
        "divide_by": 4,
        "optional": "yes",
    }
    found = {code for code, _ in codes(**term)}
    assert found == {"LR201", "LR203", "LR206", "LR210", "LR211", "LR212", "LR213"}
