"""What was logged, and its picture."""

from __future__ import annotations

import importlib
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.image import imread

import lossreg
from lossreg.errors import MissingExtraError
from lossreg.integrations import curves
from lossreg.integrations.history import History

TERMS: dict[str, Any] = {
    "fit": {"type": "mse", "inputs": ["x", "y"], "weight": {"learned": "log_variance"}},
    "heads": {
        "terms": {
            "small": {
                "type": "l1",
                "inputs": ["x", "y"],
                "weight": {"schedule": "linear", "start": 0.0, "end": 1.0, "steps": 4},
            }
        }
    },
}


def logged(steps: int, prefix: str = "", **how: Any) -> list[dict[str, Any]]:
    loss = lossreg.build({"terms": TERMS})
    rows = []
    for step in range(steps):
        rows.append(loss(x=torch.full((2,), 2.0 - step), y=torch.zeros(2)).log_dict(prefix, **how))
        loss.step()
    return rows


@pytest.mark.parametrize("numbers", [False, True])
@pytest.mark.parametrize("prefix", ["", "train/", "a/b/"])
def test_curves_are_what_was_logged(prefix: str, numbers: bool) -> None:
    history = History()
    for row in logged(4, prefix, numbers=numbers):
        history.add(row)
    found = history.curves(prefix)
    assert list(found) == [key.removeprefix(prefix) for key in row]
    assert found["loss/fit"] == [(1, 4.0), (2, 1.0), (3, 0.0), (4, 1.0)]
    assert found["weight/heads/small"] == [(1, 0.0), (2, 0.25), (3, 0.5), (4, 0.75)]
    assert found["weighted/heads/small"] == [(1, 0.0), (2, 0.25), (3, 0.0), (4, 0.75)]


def test_tensors_are_read_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, history = logged(2), History()
    with monkeypatch.context() as patch:
        for name in ("item", "tolist", "__float__", "cpu"):
            patch.setattr(torch.Tensor, name, None)
        for row in rows:
            history.add(row, 7)
    assert history.curves()["loss/fit"] == [(7, 4.0), (7, 1.0)]


def drawn(history: History, monkeypatch: pytest.MonkeyPatch, file: Path) -> list[Any]:
    """The panels of a picture."""
    figures = []
    monkeypatch.setattr(
        curves,
        "save",
        lambda figure, *rest, save=curves.save: figures.append(figure) or save(figure, *rest),
    )
    history.draw(file, "a title")
    (figure,) = figures
    return figure.axes


def lines(panel: Any) -> dict[str, list[float]]:
    return {line.get_label(): list(line.get_ydata()) for line in panel.lines}


def test_a_picture_has_contributions_raw_values_and_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History()
    for step, row in enumerate(logged(4, "train/"), 1):
        history.add(row, step)
    history.add(logged(1, "val/", numbers=True)[0], 4)
    panels = drawn(history, monkeypatch, tmp_path / "curves.png")
    assert [panel.get_title() for panel in panels] == [
        f"{prefix}: {subject}"
        for prefix in ("train", "val")
        for subject in ("weight times term", "each term before its weight", "each term's weight")
    ]
    contributions, raw, weights = map(lines, panels[:3])
    assert list(contributions) == ["fit", "heads/small", "regularizer/fit", "total"]
    summed = [sum(parts) for parts in zip(*list(contributions.values())[:3], strict=True)]
    assert contributions["total"] == pytest.approx(summed)
    assert raw == {"fit": [4.0, 1.0, 0.0, 1.0], "heads/small": [2.0, 1.0, 0.0, 1.0]}
    assert weights == {"fit": [1.0] * 4, "heads/small": [0.0, 0.25, 0.5, 0.75]}
    picture = imread(tmp_path / "curves.png")
    assert picture.shape[:2] == (pytest.approx(2 * 3.3 * 150 + 45, abs=2), 3 * 5.2 * 150)
    assert picture[..., :3].std() > 0.01


@pytest.mark.parametrize("value", [math.nan, math.inf, -1e30, 0.0])
def test_any_value_is_drawn(value: float, tmp_path: Path) -> None:
    history = History()
    keys = logged(1)[0]
    history.add(dict.fromkeys(keys, value))
    history.draw(str(tmp_path / "curves.png"))
    assert imread(tmp_path / "curves.png").shape[0] > 400


def test_a_csv_file_of_another_logger_is_read(tmp_path: Path) -> None:
    # Lightning leaves cells empty, has columns of others, and rows without the objective.
    file = tmp_path / "metrics.csv"
    file.write_text(
        "epoch,accuracy,step,train/loss/total,train/loss/fit,train/weight/fit,train/weighted/fit\n"
        "0,,9,2.0,4.0,0.5,2.0\n"
        "0,0.7,9,,,,\n"
        "1,,19,1.0,2.0,0.5,1.0\n",
        encoding="utf-8",
    )
    history = History.read_csv(file)
    assert history.curves("train/") == {
        "loss/total": [(9, 2.0), (19, 1.0)],
        "loss/fit": [(9, 4.0), (19, 2.0)],
        "weight/fit": [(9, 0.5), (19, 0.5)],
        "weighted/fit": [(9, 2.0), (19, 1.0)],
    }


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    history = History()
    with pytest.raises(ValueError, match="nothing to draw"):
        history.draw(tmp_path / "curves.png")
    with pytest.raises(ValueError, match="no key that ends with loss/total"):
        history.add({"accuracy": 0.5})
    history.add(logged(1, "train/")[0])
    with pytest.raises(ValueError, match="under the prefix 'val/', but under 'train/'"):
        history.curves("val/")


def test_without_matplotlib_only_the_picture_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "lossreg.integrations.curves"
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lossreg\[experiments\]'"):
        importlib.import_module(name)
    code = "import lossreg.integrations.history, sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
