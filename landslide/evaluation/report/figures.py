"""Figures of an evaluation: F1 over the ensemble's size, and the performance diagram."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from landslide.plotting.style import ACCENT, INK, SOFT, WARM, canvas, save

if TYPE_CHECKING:
    from landslide.metrics.reliability import Reliability


from typing import TYPE_CHECKING, Any

import numpy as np

from landslide.metrics.objects import SHARES, Objects, object_scores

if TYPE_CHECKING:
    from landslide.evaluation.evaluate import Evaluation
    from landslide.metrics.pixel import Counts

WHISKERS = "95 % interval over landslides"


def draw_curve(evaluation: Evaluation, title: str, path: Path) -> None:
    """F1 of the best k members over k, pooled and per case, beside each member alone and the dNDVI threshold."""
    figure, axes = canvas(7.2, 4.4)
    sizes = np.arange(1, len(evaluation.curve) + 1)
    if len(evaluation.observed) > 1:
        for case in evaluation.observed:
            axes.plot(sizes, [_f1(row.cases[case]) for row in evaluation.curve], color=SOFT, lw=1, zorder=1)
    axes.scatter(sizes, [_f1(row.pooled) for row in evaluation.members], s=16, color=SOFT, label="each member alone")
    axes.plot(
        sizes, [_f1(row.pooled) for row in evaluation.curve], color=ACCENT, lw=2.2, label="ensemble of the best k"
    )
    if evaluation.baseline:
        threshold, row = evaluation.baseline
        label = f"best dNDVI threshold ({threshold:+.2f}, in hindsight)"
        axes.axhline(_f1(row.pooled), color=INK, lw=1, ls="--", label=label)
    told = {k: bounds for k, bounds in evaluation.intervals.items() if bounds is not None}
    if len(told) > 1:
        low, high = zip(*told.values(), strict=True)
        axes.fill_between(list(told), low, high, color=ACCENT, alpha=0.12, lw=0, label=WHISKERS)
    f1 = _f1(evaluation.scored.pooled)
    axes.errorbar([evaluation.size], [f1], _whiskers(evaluation, f1), color=WARM, capsize=3, lw=1.2, zorder=3)
    label = (
        f"delivered: {evaluation.chosen.selector}, {evaluation.size} members, cut at {evaluation.chosen.threshold:.2f}"
    )
    axes.scatter([evaluation.size], [f1], s=64, color=WARM, ec="white", zorder=4, label=label)
    axes.set(xlabel="members, ranked on validation (k)", ylabel="F1 on the test cases", title=title, ylim=(0, 1))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    save(figure, path)


def draw_performance(evaluation: Evaluation, title: str, path: Path) -> None:
    """Performance diagram (Roebber 2009): detection over success ratio, with lines of equal F1 and equal bias."""
    figure, axes = canvas(5.4, 5.2)
    _diagram_lines(axes)
    chosen = evaluation.scored
    _points(axes, [row.pooled for row in evaluation.members], SOFT, 20, "members")
    _points(axes, list(chosen.cases.values()), "#5aa9bf", 28, "ensemble, each test case")
    _points(axes, [chosen.pooled], ACCENT, 90, "ensemble, pooled")
    if evaluation.baseline:
        _points(axes, [evaluation.baseline[1].pooled], WARM, 60, "best dNDVI threshold")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title=title)
    axes.set(xlabel="success ratio (precision)", ylabel="probability of detection (recall)")
    axes.legend(frameon=True, framealpha=0.9, edgecolor="none", fontsize=8, loc="lower left")
    save(figure, path)


def draw_sizes(evaluation: Evaluation, title: str, path: Path) -> None:
    """Landslides found by size class: at least a fifth and at least half of each mapped, and how many there are."""
    objects = Objects.pooled(evaluation.delivered.objects.values())
    figure, axes = canvas(7.2, 4.0)
    for offset, share, color in zip((-0.2, 0.2), SHARES, (SOFT, ACCENT), strict=True):
        scores = object_scores(objects, share)
        rates = [size.detection_rate or 0.0 for size in scores.sizes]
        axes.bar(np.arange(len(rates)) + offset, rates, 0.38, color=color, label=f"at least {100 * share:.0f} % mapped")
    names = [f"{_area(size.low_m2, size.high_m2)}\nn = {size.landslides}" for size in scores.sizes]
    axes.set_xticks(np.arange(len(names)), names)
    axes.set(xlabel="area of the landslide", ylabel="share of landslides found", title=title, ylim=(0, 1))
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    save(figure, path)


def _area(low: float, high: float | None) -> str:
    """A size class as people say it, in hectares."""
    if high is None:
        return f"≥ {low / 1e4:g} ha"
    return f"< {high / 1e4:g} ha" if low == 0 else f"{low / 1e4:g}–{high / 1e4:g} ha"


def _whiskers(evaluation: Evaluation, f1: float) -> list[list[float]]:
    """Below and above the delivered ensemble's F1, over landslides."""
    bounds = evaluation.delivered.intervals["f1"]["landslides"]
    return [[np.nan], [np.nan]] if bounds is None else [[max(f1 - bounds[0], 0)], [max(bounds[1] - f1, 0)]]


def _diagram_lines(axes: Any) -> None:
    side = np.linspace(0.001, 1, 400)
    success, detection = np.meshgrid(side, side)
    f1 = 2 * success * detection / (success + detection)
    lines = axes.contour(success, detection, f1, levels=np.arange(0.1, 1, 0.1), colors=SOFT, linewidths=0.7)
    axes.clabel(lines, fmt=lambda value: f"F1 {value:.1f}", fontsize=7)
    for bias in (0.25, 0.5, 1, 2, 4):
        axes.plot([0, 1], [0, bias], color=INK, lw=0.5, ls=":", zorder=0)
        x, y = (1, bias) if bias <= 1 else (1 / bias, 1)
        axes.annotate(f"bias {bias:g}", (x, y), xytext=(-3, -3), textcoords="offset points", ha="right", va="top",
                      fontsize=6.5, color=INK)  # fmt: skip


def _points(axes: Any, counts: list[Counts], color: str, area: float, label: str) -> None:
    defined = [(c.precision, c.recall) for c in counts if c.precision is not None and c.recall is not None]
    if defined:
        axes.scatter(*zip(*defined, strict=True), s=area, color=color, ec="white", lw=0.6, label=label, zorder=3)


def _f1(counts: Counts) -> float:
    return np.nan if counts.f1 is None else counts.f1


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
