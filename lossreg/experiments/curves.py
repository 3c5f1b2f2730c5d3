"""The picture of a run: the curve of each term and of each measure."""

from __future__ import annotations

import io
import math
import warnings
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lossreg.experiments.style import COLOURS, DASHES, FAINT, INK, RATIO_FOR_LOG, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lossreg.experiments.recorder import Row
    from lossreg.experiments.task import Measure

__all__ = ["draw_curves"]

_COLUMNS = 2
_PANEL_SIZE = (5.2, 3.3)


def draw_curves(rows: Sequence[Row], measures: Sequence[Measure], file: Path, title: str) -> None:
    """Draw a run: contributions to the total, raw terms, and each measure with its baseline.

    Values that are not finite leave a gap.

    Args:
        rows: The recorded rows, oldest first; at least one.
        measures: The measures on held-out data.
        file: The PNG to write.
        title: The title above the panels.
    """
    count = 2 + len(measures)
    lines = math.ceil(count / _COLUMNS)
    figure = Figure(
        figsize=(_PANEL_SIZE[0] * _COLUMNS, _PANEL_SIZE[1] * lines + 0.3), layout="constrained"
    )
    FigureCanvasAgg(figure)
    figure.suptitle(
        title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK, parse_math=False
    )
    panels = [figure.add_subplot(lines, _COLUMNS, index + 1) for index in range(count)]
    _draw_weighted(panels[0], rows)
    _draw_raw(panels[1], rows)
    for panel, measure in zip(panels[2:], measures, strict=True):
        _draw_measure(panel, rows, measure)
    for panel in panels:
        tidy(panel, "step")
        panel.set_xlim(0, rows[-1].step * 1.03)
    picture = io.BytesIO()
    with warnings.catch_warnings():
        # The title is a file's name, which may have letters that the font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(picture, dpi=150)
    file.write_bytes(picture.getvalue())  # at once, so that an interrupt leaves no partial file


def _draw_weighted(panel: Any, rows: Sequence[Row]) -> None:
    panel.set_title("What the optimizer sees: weight times term")
    _draw_terms(panel, rows, "weighted")
    _line(panel, [(row.step, row.total) for row in rows], color=INK, label="total")
    panel.set_ylim(bottom=min(0.0, panel.get_ylim()[0]))
    panel.set_ylabel("contribution to the total")
    panel.legend(frameon=False, fontsize=9)


def _draw_raw(panel: Any, rows: Sequence[Row]) -> None:
    panel.set_title("Each term before its weight")
    _draw_terms(panel, rows, "terms")
    values = [value for row in rows for value in row.terms.values() if math.isfinite(value)]
    if values and min(values) > 0 and max(values) > RATIO_FOR_LOG * min(values):
        panel.set_yscale("log")
        panel.set_ylabel("raw value (log scale)")
    else:
        panel.set_ylabel("raw value")
    panel.legend(frameon=False, fontsize=9)


def _draw_terms(panel: Any, rows: Sequence[Row], attribute: str) -> None:
    for index, name in enumerate(rows[0].terms):
        points = [(row.step, getattr(row, attribute)[name]) for row in rows]
        # Each round through the colours has its own dashes.
        turn, colour = divmod(index, len(COLOURS))
        dashes = DASHES[turn % len(DASHES)]
        _line(panel, points, color=COLOURS[colour], linestyle=dashes, label=name)


def _draw_measure(panel: Any, rows: Sequence[Row], measure: Measure) -> None:
    better = "higher" if measure.higher_is_better else "lower"
    panel.set_title(f"Held-out {measure.label}, {better} is better")
    points = [(row.step, row.held_out[measure.name]) for row in rows if row.held_out]
    _line(panel, points, color=COLOURS[0], marker="o", markersize=3, label="this run")
    panel.axhline(
        measure.baseline, color=FAINT, linewidth=1.2, linestyle="--", label=measure.baseline_name
    )
    if measure.name == "accuracy":
        panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    else:
        panel.set_ylim(bottom=0)
    panel.set_ylabel(measure.label)
    panel.legend(frameon=False, fontsize=9)


def _line(panel: Any, points: Sequence[tuple[int, float]], **style: Any) -> None:
    if len(points) == 1:
        style["marker"] = "o"  # a line through one point is invisible
    steps, values = [step for step, _ in points], [value for _, value in points]
    panel.plot(steps, values, linewidth=1.6, **style)
