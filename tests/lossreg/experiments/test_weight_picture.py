"""The picture of the weights: its form, and that nothing overlaps or is cut off."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from lossreg.config import load_config
from lossreg.experiments.weight_lines import timeline
from lossreg.experiments.weight_picture import _apart, weights_picture


def picture(terms: dict[str, Any], form: str = "svg") -> bytes:
    return weights_picture(timeline({"": load_config({"terms": terms})}), "loss.yaml", form)


def term(**keys: Any) -> dict[str, Any]:
    return {"type": "value", "inputs": ["x"], **keys}


def test_png_and_svg_are_what_they_are_called() -> None:
    assert picture({"a": term()}, "png").startswith(b"\x89PNG")
    svg = picture({"a": term()})
    assert b"<svg" in svg
    assert b"<dc:date>" not in svg
    assert svg == picture({"a": term()})
    assert svg != picture({"a": term(weight=2.0)})


@pytest.mark.parametrize(
    "weight",
    [
        0.0,
        {"schedule": "exponential", "start": 100.0, "end": 1e-3, "steps": 9},
        {"schedule": "linear", "start": 0.0, "end": 1000.0, "steps": 9},
    ],
)
def test_each_scale_is_drawn(weight: Any) -> None:
    """Warnings are errors, so that a scale that drops zeros or negative numbers fails."""
    terms = {"a": term(weight=weight), "b": term(weight=0.5), "c": term(maximize=True)}
    assert picture(terms)


def test_there_is_room_for_wide_letters() -> None:
    narrow, wide = (picture({letter * 40: term()}, "png") for letter in "iW")
    inches = [int.from_bytes(png[16:20], "big") / 150 for png in (narrow, wide)]
    assert inches[1] - inches[0] > 40 * 0.07


def test_odd_terms_are_drawn() -> None:
    terms = {
        "never": term(active={"from_step": 90}),
        "with-a-dash": term(weight={"learned": "log_variance"}),
        "step": term(weight={"from": "lam"}),
        "x" * 100: term(active={"every_steps": 2}),
        **{f"term_{index}": term(weight=index + 1.0) for index in range(40)},
    }
    config = load_config({"terms": terms})
    assert weights_picture(timeline({"": config}, steps=50), "日本 $b$.yaml", "png")


def test_labels_are_apart_and_in_the_order_of_their_lines() -> None:
    ends, heights = [1.0, 0.1, 1.0, 0.95, 0.0], [0.3, 0.15, 0.15, 0.15, 0.15]
    places = _apart(ends, heights, 2.0)
    spans = sorted((place - h / 2, place + h / 2) for place, h in zip(places, heights, strict=True))
    assert all(above >= below for (_, below), (above, _) in pairwise(spans))
    assert places[4] < places[1] < places[3] < places[2] < places[0]
    assert spans[0][0] >= -0.1
    assert spans[-1][1] <= 2.1
