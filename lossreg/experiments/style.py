"""How pictures look: colours, dashes, and tidy axes."""

from __future__ import annotations

from typing import Any

from matplotlib.ticker import MaxNLocator

__all__ = ["COLOURS", "DASHES", "FAINT", "INK", "RATIO_FOR_LOG", "tidy"]

INK = "#222222"
FAINT = "#8a8a8a"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's colours, which also colour-blind readers can distinguish; without yellow, which
is faint on white.
"""
DASHES = ("-", "--", ":", "-.")
RATIO_FOR_LOG = 20
"""Beyond this, the smaller of two curves is flat on a linear axis."""


def tidy(panel: Any, time: str) -> None:
    """A panel's title at the left, a faint grid, and whole numbers of steps.

    Args:
        panel: The axes.
        time: What the horizontal axis counts.
    """
    panel.title.set(fontsize=10.5, color=INK)
    panel.title.set_horizontalalignment("left")
    panel.title.set_x(0)
    panel.set_xlabel(time)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, steps=[1, 2, 5, 10]))
    panel.grid(visible=True, axis="y", color="#e6e6e6", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=9, colors="#444444")
