"""`active`: the times are read, joined with those of groups, and part of the fingerprint."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

import lossreg
from lossreg.config.declare.active import _common
from lossreg.config.fingerprint import in_words
from lossreg.config.models import Active, TermConfig
from lossreg.errors import ConfigError


def read(**terms: Any) -> dict[str, TermConfig]:
    return {term.name: term for term in lossreg.load_config({"terms": terms}).terms}


def fit(**active: Any) -> dict[str, Any]:
    return {"type": "mse", "active": active}


def test_times_are_read_by_step_and_by_epoch() -> None:
    terms = read(
        always={"type": "mse"},
        late=fit(from_step=10_000, until_step=50_000, every_steps=16, times_every=True),
        epochs=fit(until_epoch=5, every_epochs=2),
    )
    assert terms["always"].active == ()
    assert terms["late"].active == (Active(10_000, 50_000, 16, times_every=True),)
    assert terms["epochs"].active == (Active(0, 5, 2, unit="epoch"),)


def test_a_term_has_the_times_of_its_groups_as_well() -> None:
    inner = {"active": {"every_steps": 2}, "terms": {"fit": fit(until_step=9), "rest": fit()}}
    inner["terms"]["rest"] = {"type": "mse"}
    terms = read(outer={"active": {"from_epoch": 1}, "terms": {"inner": inner}})
    outer, every = Active(1, unit="epoch"), Active(every=2)
    assert terms["outer/inner/fit"].active == (outer, every, Active(stop=9))
    assert terms["outer/inner/rest"].active == (outer, every)


def test_it_is_half_open_and_divides_from_its_start() -> None:
    active = Active(start=3, stop=9, every=2)
    assert [t for t in range(12) if active.holds(t, 0, training=True)] == [3, 5, 7]
    assert [t for t in range(12) if active.holds(t, 0, training=False)] == [*range(3, 9)]
    by_epoch = active._replace(unit="epoch")
    assert [t for t in range(12) if by_epoch.holds(0, t, training=True)] == [3, 5, 7]


def test_common_times_are_those_at_which_both_hold() -> None:
    """Compared with trying every step."""
    choices = [
        Active(start, stop, every)
        for start, stop, every in product((0, 1, 4), (None, 6, 13), (1, 2, 3, 6))
    ]
    for first, second in product(choices, choices):
        both = [
            t
            for t in range(60)
            if first.holds(t, 0, training=True) and second.holds(t, 0, training=True)
        ]
        common = _common(first, second)
        if common is None:
            assert both == []
        else:
            assert both == [t for t in range(60) if common.holds(t, 0, training=True)]


def test_three_times_of_which_each_two_meet_may_never_meet() -> None:
    term = {"type": "mse", "active": {"until_step": 4}}
    inner = {"active": {"every_steps": 3}, "terms": {"fit": term}}
    group = {"active": {"from_step": 1, "every_steps": 2}, "terms": {"inner": inner}}
    assert read(group={**group, "terms": {"inner": inner}})  # at 3
    term["active"] = {"until_step": 3}
    with pytest.raises(ConfigError, match="with its groups the term is never active"):
        read(group=group)


def test_the_fingerprint_counts_times_that_change_something() -> None:
    def words(term: dict[str, Any]) -> dict[str, str]:
        return in_words(lossreg.load_config({"terms": {"fit": term}}))["fit"]

    assert words(fit(from_step=0)) == words({"type": "mse"}) == words(fit(every_epochs=1))
    assert words(fit(from_step=2, every_steps=4, times_every=True))["active"] == (
        "{from_step: 2, every_steps: 4, times_every: true}"
    )
    swapped = [
        {"terms": {"g": {"active": outer, "terms": {"fit": fit(**inner)}}}}
        for outer, inner in (
            ({"from_step": 2}, {"from_epoch": 1}),
            ({"from_epoch": 1}, {"from_step": 2}),
        )
    ]
    first, second = (in_words(lossreg.load_config(document)) for document in swapped)
    assert first == second
