"""What is gathered over the scenes of the test cases, and the scores and intervals that it gives at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landslide.ensembles.combine import Combiner, ScenePrediction
from landslide.ensembles.confidence import ConfidenceClass, ConfidenceThresholds, Patches, confidence_classes
from landslide.ensembles.select import Choice
from landslide.evaluation.results import (
    Bounds,
    Intervals,
    ObjectIntervals,
    ObjectResult,
    PixelIntervals,
    PixelScores,
    ReliabilityResult,
    Scores,
    SelectorResult,
)
from landslide.geo.grid import PIXEL
from landslide.metrics import pixel, ranking, reliability
from landslide.metrics.bootstrap import Interval, Resampled, over_events, over_landslides, unit_counts
from landslide.metrics.objects import SHARES, Objects, object_scores
from landslide.metrics.pixel import SCORES, Counts, Floats, Score, precision, recall
from landslide.metrics.strata import Slices, counts_by_slice

PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9)
OBJECT_SCORES: dict[str, Score] = {"detection_rate": recall, "false_alarm_ratio": lambda counts: 1 - precision(counts)}
Units = dict[str, list[NDArray[np.int64]]]
"""By case, the counts of the units of each scene; see `metrics.bootstrap`."""


class SizeIntervals:
    """Intervals of F1 at some ensemble sizes. Each size has its own units, as its false alarms are its own."""

    def __init__(self, sizes: Iterable[int]) -> None:
        self._units: dict[int, Units] = {k: {} for k in sizes}

    def add(self, case: str, k: int, mapped: NDArray[np.bool_], scene: ScenePrediction) -> None:
        """One scene as the best k members map it, (y, x)."""
        self._units[k].setdefault(case, []).append(unit_counts(mapped, scene.truth, scene.valid))

    def intervals(self) -> dict[int, Bounds | None]:
        """95 % interval of F1 over landslides, by size."""
        drawn = {k: over_landslides(_by_case(units)) for k, units in self._units.items()}
        return {k: _bounds(resampled.interval(pixel.f1)) for k, resampled in drawn.items()}


class SelectorAccumulator:
    """Units (unit, selector, 4) of each case, and of each selector a histogram of probability by truth.

    `combiners` are those of the selectors by name; they share their units, so that differences are resampled in pairs.
    """

    def __init__(self, combiners: Mapping[str, Combiner]) -> None:
        self._combiners = dict(combiners)
        self._units: Units = {}
        self._histograms = np.zeros((len(combiners), 2, reliability.BINS), "int64")

    def add(self, case: str, scene: ScenePrediction) -> None:
        """One scene, whose first predictions are those of the selectors."""
        probabilities = scene.probabilities[: len(self._combiners)]
        thresholds = np.array([combiner.threshold for combiner in self._combiners.values()], "float32")
        mapped = probabilities > thresholds[:, None, None]
        self._units.setdefault(case, []).append(unit_counts(mapped, scene.truth, scene.valid))
        for histogram, probability in zip(self._histograms, probabilities, strict=True):
            histogram += reliability.histogram(probability, scene.truth)

    def scores(self, selector: str) -> PixelScores:
        """Scores by pixel of a selector."""
        place = self._place(selector)
        cases = _by_case(self._units)
        return PixelScores.from_counts({case: Counts.from_row(units[:, place].sum(0)) for case, units in cases.items()})

    def result(self, choice: Choice, reference: str) -> SelectorResult:
        """A choice compared with the selector named `reference`."""
        scores, other = self.scores(choice.selector), self.scores(reference)
        place, against = self._place(choice.selector), self._place(reference)

        def f1(sums: Floats) -> Floats:
            return pixel.f1(sums[..., place, :])

        def gain(sums: Floats) -> Floats:
            return np.asarray(f1(sums) - pixel.f1(sums[..., against, :]))

        undefined = scores.pooled.f1 is None or other.pooled.f1 is None
        histogram = self._histograms[place]
        return SelectorResult(
            **dict(scores),
            selector=choice.selector,
            scale=choice.scale,
            members=len(choice.weights),
            effective_size=choice.effective,
            held_out_f1=choice.held_out_f1,
            threshold=choice.threshold,
            interval=_bounds(self._resampled.interval(f1)),
            gain=None if undefined else (scores.pooled.f1 or 0.0) - (other.pooled.f1 or 0.0),
            gain_interval=_bounds(self._resampled.interval(gain)),
            events_won=sum((one.f1 or 0.0) > (other.cases[case].f1 or 0.0) for case, one in scores.cases.items()),
            events=len(scores.cases),
            ece=reliability.reliability(histogram).ece if histogram.any() else None,
        )

    @cached_property
    def _resampled(self) -> Resampled:
        """All selectors on the same resamples; to be asked for when every scene is added."""
        return over_landslides(_by_case(self._units))

    def _place(self, selector: str) -> int:
        return list(self._combiners).index(selector)


class DeliveredAccumulator:
    """What is scored of the delivered ensemble alone: objects, confidence classes, reliability, ranking, slices."""

    def __init__(self, combiner: Combiner, classes: ConfidenceThresholds | None) -> None:
        self._combiner, self._classes = combiner, classes
        self._units: Units = {}
        self._objects: dict[str, list[Objects]] = {}
        self._patches: list[Patches] = []
        self._ranking = np.zeros((2, ranking.BINS), "int64")
        self._before, self._after = (np.zeros((2, reliability.BINS), "int64") for _ in range(2))
        self._slices: dict[str, dict[str, Counts]] = {}

    def add(self, case: str, scene: ScenePrediction, uncalibrated: Floats, slices: Mapping[str, Slices]) -> None:
        """One scene, in pixels of 10 m.

        Args:
            case: The id of the case.
            scene: Its first prediction is that of the delivered ensemble.
            uncalibrated: (y, x) the same prediction before calibration.
            slices: By what the scene is sliced.
        """
        probability, truth, valid = scene.probabilities[0], scene.truth, scene.valid
        mapped = probability > np.float32(self._combiner.threshold)
        self._units.setdefault(case, []).append(unit_counts(mapped, truth, valid))
        self._objects.setdefault(case, []).append(Objects.of(mapped, truth, valid, PIXEL**2))
        self._patches.append(Patches.of(probability, mapped, truth))
        self._ranking += ranking.histogram(probability, truth, valid)
        self._before += reliability.histogram(uncalibrated, truth)
        self._after += reliability.histogram(probability, truth)
        for name, parts in slices.items():
            kept = self._slices.setdefault(name, {})
            for label, counts in counts_by_slice(parts, mapped, truth, valid).items():
                kept[label] = kept.get(label, Counts()) + counts

    def intervals(self) -> PixelIntervals:
        """Of each pooled score by pixel."""
        return PixelIntervals.model_validate(_intervals(_by_case(self._units), SCORES))

    def average_precision(self) -> float | None:
        """None without any landslide."""
        value = float(ranking.average_precision(self._ranking))
        return value if np.isfinite(value) else None

    def recall_at_precision(self) -> dict[str, float | None]:
        """The greatest recall over all thresholds at each least precision; None where no threshold has it."""
        points = {f"{least:g}": ranking.at_precision(self._ranking, least) for least in PRECISIONS}
        return {least: None if point is None else point.counts.recall for least, point in points.items()}

    def objects(self) -> tuple[ObjectResult, ...]:
        """Scores by landslide at each share."""
        cases = {case: Objects.pooled(scenes) for case, scenes in self._objects.items()}
        pooled = Objects.pooled(cases.values())
        results = []
        for share in SHARES:
            units = {case: objects.units(share) for case, objects in cases.items()}
            intervals = ObjectIntervals.model_validate(_intervals(units, OBJECT_SCORES))
            results.append(ObjectResult(**dict(object_scores(pooled, share)), intervals=intervals))
        return tuple(results)

    def reliability(self) -> ReliabilityResult | None:
        """None where nothing was observed."""
        if not self._after.any():
            return None
        before, after = (reliability.reliability(histogram) for histogram in (self._before, self._after))
        return ReliabilityResult(before=before, after=after)

    def confidence(self) -> tuple[ConfidenceClass, ...] | None:
        """What the confidence classes mean on the test cases; None where the ensemble has none."""
        if self._classes is None:
            return None
        return tuple(confidence_classes(self._classes, Patches.pooled(self._patches)))

    def slices(self) -> dict[str, dict[str, Scores]]:
        """Scores of each part that has a pixel."""
        return {
            name: {label: Scores.of(counts) for label, counts in parts.items() if counts != Counts()}
            for name, parts in self._slices.items()
        }


def _by_case(units: Units) -> dict[str, NDArray[np.int64]]:
    return {case: np.concatenate(scenes) for case, scenes in units.items()}


def _intervals(units: Mapping[str, NDArray[Any]], scores: Mapping[str, Score]) -> dict[str, Intervals]:
    """Of each score of the units' sums, over landslides and over events."""
    landslides, events = over_landslides(units), over_events(units)
    return {
        name: Intervals(landslides=_bounds(landslides.interval(score)), events=_bounds(events.interval(score)))
        for name, score in scores.items()
    }


def _bounds(interval: Interval | None) -> Bounds | None:
    return None if interval is None else (interval.low, interval.high)
