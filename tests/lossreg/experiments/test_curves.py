from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from matplotlib.image import imread

from lossreg.experiments.curves import draw_curves
from lossreg.experiments.recorder import Row
from lossreg.experiments.task import Measure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ACCURACY = Measure(
    name="accuracy",
    label="accuracy",
    per_sample=lambda values: values["right"],
    baseline=0.9,
    baseline_name="guessing",
    higher_is_better=True,
)


def row(step: int, terms: dict[str, float], held_out: Mapping[str, float] | None = None) -> Row:
    total = sum(terms.values())
    return Row(
        step=step, epoch=1, total=total, terms=terms, weighted=terms, held_out=dict(held_out or {})
    )


ROWS = {
    "usual": [row(i, {"a": 3.0 / i, "b": 0.01 / i}, {"accuracy": i / 9}) for i in range(1, 9)],
    "one row": [row(1, {"a": 1.0})],
    "never measured": [row(1, {"a": 1.0}), row(2, {"a": 0.5})],
    "nan": [row(1, {"a": 1.0}, {"accuracy": math.nan}), row(2, {"a": math.nan})],
    "nan alone": [row(1, {"a": math.nan}, {"accuracy": math.nan})],
    "infinite": [row(1, {"a": 1.0}), row(2, {"a": math.inf}), row(3, {"a": -math.inf})],
    "huge": [row(1, {"a": 1e-30}), row(2, {"a": 1e38})],
    "negative": [row(1, {"a": -5.0, "b": 1000.0}), row(2, {"a": -6.0, "b": 1.0})],
    "zero": [row(1, {"a": 0.0}), row(2, {"a": 0.0})],
    "thirty terms": [row(i, {f"term_{k}": k / i for k in range(30)}) for i in (1, 2)],
    "odd names": [row(1, {"_hidden": 1.0, "-": 2.0}), row(2, {"_hidden": 1.0, "-": 2.0})],
}

# The others, nightly.
OFTEN = {"usual", "one row", "nan", "huge"}


# Warnings are errors here, so these hold that matplotlib has nothing to complain of as well.
@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(rows, id=name, marks=[pytest.mark.nightly] * (name not in OFTEN))
        for name, rows in ROWS.items()
    ],
)
def test_a_picture_comes_of_whatever_was_recorded(rows: list[Row], tmp_path: Path) -> None:
    file = tmp_path / "curves.png"
    draw_curves(rows, [ACCURACY], file, "digits")
    picture = imread(file)
    assert picture.shape[0] > 500
    assert picture[..., :3].std() > 0.01


@pytest.mark.parametrize(
    "count", [0, 2, *(pytest.param(count, marks=pytest.mark.nightly) for count in (1, 3))]
)
def test_there_is_a_panel_for_each_measure(count: int, tmp_path: Path) -> None:
    file = tmp_path / "curves.png"
    draw_curves(ROWS["usual"], [ACCURACY] * count, file, "digits")
    heights = {0: 1, 1: 2, 2: 2, 3: 3}
    assert imread(file).shape[0] == pytest.approx(heights[count] * 3.3 * 150 + 45, abs=2)


@pytest.mark.parametrize(
    "title",
    [
        "$\\frac$",
        *(
            pytest.param(title, marks=pytest.mark.nightly)
            for title in ("a$b$c", "損失 🔥", "", "x" * 500)
        ),
    ],
)
def test_a_title_may_be_anything(title: str, tmp_path: Path) -> None:
    draw_curves(ROWS["usual"], [ACCURACY], tmp_path / "curves.png", title)
    assert imread(tmp_path / "curves.png").shape[0] > 500
