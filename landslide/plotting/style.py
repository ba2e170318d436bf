"""The look of every figure, picture and page: colours, and how a PNG is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

INK, MUTED, PALE = "#1d2327", "#5b6670", "#9fb4bd"
"""Text and axes; secondary text; lines and points in the background."""

ACCENT, LIGHT, WARM = "#0b6e83", "#5aa9bf", "#c8553d"
"""The result; a lighter shade of it; what it is compared with."""

GRID = "#dfe2e4"
SERIES = (ACCENT, WARM, "#6a8d3c", "#8b6bb1", "#c2962f", INK)
FOUND, MISSED, FALSE_ALARM, NOTHING = ACCENT, "#f0a202", "#c2255c", "#eceff0"
OUTLINE = "#00b8d9"
"""Outlines of landslides on a map."""

HATCH = ("#9e9e9e", "#bdbdbd")
"""Stripes over what was not observed."""

DPI = 150


def canvas(width: float, height: float) -> tuple[Figure, Any]:
    """A figure with one pair of axes; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def save(figure: Figure, path: Path) -> None:
    """Write a chart as PNG, its axes in the house style."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK, labelsize=8)
        axes.title.set(fontsize=10, color=INK)
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set(fontsize=9, color=INK)
    write_png(figure, path)


def write_png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whose bytes depend on the figure alone."""
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
