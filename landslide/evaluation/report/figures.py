"""Figures of an evaluation: F1 over the ensemble's size, performance, landslides by size, reliability."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from landslide.metrics.objects import SHARES
from landslide.plotting.style import ACCENT, INK, LIGHT, PALE, WARM, canvas, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from landslide.evaluation.results import EvaluationReport, Scores
    from landslide.metrics.reliability import Reliability


def draw_curve(report: EvaluationReport, title: str, path: Path) -> None:
    """F1 of the best k members over k, pooled and per case, with each member alone and the dNDVI threshold."""
    figure, axes = canvas(7.2, 4.4)
    sizes = [row.k for row in report.curve]
    if len(report.cases) > 1:
        for case in report.cases:
            axes.plot(sizes, [_f1(row.cases[case]) for row in report.curve], color=PALE, lw=1, zorder=1)
    axes.scatter(sizes, [_f1(row.pooled) for row in report.members], s=16, color=PALE, label="each member alone")
    axes.plot(sizes, [_f1(row.pooled) for row in report.curve], color=ACCENT, lw=2.2, label="ensemble of the best k")
    if report.baseline_dndvi is not None:
        label = f"best dNDVI threshold ({report.baseline_dndvi.threshold:+.2f}, in hindsight)"
        axes.axhline(_f1(report.baseline_dndvi.pooled), color=INK, lw=1, ls="--", label=label)
    with_interval = [(row.k, *row.interval) for row in report.curve if row.interval is not None]
    if len(with_interval) > 1:
        k, low, high = zip(*with_interval, strict=True)
        axes.fill_between(k, low, high, color=ACCENT, alpha=0.12, lw=0, label="95 % interval over landslides")
    f1 = _f1(report.pooled)
    axes.errorbar([report.size], [f1], _error_bar(report, f1), color=WARM, capsize=3, lw=1.2, zorder=3)
    label = f"delivered: {report.selector}, {report.size} members, threshold {report.threshold:.2f}"
    axes.scatter([report.size], [f1], s=64, color=WARM, ec="white", zorder=4, label=label)
    axes.set(xlabel="members, ranked on validation (k)", ylabel="F1 on the test cases", title=title, ylim=(0, 1))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    save(figure, path)


def _error_bar(report: EvaluationReport, f1: float) -> list[list[float]]:
    """Lengths below and above the delivered ensemble's F1, of its interval over landslides."""
    bounds = report.intervals.f1.landslides
    return [[np.nan], [np.nan]] if bounds is None else [[max(f1 - bounds[0], 0)], [max(bounds[1] - f1, 0)]]


def draw_performance(report: EvaluationReport, title: str, path: Path) -> None:
    """Performance diagram (Roebber 2009): detection over success ratio, with lines of equal F1 and equal bias."""
    figure, axes = canvas(5.4, 5.2)
    _equal_lines(axes)
    _points(axes, [row.pooled for row in report.members], PALE, 20, "members")
    _points(axes, list(report.cases.values()), LIGHT, 28, "ensemble, each test case")
    _points(axes, [report.pooled], ACCENT, 90, "ensemble, pooled")
    if report.baseline_dndvi is not None:
        _points(axes, [report.baseline_dndvi.pooled], WARM, 60, "best dNDVI threshold")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title=title)
    axes.set(xlabel="success ratio (precision)", ylabel="probability of detection (recall)")
    axes.legend(frameon=True, framealpha=0.9, edgecolor="none", fontsize=8, loc="lower left")
    save(figure, path)


def _equal_lines(axes: Any) -> None:
    """Lines of equal F1 and of equal bias."""
    side = np.linspace(0.001, 1, 400)
    success, detection = np.meshgrid(side, side)
    f1 = 2 * success * detection / (success + detection)
    lines = axes.contour(success, detection, f1, levels=np.arange(0.1, 1, 0.1), colors=PALE, linewidths=0.7)
    axes.clabel(lines, fmt=lambda value: f"F1 {value:.1f}", fontsize=7)
    for bias in (0.25, 0.5, 1, 2, 4):
        axes.plot([0, 1], [0, bias], color=INK, lw=0.5, ls=":", zorder=0)
        x, y = (1, bias) if bias <= 1 else (1 / bias, 1)
        axes.annotate(f"bias {bias:g}", (x, y), xytext=(-3, -3), textcoords="offset points", ha="right", va="top",
                      fontsize=6.5, color=INK)  # fmt: skip


def _points(axes: Any, rows: Sequence[Scores], color: str, area: float, label: str) -> None:
    defined = [(row.precision, row.recall) for row in rows if row.precision is not None and row.recall is not None]
    if defined:
        axes.scatter(*zip(*defined, strict=True), s=area, color=color, ec="white", lw=0.6, label=label, zorder=3)


def draw_sizes(report: EvaluationReport, title: str, path: Path) -> None:
    """Landslides detected by size class: at least a fifth and at least half of each mapped, and how many there are."""
    figure, axes = canvas(7.2, 4.0)
    for offset, share, color in zip((-0.2, 0.2), SHARES, (PALE, ACCENT), strict=True):
        sizes = report.objects_at(share).sizes
        rates = [size.detection_rate or 0.0 for size in sizes]
        axes.bar(np.arange(len(rates)) + offset, rates, 0.38, color=color, label=f"at least {100 * share:.0f} % mapped")
    names = [f"{_area(size.low_m2, size.high_m2)}\nn = {size.landslides}" for size in sizes]
    axes.set_xticks(np.arange(len(names)), names)
    axes.set(xlabel="area of the landslide", ylabel="share of landslides detected", title=title, ylim=(0, 1))
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    save(figure, path)


def _area(low: float, high: float | None) -> str:
    """A size class in hectares."""
    if high is None:
        return f"≥ {low / 1e4:g} ha"
    return f"< {high / 1e4:g} ha" if low == 0 else f"{low / 1e4:g}–{high / 1e4:g} ha"


def draw_reliability(before: Reliability | None, after: Reliability, title: str, path: Path) -> None:
    """The share of landslide over the probability, and under it the pixels of each class on a log axis.

    `before` is of the ensemble before calibration, None where it has none; `after` is of the delivered probabilities.
    """
    figure = Figure(figsize=(5.0, 5.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    upper.plot([0, 1], [0, 1], color=PALE, lw=1, zorder=1, label="perfectly calibrated")
    if before is not None:
        _reliability_line(upper, lower, before, WARM, "--", f"before calibration, ECE {before.ece:.3f}")
    _reliability_line(upper, lower, after, ACCENT, "-", f"as delivered, ECE {after.ece:.3f}")
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is landslide", title=title)
    upper.legend(framealpha=0.85, edgecolor="none", fontsize=8.5, loc="best")
    lower.set(yscale="log", xlabel="probability on the map", ylabel="pixels")
    save(figure, path)


def _reliability_line(upper: Axes, lower: Axes, reliability: Reliability, colour: str, style: str, label: str) -> None:
    forecasts = [one.forecast for one in reliability.classes]
    frequencies = [one.frequency for one in reliability.classes]
    upper.plot(forecasts, frequencies, style, color=colour, lw=1.8, marker="o", ms=5, mec="white", label=label)
    lower.plot(forecasts, [one.pixels for one in reliability.classes], style, color=colour, lw=1.4, marker="o", ms=3.5)


def _f1(scores: Scores) -> float:
    return np.nan if scores.f1 is None else scores.f1
