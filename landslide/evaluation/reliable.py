"""The reliability diagram: of what is given a probability, how much is landslide, and how many pixels that is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from landslide.evaluation.figures import ACCENT, INK, SOFT, WARM

if TYPE_CHECKING:
    from landslide.evaluation.calibration import Reliability


def draw_reliability(before: Reliability | None, after: Reliability, title: str, path: Path) -> None:
    """Draw the share of landslide over the probability, and under it the pixels of each class on a log axis.

    `before` is of the members' vote as it is, None where nothing was calibrated; `after` is of what is delivered.
    """
    figure = Figure(figsize=(5.0, 5.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    upper.plot([0, 1], [0, 1], color=SOFT, lw=1, zorder=1, label="as it should be")
    if before is not None:
        _line(upper, lower, before, WARM, "--", f"before calibration, ECE {before.ece:.3f}")
    _line(upper, lower, after, ACCENT, "-", f"as delivered, ECE {after.ece:.3f}")
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is landslide")
    upper.set_title(title, fontsize=10, color=INK)
    upper.legend(framealpha=0.85, edgecolor="none", fontsize=8.5, loc="best")
    lower.set(yscale="log", xlabel="probability on the map", ylabel="pixels")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK, labelsize=8.5)
        axes.xaxis.label.set_size(9.5)
        axes.yaxis.label.set_size(9.5)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def _line(upper: Axes, lower: Axes, told: Reliability, colour: str, style: str, label: str) -> None:
    forecasts = [one.forecast for one in told.classes]
    frequencies = [one.frequency for one in told.classes]
    upper.plot(forecasts, frequencies, style, color=colour, lw=1.8, marker="o", ms=5, mec="white", label=label)
    lower.plot(forecasts, [one.pixels for one in told.classes], style, color=colour, lw=1.4, marker="o", ms=3.5)
