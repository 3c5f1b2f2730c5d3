"""Panels with the curves of an objective: contributions, raw terms, weights. Needs matplotlib."""

from __future__ import annotations

import importlib.util
import io
import math
import warnings
from typing import Any, TypeAlias

from lossreg.errors import MissingExtraError

if importlib.util.find_spec("matplotlib") is None:
    raise MissingExtraError(__name__, extra="experiments", missing="matplotlib")

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lossreg.integrations.style import COLOURS, DASHES, INK, RATIO_FOR_LOG, tidy

__all__ = [
    "Points",
    "draw_contributions",
    "draw_raw",
    "draw_weights",
    "line",
    "make_panels",
    "save",
]

Points: TypeAlias = "Sequence[tuple[float, float]]"
"""Steps and values; one that is not finite leaves a gap."""

_PANEL_SIZE = (5.2, 3.3)


def make_panels(count: int, columns: int, title: str) -> tuple[Any, list[Any]]:
    """A figure and its panels, in rows of so many columns.

    Args:
        count: How many panels.
        columns: How many are in a row.
        title: The title above the panels.
    """
    lines = math.ceil(count / columns)
    figure = Figure(
        figsize=(_PANEL_SIZE[0] * columns, _PANEL_SIZE[1] * lines + 0.3), layout="constrained"
    )
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(
            title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK, parse_math=False
        )
    return figure, [figure.add_subplot(lines, columns, index + 1) for index in range(count)]


def save(figure: Any, file: Path, last_step: float) -> None:
    """Write a figure as PNG.

    Args:
        figure: From `make_panels`.
        file: The PNG.
        last_step: Where all panels end.
    """
    for panel in figure.axes:
        tidy(panel, "step")
        panel.set_xlim(0, max(last_step, 1) * 1.03)
    picture = io.BytesIO()
    with warnings.catch_warnings():
        # The title may be a file's name, which may have letters that the font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(picture, dpi=150)
    file.write_bytes(picture.getvalue())  # at once, so that an interrupt leaves no partial file


def draw_contributions(panel: Any, weighted: Mapping[str, Points], total: Points) -> None:
    """Draw what each term adds to the total, and the total."""
    panel.set_title("What the optimizer sees: weight times term")
    _draw_terms(panel, weighted)
    line(panel, total, color=INK, label="total")
    panel.set_ylim(bottom=min(0.0, panel.get_ylim()[0]))
    panel.set_ylabel("contribution to the total")
    panel.legend(frameon=False, fontsize=9)


def draw_raw(panel: Any, terms: Mapping[str, Points]) -> None:
    """Draw each term's raw value, on a logarithmic axis if they differ much."""
    panel.set_title("Each term before its weight")
    _draw_terms(panel, terms)
    values = [value for points in terms.values() for _, value in points if math.isfinite(value)]
    if values and min(values) > 0 and max(values) > RATIO_FOR_LOG * min(values):
        panel.set_yscale("log")
        panel.set_ylabel("raw value (log scale)")
    else:
        panel.set_ylabel("raw value")
    panel.legend(frameon=False, fontsize=9)


def draw_weights(panel: Any, weights: Mapping[str, Points]) -> None:
    """Draw each term's weight."""
    panel.set_title("Each term's weight")
    _draw_terms(panel, weights)
    bottom, top = panel.get_ylim()
    panel.set_ylim(min(0.0, bottom), max(0.0, top))
    panel.set_ylabel("weight")
    panel.legend(frameon=False, fontsize=9)


def _draw_terms(panel: Any, terms: Mapping[str, Points]) -> None:
    for index, (name, points) in enumerate(terms.items()):
        # Each round through the colours has its own dashes.
        turn, colour = divmod(index, len(COLOURS))
        dashes = DASHES[turn % len(DASHES)]
        line(panel, points, color=COLOURS[colour], linestyle=dashes, label=name)


def line(panel: Any, points: Points, **style: Any) -> None:
    """Draw one curve."""
    if len(points) == 1:
        style["marker"] = "o"  # a line through one point is invisible
    steps, values = [step for step, _ in points], [value for _, value in points]
    panel.plot(steps, values, linewidth=1.6, **style)
