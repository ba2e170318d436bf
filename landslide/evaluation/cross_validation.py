"""Leave one event out: what each fold's ensemble does on the event that it never saw, and all of them pooled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from landslide.ensembles.select import PAPER
from landslide.metrics.bootstrap import over_events
from landslide.metrics.pixel import Counts, f1, total

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
