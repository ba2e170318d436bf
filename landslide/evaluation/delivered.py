"""What is told of the delivered ensemble beyond counts: by landslide, over all thresholds, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landslide.evaluation import calibration, ranking
from landslide.evaluation.bootstrap import Resampled, over_events, over_landslides, unit_counts
from landslide.evaluation.calibration import Reliability
from landslide.evaluation.confidence import Cuts, Patches, meanings
from landslide.evaluation.counts import Counts
from landslide.evaluation.objects import SHARES, Objects, object_scores
from landslide.evaluation.ranking import at_precision, average_precision
from landslide.evaluation.scores import SCORES, Score, precision, recall
from landslide.evaluation.slices import Slices, counts_by_slice
from landslide.evaluation.voting import Picture, Vote
from landslide.grid import PIXEL

PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9)
OBJECT_SCORES: dict[str, Score] = {"detection_rate": recall, "false_alarm_ratio": lambda counts: 1 - precision(counts)}


class Delivered:
    """Of each test case, gathered by scene: what each unit adds to the counts (unit, 4), its objects, its mapped
    patches, its probabilities by truth; and over all cases the counts of each slice by what it is a slice of.
    """

    def __init__(self, vote: Vote, classes: Cuts | None) -> None:
        self._objects: dict[str, list[Objects]] = {}
        self._vote, self._classes = vote, classes
        self._units: dict[str, list[NDArray[np.int64]]] = {}
        self._patches: list[Patches] = []
        self._ranks = np.zeros((2, ranking.BINS), "int64")
        self._truths = np.zeros((2, 2, calibration.BINS), "int64")  # before and after calibration
        self._slices: dict[str, dict[str, Counts]] = {}

    def add(self, case: str, picture: Picture, before: int, slices: Mapping[str, Slices]) -> None:
        """One scene, in pixels of 10 m, whose first vote is the delivered one; the vote `before` is not calibrated."""
        probability, truth, valid = picture.probabilities[0], picture.truth, picture.valid
        mapped = probability > np.float32(self._vote.threshold)
        self._units.setdefault(case, []).append(unit_counts(mapped, truth, valid))
        self._objects.setdefault(case, []).append(Objects.of(mapped, truth, valid, PIXEL**2))
        self._patches.append(Patches.of(probability, mapped, truth))
        self._ranks += ranking.histogram(probability, truth, valid)
        for counted, vote in zip(self._truths, (before, 0), strict=True):
            counted += calibration.histogram(picture.probabilities[vote], truth)
        for name, parts in slices.items():
            kept = self._slices.setdefault(name, {})
            for label, counts in counts_by_slice(parts, mapped, truth, valid).items():
                kept[label] = kept.get(label, Counts()) + counts

    @cached_property
    def objects(self) -> dict[str, Objects]:
        """By case; once every scene is there."""
        return {case: Objects.pooled(scenes) for case, scenes in self._objects.items()}

    @cached_property
    def intervals(self) -> dict[str, Any]:
        """Of each score by pixel, over landslides and over events; once every scene is there."""
        return _intervals({case: np.concatenate(parts) for case, parts in self._units.items()}, SCORES)

    def reliability(self) -> dict[str, Reliability] | None:
        """`before` and `after` calibration; None where nothing was observed."""
        if not self._truths.any():
            return None
        return dict(zip(("before", "after"), map(calibration.reliability, self._truths), strict=True))

    def document(self) -> dict[str, Any]:
        """As JSON: intervals of 95 % of the pooled scores, objects at each share, average precision and so on."""
        ap = float(average_precision(self._ranks))
        pooled = Objects.pooled(self.objects.values())
        reliable = self.reliability()
        return {
            "intervals": self.intervals,
            "average_precision": ap if np.isfinite(ap) else None,
            "recall_at_precision": {f"{least:g}": self._recall(least) for least in PRECISIONS},
            "objects": [self._at(share, pooled) for share in SHARES],
            "reliability": reliable and {name: one.model_dump(mode="json") for name, one in reliable.items()},
            "confidence": self.confidence(),
            "slices": {
                name: {label: counts.scores() for label, counts in parts.items() if any(counts.model_dump().values())}
                for name, parts in self._slices.items()
            },
        }

    def confidence(self) -> list[dict[str, Any]] | None:
        """What the classes turned out to mean; None where the ensemble has none."""
        if self._classes is None:
            return None
        return [one.model_dump() for one in meanings(self._classes, Patches.pooled(self._patches))]

    def _recall(self, least: float) -> float | None:
        """The greatest recall at a precision, over all thresholds; None where none has it."""
        cut = at_precision(self._ranks, least)
        return None if cut is None else cut.counts.recall

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
