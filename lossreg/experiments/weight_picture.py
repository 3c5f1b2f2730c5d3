"""The picture of the weights over time, as PNG or SVG, readable without colours."""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from lossreg.experiments.style import COLOURS, DASHES, FAINT, INK, RATIO_FOR_LOG, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lossreg.experiments.weight_lines import Line, Timeline

__all__ = ["weights_picture"]

# Inches, but for the font.
_PLOT = (6.0, 2.6)
_LEFT, _TOP, _BELOW = 0.75, 0.42, 0.6
_LEADER, _SAMPLE = 0.3, 0.42  # between a line's end and its label
_FONT = 9.0
_ROW, _LETTER = 0.165, 0.08
_LONGEST_LABEL = 44  # letters in a row
_LONGEST_TITLE = 72
_MARKERS = "osD^vP*X<>"
_MARKERS_ON_A_LINE = 6
_MOST_PULSES = 60  # that can be told apart


class _Label(NamedTuple):
    rows: list[str]
    weight: float
    style: dict[str, Any]

    @property
    def height(self) -> float:
        return len(self.rows) * _ROW


def weights_picture(timeline: Timeline, title: str, form: str) -> bytes:
    """Draw one panel for each objective; the same weights give the same SVG to the byte.

    Args:
        timeline: The weights.
        title: The title above the panels.
        form: `png` or `svg`.
    """
    # Lines that are one on top of the other get one label.
    panels = [(name, _alike(lines)) for name, lines in timeline.objectives.items()]
    labels = [_labels(groups) for _, groups in panels]
    heights = [max(_PLOT[1], sum(label.height + 0.04 for label in column)) for column in labels]
    widest = max(
        (_inches(row) for column in labels for label in column for row in label.rows), default=0.0
    )
    width = _LEFT + _PLOT[0] + _LEADER + _SAMPLE + widest + 0.2
    notes = textwrap.wrap(_not_drawn(timeline), int((width - 0.2) / _LETTER))
    foot = len(notes) * _ROW + (0.15 if notes else 0.05)
    height = sum(_TOP + one + _BELOW for one in heights) + foot
    with mpl.rc_context({"svg.hashsalt": "lossreg", "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        top = height
        for (name, groups), column, inches in zip(panels, labels, heights, strict=True):
            top -= _TOP
            box = (_LEFT / width, (top - inches) / height, _PLOT[0] / width, inches / height)
            panel = figure.add_axes(box)
            head = ": ".join(filter(None, (title, name)))
            shown = head if len(head) <= _LONGEST_TITLE else f"{head[: _LONGEST_TITLE - 1]}…"
            panel.set_title(shown, parse_math=False)
            _draw(panel, groups, column, timeline)
            _write(panel, column, inches)
            top -= inches + _BELOW
        for index, row in enumerate(notes):
            place = (0.1 / width, (foot - (index + 1) * _ROW) / height)
            figure.text(*place, row, va="bottom", fontsize=_FONT, color=INK, parse_math=False)
        picture = io.BytesIO()
        with warnings.catch_warnings():
            # The title is a file's name, which may have letters that the font lacks.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            metadata = {"Date": None} if form == "svg" else {"Software": None}
            figure.savefig(picture, format=form, dpi=150, metadata=metadata)
    return picture.getvalue()


def _inches(row: str) -> float:
    """The width of a row of text."""
    font = FontProperties(family="DejaVu Sans")
    width: float = TextPath((0, 0), row, size=_FONT, prop=font).get_extents().width
    return width / 72


def _alike(lines: Sequence[Line]) -> list[list[Line]]:
    """The lines in groups of the same weights at the same times."""
    groups: dict[object, list[Line]] = {}
    for line in lines:
        key = tuple(line.active), line.note, line.is_pulsed
        groups.setdefault(key, []).append(line)
    return list(groups.values())


def _labels(groups: Sequence[Sequence[Line]]) -> list[_Label]:
    labels = []
    for index, group in enumerate(groups):
        line, points = group[0], group[0].active
        text = ", ".join(one.name for one in group)
        rows = textwrap.wrap(f"{text}  {_in_words(points)}", _LONGEST_LABEL)
        rows += textwrap.wrap(f"({line.note})", _LONGEST_LABEL) if line.note else []
        turn, colour = divmod(index, len(COLOURS))
        dashes: Any = DASHES[(index + turn) % len(DASHES)]
        if line.is_pulsed:
            dashes = "none" if len(points) <= _MOST_PULSES else (0, (1, 4))
        style = {
            "color": COLOURS[colour],
            "linestyle": dashes,
            "marker": _MARKERS[index % len(_MARKERS)],
        }
        labels.append(_Label(rows, points[-1][1] if points else math.nan, style))
    return labels


def _in_words(points: Sequence[tuple[int, float]]) -> str:
    """The weight at first and at last, or how low and how high it is in between."""
    if not points:
        return "never active here"
    weights = [weight for _, weight in points]
    first, last = weights[0], weights[-1]
    low, high = min(weights), max(weights)
    if {first, last} != {low, high}:
        return f"{low:.4g} to {high:.4g}"
    return f"{first:.4g} → {last:.4g}" if first != last else f"{first:.4g}"


def _draw(
    panel: Any, groups: Sequence[Sequence[Line]], labels: Sequence[_Label], timeline: Timeline
) -> None:
    panel.set_xlim(0, timeline.end)
    for index, (group, label) in enumerate(zip(groups, labels, strict=True)):
        line = group[0]
        panel.plot(
            line.times,
            line.weights,
            linewidth=1.6,
            markersize=4.5,
            clip_on=False,
            markevery=_places(line, index, len(groups), timeline.end),
            **label.style,
        )
    _scale(panel, [line for group in groups for line in group])
    tidy(panel, "epoch" if timeline.unit == "epoch" else "completed steps")
    scale = {"log": " (log scale)", "symlog": " (log scale, linear near 0)"}
    panel.set_ylabel("weight" + scale.get(panel.get_yscale(), ""))


def _places(line: Line, index: int, count: int, end: int) -> list[int]:
    """The points of a line that get a marker: all pulses, or a few, none above another line's."""
    drawn = [place for place, weight in enumerate(line.weights) if not math.isnan(weight)]
    if line.is_pulsed and len(drawn) <= _MOST_PULSES:
        return drawn
    every = end / _MARKERS_ON_A_LINE
    wanted = [every * (turn + (index + 0.5) / count) for turn in range(_MARKERS_ON_A_LINE)]
    chosen = {min(drawn, key=lambda p: abs(line.times[p] - time)) for time in wanted if drawn}
    near = [
        place
        for place in sorted(chosen)
        if any(abs(line.times[place] - time) <= every / 4 for time in wanted)
    ]
    return near or drawn[:1]


def _scale(panel: Any, lines: Sequence[Line]) -> None:
    """A logarithmic axis where a linear one would make a line flat that is not."""
    weights = [weight for line in lines for _, weight in line.active]
    largest = [max((abs(weight) for _, weight in line.active), default=0.0) for line in lines]
    largest = [weight for weight in largest if weight]
    if largest and max(largest) > RATIO_FOR_LOG * min(largest):
        if min(weights) > 0:
            panel.set_yscale("log")
        else:
            panel.set_yscale("symlog", linthresh=min(largest) / 10)
        return
    low, high = min([0.0, *weights]), max([0.0, *weights])
    room = (high - low or 1.0) * 0.06
    panel.set_ylim(low - room * (low < 0), high + room)


def _write(panel: Any, labels: Sequence[_Label], inches: float) -> None:
    """Write the labels beside the ends of their lines, moved apart where they would overlap."""
    bottom, top = panel.transAxes.transform([(0, 0), (0, 1)])[:, 1]
    ends = []
    for label in labels:
        weight = 0.0 if math.isnan(label.weight) else label.weight
        pixel = panel.transData.transform((panel.get_xlim()[1], weight))[1]
        ends.append(min(max((pixel - bottom) / (top - bottom), 0.0), 1.0) * inches)
    places = _apart(ends, [label.height for label in labels], inches)
    across = panel.get_position().width * panel.figure.get_figwidth()
    for label, end, place in zip(labels, ends, places, strict=True):
        height = place / inches
        bend, sample, text = (
            1 + length / across for length in (_LEADER - 0.1, _LEADER, _LEADER + _SAMPLE)
        )
        beside = {"transform": panel.transAxes, "clip_on": False}
        leader = [1 + 0.06 / across, bend, sample], [end / inches, height, height]
        panel.plot(*leader, color=FAINT, linewidth=0.7, **beside)
        middle = (sample + text - 0.08 / across) / 2
        in_sample = [sample, middle, 2 * middle - sample], [height] * 3
        panel.plot(
            *in_sample, linewidth=1.6, markersize=4.5, markevery=[1], **label.style, **beside
        )
        panel.text(
            text,
            height,
            "\n".join(label.rows),
            transform=panel.transAxes,
            va="center",
            fontsize=_FONT,
            color=INK,
            linespacing=1.15,
            parse_math=False,
        )


def _apart(ends: Sequence[float], heights: Sequence[float], room: float) -> list[float]:
    """The centre of each label: near its line's end, in the same order, none above another."""
    order = sorted(range(len(ends)), key=lambda index: (ends[index], -index))
    places = [0.0] * len(ends)
    free = 0.0
    for index in order:
        half = heights[index] / 2
        places[index] = max(ends[index], free + half)
        free = places[index] + half + 0.04
    free = room + 0.06
    for index in reversed(order):
        half = heights[index] / 2
        places[index] = min(places[index], free - half)
        free = places[index] - half - 0.04
    return places


def _not_drawn(timeline: Timeline) -> str:
    if not timeline.not_drawn:
        return ""
    named = "; ".join(f"{name} ({why})" for name, why in timeline.not_drawn.items())
    return f"Not drawn: {named}"
