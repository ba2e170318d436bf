"""The look of every figure: colours, sizes and how a PNG is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    pass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


INK, ACCENT, SOFT, WARM = "#1b2a33", "#0b6e8a", "#9fb4bd", "#c8553d"


def canvas(width: float, height: float) -> tuple[Figure, Any]:
    """A figure of inches with one pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def save(figure: Figure, path: Path) -> None:
    """A PNG in the house style, whose bytes depend on the figure alone."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK, labelsize=8)
        axes.title.set(fontsize=10, color=INK)
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set(fontsize=9, color=INK)
    figure.savefig(path, dpi=150, metadata={"Software": None})
