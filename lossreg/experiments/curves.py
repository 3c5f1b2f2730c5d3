"""The picture of a run: the curve of each term and of each measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.ticker import PercentFormatter

from lossreg.integrations.curves import (
    Points,
    draw_contributions,
    draw_raw,
    line,
    make_panels,
    save,
)
from lossreg.integrations.style import COLOURS, FAINT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lossreg.experiments.recorder import Row
    from lossreg.experiments.task import Measure

__all__ = ["draw_curves"]

_COLUMNS = 2


def draw_curves(rows: Sequence[Row], measures: Sequence[Measure], file: Path, title: str) -> None:
    """Draw a run: contributions to the total, raw terms, and each measure with its baseline.

    Values that are not finite leave a gap.

    Args:
        rows: The recorded rows, oldest first; at least one.
        measures: The measures on held-out data.
        file: The PNG to write.
        title: The title above the panels.
    """
    figure, panels = make_panels(2 + len(measures), _COLUMNS, title)
    total = [(row.step, row.total) for row in rows]
    draw_contributions(panels[0], _terms(rows, "weighted"), total)
    draw_raw(panels[1], _terms(rows, "terms"))
    for panel, measure in zip(panels[2:], measures, strict=True):
        _draw_measure(panel, rows, measure)
    save(figure, file, rows[-1].step)


def _terms(rows: Sequence[Row], attribute: str) -> dict[str, Points]:
    return {
        name: [(row.step, getattr(row, attribute)[name]) for row in rows] for name in rows[0].terms
    }


def _draw_measure(panel: Any, rows: Sequence[Row], measure: Measure) -> None:
    better = "higher" if measure.higher_is_better else "lower"
    panel.set_title(f"Held-out {measure.label}, {better} is better")
    points = [(row.step, row.held_out[measure.name]) for row in rows if row.held_out]
    line(panel, points, color=COLOURS[0], marker="o", markersize=3, label="this run")
    panel.axhline(
        measure.baseline, color=FAINT, linewidth=1.2, linestyle="--", label=measure.baseline_name
    )
    if measure.name == "accuracy":
        panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    else:
        panel.set_ylim(bottom=0)
    panel.set_ylabel(measure.label)
    panel.legend(frameon=False, fontsize=9)
