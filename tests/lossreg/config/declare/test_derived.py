"""`derive`: names are written out where paths begin with them."""

from __future__ import annotations

from typing import Any

import pytest

import lossreg
from lossreg.config.fingerprint import in_words
from lossreg.errors import ConfigError

RATIO = {"from": "logp", "apply": [{"sub": "old_logp"}, "exp"]}
FIT = {"type": "mse", "inputs": ["ratio", "y"]}


def read(derive: dict[str, Any], terms: dict[str, Any], **options: Any) -> dict[str, Any]:
    return dict(in_words(lossreg.load_config({"derive": derive, "terms": terms, **options})))


def test_a_name_is_its_route_wherever_a_path_may_stand() -> None:
    clamped = {"from": "ratio", "apply": [{"clamp": {"max": 1.2}}, {"mul": "ratio"}]}
    below = {"from": "ratio", "apply": [{"lt": 10}]}
    words = read(
        {"ratio": RATIO, "n": "count"},
        {
            "fit": {
                "type": "mse",
                "inputs": [{"from": "y", "apply": [{"minimum": clamped}]}, "ratio"],
                "mask": {**below, "dims": [0]},
                "sample_weight": "ratio",
                "divide_by": {"number": "n"},
            }
        },
    )
    ratio = "logp | sub(by=old_logp) | exp"
    assert words["fit"] == {
        "type": "mse",
        "inputs.input": f"y | minimum(other={ratio} | clamp(max=1.2) | mul(by={ratio}))",
        "inputs.target": ratio,
        "mask": f"{ratio} | lt(other=10) at [0]",
        "sample_weight": ratio,
        "divide_by": "{number: count}",
    }


def test_the_fingerprint_is_that_of_the_routes_written_out() -> None:
    derived = lossreg.build({"derive": {"ratio": RATIO}, "terms": {"fit": FIT}})
    written = lossreg.build({"terms": {"fit": {**FIT, "inputs": [RATIO, "y"]}}})
    assert derived.fingerprint == written.fingerprint


def test_names_use_names_before_and_after_them() -> None:
    words = read(
        {
            "last": {"from": "ratio", "apply": [{"add": "first"}]},
            "ratio": RATIO,
            "first": {"from": "ratio", "apply": ["log"]},
        },
        {"fit": {"type": "mse", "inputs": ["last", "y"]}},
    )
    ratio = "logp | sub(by=old_logp) | exp"
    assert words["fit"]["inputs.input"] == f"{ratio} | add(by={ratio} | log)"


def test_in_a_group_derived_names_go_first_and_start_at_the_steps_root() -> None:
    group = {"from": "deep", "divide_by": {"rows": "ratio"}, "terms": {"fit": FIT}}
    words = read({"ratio": RATIO}, {"group": group})
    assert words["group/fit"] == {
        "type": "mse",
        "inputs.input": "logp | sub(by=old_logp) | exp",
        "inputs.target": "deep.y",
        "divide_by": "{rows: logp | sub(by=old_logp) | exp}",
    }


def test_detach_and_frozen_hold_for_derived_names() -> None:
    words = read(
        {"ratio": RATIO, "half": {"from": "w", "apply": [{"mul": 0.5}]}},
        {"fit": {"type": "mse", "inputs": ["ratio", "half"], "detach": ["input"]}},
        frozen=["old_logp", "half"],
    )
    assert words["fit"]["inputs.input"] == "logp | sub(by=old_logp | detach) | exp | detach"
    assert words["fit"]["inputs.target"] == "w | mul(by=0.5) | detach"


def test_a_disabled_term_reads_its_names() -> None:
    disabled = {**FIT, "enabled": False}
    read({"ratio": RATIO}, {"fit": disabled, "other": {"type": "mse"}})


@pytest.mark.parametrize("twice", [False, True])
def test_names_that_would_be_written_out_without_end_are_refused(twice: bool) -> None:
    """Sixty lines that double each time, or a thousand that are one after the other."""
    derive: dict[str, Any] = {"a0": {"from": "x", "apply": ["exp"]}}
    for index in range(1, 60 if twice else 1000):
        before = f"a{index - 1}"
        derive[f"a{index}"] = {"from": before, "apply": [{"add": before if twice else 1}]}
    last = list(derive)[-1]
    with pytest.raises(ConfigError, match="more than 50 transforms and names") as caught:
        read(derive, {"fit": {"type": "mse", "inputs": [last, "y"]}})
    (fault,) = caught.value.diagnostics  # where it begins, and not at each name that reads it
    assert (fault.code, fault.path) == ("LR216", "derive.a4" if twice else "derive.a25")
