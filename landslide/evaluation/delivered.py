"""What is told of the delivered ensemble beyond counts: by landslide, over all thresholds, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landslide.evaluation.bootstrap import Resampled, over_events, over_landslides, unit_counts
from landslide.evaluation.counts import Counts
from landslide.evaluation.objects import SHARES, Objects, object_scores
from landslide.evaluation.ranking import Histogram, average_precision, histogram
from landslide.evaluation.scores import SCORES, Floats, Score, precision, recall
from landslide.evaluation.slices import counts_by_slice
from landslide.grid import PIXEL

if TYPE_CHECKING:
    from landslide.evaluation.curves import Scene

OBJECT_SCORES: dict[str, Score] = {"detection_rate": recall, "false_alarm_ratio": lambda counts: 1 - precision(counts)}


@dataclass(frozen=True)
class Delivered:
    """Of each test case: what each unit adds to the counts (unit, 4), its objects, its probabilities by truth; and over
    all cases, the counts of each slice by what it is a slice of.
    """

    units: Mapping[str, NDArray[np.int64]]
    objects: Mapping[str, Objects]
    histograms: Mapping[str, Histogram]
    slices: Mapping[str, Mapping[str, Counts]]

    @classmethod
    def of(cls, scenes: Sequence[Scene], probabilities: Sequence[Floats], threshold: float) -> Delivered:
        """From the probability (y, x) of each scene, in pixels of 10 m."""
        units: dict[str, list[NDArray[np.int64]]] = {}
        objects: dict[str, list[Objects]] = {}
        histograms: dict[str, list[Histogram]] = {}
        slices: dict[str, dict[str, Counts]] = {}
        for scene, probability in zip(scenes, probabilities, strict=True):
            mapped = probability > threshold
            units.setdefault(scene.case, []).append(unit_counts(mapped, scene.truth, scene.valid))
            objects.setdefault(scene.case, []).append(Objects.of(mapped, scene.truth, scene.valid, PIXEL**2))
            histograms.setdefault(scene.case, []).append(histogram(probability, scene.truth, scene.valid))
            for name, parts in scene.slices().items():
                kept = slices.setdefault(name, {})
                for label, counts in counts_by_slice(parts, mapped, scene.truth, scene.valid).items():
                    kept[label] = kept.get(label, Counts()) + counts
        return cls(
            {case: np.concatenate(parts) for case, parts in units.items()},
            {case: Objects.pooled(parts) for case, parts in objects.items()},
            {case: np.sum(parts, axis=0) for case, parts in histograms.items()},
            slices,
        )

    def document(self) -> dict[str, Any]:
        """As JSON: intervals of 95 % of the pooled scores, objects at each share, average precision."""
        ap = float(average_precision(np.sum(list(self.histograms.values()), axis=0)))
        pooled = Objects.pooled(self.objects.values())
        return {
            "intervals": _intervals(self.units, SCORES),
            "average_precision": ap if np.isfinite(ap) else None,
            "objects": [self._at(share, pooled) for share in SHARES],
            "slices": {
                name: {label: counts.scores() for label, counts in parts.items() if any(counts.model_dump().values())}
                for name, parts in self.slices.items()
            },
        }

    def _at(self, share: float, pooled: Objects) -> dict[str, Any]:
        units = {case: objects.units(share) for case, objects in self.objects.items()}
        return {**object_scores(pooled, share).model_dump(), "intervals": _intervals(units, OBJECT_SCORES)}


def _intervals(units: Mapping[str, NDArray[Any]], scores: Mapping[str, Score]) -> dict[str, Any]:
    """Of each score, over landslides and over events; None where it cannot be told."""
    drawn = {"landslides": over_landslides(units), "events": over_events(units)}
    return {name: {over: _bounds(some, score) for over, some in drawn.items()} for name, score in scores.items()}


def _bounds(drawn: Resampled, score: Score) -> tuple[float, float] | None:
    interval = drawn.interval(score)
    return None if interval is None else (interval.low, interval.high)
