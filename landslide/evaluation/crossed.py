"""Leave one event out: what each fold's ensemble does on the event that it never saw, and all of them pooled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict

from landslide.evaluation.bootstrap import over_events
from landslide.evaluation.choosing import PAPER
from landslide.evaluation.counts import Counts, total
from landslide.evaluation.figures import ACCENT, INK, SOFT, WARM, save
from landslide.evaluation.scores import f1

Bounds = tuple[float, float]


class Event(BaseModel):
    """An event that was left out: counts of the delivered ensemble and of the published way, the interval of its F1
    over landslides, the share that was observed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    counts: Counts
    paper: Counts
    interval: Bounds | None
    observed: float


class Crossed(BaseModel):
    """All events of a band set. `events_interval` is of the pooled F1 over events, None for fewer than three."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    events: dict[str, Event]

    @classmethod
    def of(cls, folds: Mapping[str, dict[str, Any]]) -> Crossed:
        """From each fold's `metrics.json`, by the event that it left out."""
        return cls(events={name: _event(name, metrics) for name, metrics in folds.items()})

    @property
    def pooled(self) -> Counts:
        """Of the delivered ensembles."""
        return total([event.counts for event in self.events.values()])

    @property
    def paper(self) -> Counts:
        """Of the published way in the same folds."""
        return total([event.paper for event in self.events.values()])

    @property
    def events_interval(self) -> Bounds | None:
        """95 % interval of the pooled F1 over events."""
        rows = {name: _row(event.counts)[None] for name, event in self.events.items()}
        found = over_events(rows).interval(f1)
        return None if found is None else (found.low, found.high)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "pooled": self.pooled.scores(),
            "interval_over_events": self.events_interval,
            "paper": self.paper.scores(),
            "events_won": sum((one.counts.f1 or 0) > (one.paper.f1 or 0) for one in self.events.values()),
            "events": {
                name: {
                    **one.counts.scores(), "interval": one.interval, "paper_f1": one.paper.f1, "observed": one.observed
                }
                for name, one in self.events.items()
            },
        }  # fmt: skip


def _event(name: str, metrics: dict[str, Any]) -> Event:
    paper = next(way for way in metrics["ways"] if way["way"] == PAPER)
    return Event(
        counts=_counts(metrics["pooled"]),
        paper=_counts(paper["pooled"]),
        interval=metrics["intervals"]["f1"]["landslides"],
        observed=metrics["observed"][name],
    )


def _counts(scores: Mapping[str, Any]) -> Counts:
    return Counts(**{name: scores[name] for name in Counts.model_fields})


def _row(counts: Counts) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([counts.tp, counts.fp, counts.fn, counts.tn])


def draw_events(band_sets: Mapping[str, Crossed], title: str, path: Path) -> None:
    """F1 on each event that was left out, with intervals over landslides; a panel for each band set."""
    names = list(next(iter(band_sets.values())).events)
    figure = Figure(figsize=(3.2 + 2.6 * len(band_sets), 1.4 + 0.34 * len(names)), layout="constrained")
    figure.suptitle(title, fontsize=10, color=INK)
    panels = figure.subplots(1, len(band_sets), sharey=True, squeeze=False)[0]
    for axes, (band_set, crossed) in zip(panels, band_sets.items(), strict=True):
        _panel(axes, crossed, band_set)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    columns = min(2 * len(band_sets) - 1, len(labels))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
    save(figure, path)


def _panel(axes: Any, crossed: Crossed, band_set: str) -> None:
    for place, event in enumerate(crossed.events.values()):
        if event.interval is not None:
            axes.plot(event.interval, [place, place], color=ACCENT, lw=1.4)
    places = range(len(crossed.events))
    axes.scatter([_f1(event.paper) for event in crossed.events.values()], places, s=22, color=SOFT,
                 label="published way, same fold", zorder=2)  # fmt: skip
    axes.scatter([_f1(event.counts) for event in crossed.events.values()], places, s=34, color=ACCENT, ec="white",
                 label="delivered, 95 % over landslides", zorder=3)  # fmt: skip
    axes.axvline(_f1(crossed.pooled), color=WARM, lw=1.2, ls="--", label="delivered, all events pooled")
    axes.set(xlim=(0, 1), xlabel="F1 on the event left out")
    axes.set_title(f"{band_set}: {_f1(crossed.pooled):.3f}")
    axes.grid(axis="x", color="#e3e8ea", lw=0.7)
    axes.set_axisbelow(True)


def _f1(counts: Counts) -> float:
    return np.nan if counts.f1 is None else counts.f1
