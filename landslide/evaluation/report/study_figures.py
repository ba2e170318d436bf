"""Figures of studies: leave-one-event-out, ablations, ensemble sizes, clouds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from landslide.plotting.style import ACCENT, GRID, INK, PALE, SERIES, WARM, canvas, save

if TYPE_CHECKING:
    from landslide.evaluation.cross_validation import CrossValidation
    from landslide.evaluation.results import Scores


def draw_events(band_sets: Mapping[str, CrossValidation], title: str, path: Path) -> None:
    """F1 on each event that was left out, with intervals over landslides; a panel for each band set."""
    names = list(next(iter(band_sets.values())).events)
    figure = Figure(figsize=(3.2 + 2.6 * len(band_sets), 1.4 + 0.34 * len(names)), layout="constrained")
    figure.suptitle(title, fontsize=10, color=INK)
    panels = figure.subplots(1, len(band_sets), sharey=True, squeeze=False)[0]
    for axes, (band_set, folds) in zip(panels, band_sets.items(), strict=True):
        _event_panel(axes, folds, band_set)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    columns = min(2 * len(band_sets) - 1, len(labels))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
    save(figure, path)


def _event_panel(axes: Any, folds: CrossValidation, band_set: str) -> None:
    events = list(folds.events.values())
    for row, event in enumerate(events):
        if event.interval is not None:
            axes.plot(event.interval, [row, row], color=ACCENT, lw=1.4)
    rows = range(len(events))
    axes.scatter([_f1(event.paper) for event in events], rows, s=22, color=PALE,
                 label="published selector, same fold", zorder=2)  # fmt: skip
    axes.scatter([_f1(event.scores) for event in events], rows, s=34, color=ACCENT, ec="white",
                 label="delivered, 95 % over landslides", zorder=3)  # fmt: skip
    axes.axvline(_f1(folds.pooled), color=WARM, lw=1.2, ls="--", label="delivered, all events pooled")
    axes.set(xlim=(0, 1), xlabel="F1 on the event left out")
    axes.set_title(f"{band_set}: {_f1(folds.pooled):.3f}")
    axes.grid(axis="x", color=GRID, lw=0.7)
    axes.set_axisbelow(True)


def _f1(scores: Scores) -> float:
    return np.nan if scores.f1 is None else scores.f1


def draw_options(answers: Mapping[str, Any], title: str, path: Path) -> None:
    """F1 of each option as a bar with its interval, and a dot for each event; `answers` are those of `options`."""
    figure, axes = canvas(6.4, 1.5 + 0.5 * len(answers))
    for row, (color, answer) in enumerate(zip(SERIES * len(answers), answers.values(), strict=False)):
        f1 = answer["f1"] or 0.0
        axes.barh(row, f1, 0.55, color=color, alpha=0.85, zorder=2)
        if answer["interval"] is not None:
            axes.plot(answer["interval"], [row, row], color=INK, lw=1.3, zorder=4)
        events = [value or 0.0 for value in answer["events"].values()]
        axes.scatter(events, [row] * len(events), s=18, color="white", ec=INK, lw=0.8, zorder=5)
        axes.annotate(f"{f1:.3f}", (0.01, row), va="center", color="white", fontsize=8, zorder=6)
    axes.set_yticks(range(len(answers)), list(answers))
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), title=title, xlabel="F1 on test events; line: 95 % over landslides, dots: events")
    save(figure, path)


def draw_sizes_of_all(answers: Mapping[str, Any], title: str, path: Path) -> None:
    """Left, F1 over the number of members of each band set; right, the best size for each event, and sizes as good.

    `answers` are those of `sizes`.
    """
    rows = sum(1 + len(answer["events"]) for answer in answers.values())
    figure = Figure(figsize=(10.5, 2.6 + 0.13 * rows), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _curves(left, answers)
    _best_sizes(right, answers)
    figure.suptitle(title, fontsize=10, color=INK)
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    save(figure, path)


def _curves(axes: Any, answers: Mapping[str, Any]) -> None:
    for color, (name, answer) in zip(SERIES, answers.items(), strict=False):
        k = np.arange(1, len(answer["curve"]) + 1)
        axes.plot(k, [value or np.nan for value in answer["curve"]], color=color, lw=2, label=name)
        if answer["intervals"]:
            low, high = zip(*answer["intervals"].values(), strict=True)
            axes.fill_between(list(answer["intervals"]), low, high, color=color, alpha=0.1, lw=0)
    axes.set(xlabel="members, ranked on validation (k)", ylabel="F1 on the test events", ylim=(0, 1))
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def _best_sizes(axes: Any, answers: Mapping[str, Any]) -> None:
    names: list[str] = []
    for color, (name, answer) in zip(SERIES, answers.items(), strict=False):
        for event, best in {"all events": answer, **answer["events"]}.items():
            row = len(names)
            axes.scatter(best["alike"], [row] * len(best["alike"]), s=7, color=color, alpha=0.35)
            axes.scatter(best["best_size"], row, s=30, color=color, ec="white", zorder=3)
            names.append(f"{name}, {event}")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="best size; small dots: F1 within 0.01 of it")


def draw_clouds(rows: Sequence[Mapping[str, Any]], title: str, path: Path) -> None:
    """F1 and the observed share over cloudiness; `rows` are those of `clouds`."""
    figure, axes = canvas(6.4, 4.2)
    x = [row["cloudiness"] for row in rows]
    bounds = [(row["cloudiness"], *row["interval"]) for row in rows if row["interval"] is not None]
    if bounds:
        cloudiness, low, high = zip(*bounds, strict=True)
        axes.fill_between(cloudiness, low, high, color=ACCENT, alpha=0.12, lw=0)
    axes.plot(x, [row["f1_observed"] for row in rows], "o-", color=ACCENT, label="F1 of what is observed")
    axes.plot(x, [row["f1_all"] for row in rows], "o-", color=WARM, label="F1, not observed counted as missed")
    axes.plot(x, [row["observed"] for row in rows], "--", color=PALE, label="share of the area that is observed")
    axes.set(xlabel="mean cloud cover of a scene", ylabel="F1, share", ylim=(0, 1.02), title=title)
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    save(figure, path)
