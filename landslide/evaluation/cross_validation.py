"""Leave-one-event-out cross-validation: each fold's ensemble on the event that it never saw, and all of them pooled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from landslide.ensembles.select import PAPER
from landslide.evaluation.results import Bounds, EvaluationReport, Scores
from landslide.metrics.bootstrap import over_events
from landslide.metrics.pixel import f1, total


class HeldOutEvent(BaseModel):
    """An event that was left out.

    Args:
        scores: Of the delivered ensemble.
        paper: Of the published selector's ensemble in the same fold.
        interval: Of the delivered F1, over landslides.
        observed: The share of the event's pixels that counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scores: Scores
    paper: Scores
    interval: Bounds | None
    observed: float


class CrossValidation(BaseModel):
    """All events of a band set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    events: dict[str, HeldOutEvent]

    @classmethod
    def of(cls, folds: Mapping[str, EvaluationReport]) -> CrossValidation:
        """From each fold's report, by the event that it left out."""
        return cls(events={name: _event(name, report) for name, report in folds.items()})

    @property
    def pooled(self) -> Scores:
        """Of the delivered ensembles, all events pooled."""
        return _pooled([event.scores for event in self.events.values()])

    @property
    def paper(self) -> Scores:
        """Of the published selector's ensembles, all events pooled."""
        return _pooled([event.paper for event in self.events.values()])

    @property
    def events_interval(self) -> Bounds | None:
        """95 % interval of the pooled F1 over events; None for fewer than three."""
        units = {name: _unit(event.scores) for name, event in self.events.items()}
        found = over_events(units).interval(f1)
        return None if found is None else (found.low, found.high)

    @property
    def events_won(self) -> int:
        """Events on which the delivered ensemble has the higher F1."""
        return sum((event.scores.f1 or 0) > (event.paper.f1 or 0) for event in self.events.values())

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "pooled": self.pooled.model_dump(),
            "interval_over_events": self.events_interval,
            "paper": self.paper.model_dump(),
            "events_won": self.events_won,
            "events": {
                name: {
                    **event.scores.model_dump(),
                    "interval": event.interval,
                    "paper_f1": event.paper.f1,
                    "observed": event.observed,
                }
                for name, event in self.events.items()
            },
        }


def _event(name: str, report: EvaluationReport) -> HeldOutEvent:
    paper = next(result for result in report.selectors if result.selector == PAPER)
    return HeldOutEvent(
        scores=report.pooled,
        paper=paper.pooled,
        interval=report.intervals.f1.landslides,
        observed=report.observed[name],
    )


def _pooled(scores: list[Scores]) -> Scores:
    return Scores.of(total([one.counts for one in scores]))


def _unit(scores: Scores) -> NDArray[np.int64]:
    """(1, 4): an event as one unit to resample."""
    return np.array([[scores.tp, scores.fp, scores.fn, scores.tn]])
