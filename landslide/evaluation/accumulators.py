"""Ways of choosing members side by side on the test cases: how each did, and how sure its gain is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from landslide.ensembles.combine import Combiner, ScenePrediction
from landslide.ensembles.confidence import Cuts, Patches, meanings
from landslide.ensembles.scale import Scale
from landslide.ensembles.select import Choice
from landslide.geo.grid import PIXEL
from landslide.metrics import pixel, ranking, reliability
from landslide.metrics.bootstrap import Interval, Resampled, over_events, over_landslides, unit_counts
from landslide.metrics.objects import SHARES, Objects, object_scores
from landslide.metrics.pixel import SCORES, Counts, Floats, Score, precision, recall, total
from landslide.metrics.ranking import at_precision, average_precision
from landslide.metrics.reliability import Reliability
from landslide.metrics.strata import Slices, counts_by_slice

Bounds = tuple[float, float]


class SelectorResult(BaseModel):
    """A way on the test cases. `interval` is of F1, over landslides; `gain` is what its F1 has over that of the way it
    stands beside, with the interval of pairs; `events_won` of `events` test cases have a higher F1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    selector: str
    scale: Scale
    members: int
    effective: float
    held_out_f1: float | None
    threshold: float
    pooled: dict[str, float | int | None]
    cases: dict[str, dict[str, float | int | None]]
    interval: Bounds | None
    gain: float | None
    gain_interval: Bounds | None
    events_won: int
    events: int
    ece: float | None


class SizeIntervals:
    """How sure F1 is at some sizes. Each has its own units: one size's false alarms join nothing of another's."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._units: dict[int, dict[str, list[NDArray[np.int64]]]] = {k: {} for k in sizes}

    def add(self, case: str, k: int, mapped: NDArray[np.bool_], picture: ScenePrediction) -> None:
        """What the mean of the best k maps of a scene, (y, x)."""
        self._units[k].setdefault(case, []).append(unit_counts(mapped, picture.truth, picture.valid))

    def intervals(self) -> dict[int, Bounds | None]:
        """95 % interval of F1 over landslides, by size."""
        found = {}
        for k, cases in self._units.items():
            drawn = over_landslides({case: np.concatenate(units) for case, units in cases.items()})
            found[k] = _bounds(drawn.interval(pixel.f1))
        return found


class SelectorAccumulator:
    """Units (unit, vote, 4) of each case, and histograms of probability by truth of each vote, gathered by scene."""

    def __init__(self, votes: Mapping[str, Combiner]) -> None:
        self._votes, self._units = dict(votes), dict[str, list[NDArray[np.int64]]]()
        self._counted = np.zeros((len(votes), 2, reliability.BINS), "int64")

    def add(self, case: str, picture: ScenePrediction) -> None:
        """One scene, whose first votes are those of the tally."""
        of_votes = picture.probabilities[: len(self._votes)]
        thresholds = np.array([vote.threshold for vote in self._votes.values()], "float32")
        mapped = of_votes > thresholds[:, None, None]
        self._units.setdefault(case, []).append(unit_counts(mapped, picture.truth, picture.valid))
        for row, probability in zip(self._counted, of_votes, strict=True):
            row += reliability.histogram(probability, picture.truth)

    def counts(self, name: str) -> dict[str, Counts]:
        """Counts of a vote by case."""
        return {case: Counts.from_row(units[:, self._place(name)].sum(0)) for case, units in self._by_case().items()}

    def interval(self, name: str) -> Bounds | None:
        """95 % interval of a vote's F1."""
        place = self._place(name)
        return _bounds(self._drawn.interval(lambda sums: pixel.f1(sums[..., place, :])))

    def shown(self, choice: Choice, beside: str) -> SelectorResult:
        """A choice beside another one."""
        mine, other = self.counts(choice.selector), self.counts(beside)
        place, against = self._place(choice.selector), self._place(beside)

        def gain(sums: Floats) -> Floats:
            return np.asarray(pixel.f1(sums[..., place, :]) - pixel.f1(sums[..., against, :]))

        pooled, pooled_other = total(list(mine.values())).f1, total(list(other.values())).f1
        return SelectorResult(
            selector=choice.selector, scale=choice.scale, members=len(choice.weights), effective=choice.effective,
            held_out_f1=choice.held_out_f1, threshold=choice.threshold,
            pooled=total(list(mine.values())).scores(), cases={case: counts.scores() for case, counts in mine.items()},
            interval=self.interval(choice.selector),
            gain=None if pooled is None or pooled_other is None else pooled - pooled_other,
            gain_interval=_bounds(self._drawn.interval(gain)),
            events_won=sum((mine[case].f1 or 0.0) > (other[case].f1 or 0.0) for case in mine), events=len(mine),
            ece=reliability.reliability(self._counted[place]).ece if self._counted[place].any() else None,
        )  # fmt: skip

    @cached_property
    def _drawn(self) -> Resampled:
        """All votes on the same resamples; once every scene is there."""
        return over_landslides(self._by_case())

    def _place(self, name: str) -> int:
        return list(self._votes).index(name)

    def _by_case(self) -> dict[str, NDArray[np.int64]]:
        return {case: np.concatenate(units) for case, units in self._units.items()}


def _bounds(interval: Interval | None) -> Bounds | None:
    return None if interval is None else (interval.low, interval.high)


PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9)


OBJECT_SCORES: dict[str, Score] = {"detection_rate": recall, "false_alarm_ratio": lambda counts: 1 - precision(counts)}


class DeliveredAccumulator:
    """Of each test case, gathered by scene: what each unit adds to the counts (unit, 4), its objects, its mapped
    patches, its probabilities by truth; and over all cases the counts of each slice by what it is a slice of.
    """

    def __init__(self, vote: Combiner, classes: Cuts | None) -> None:
        self._objects: dict[str, list[Objects]] = {}
        self._vote, self._classes = vote, classes
        self._units: dict[str, list[NDArray[np.int64]]] = {}
        self._patches: list[Patches] = []
        self._ranks = np.zeros((2, ranking.BINS), "int64")
        self._truths = np.zeros((2, 2, reliability.BINS), "int64")  # before and after calibration
        self._slices: dict[str, dict[str, Counts]] = {}

    def add(self, case: str, picture: ScenePrediction, before: int, slices: Mapping[str, Slices]) -> None:
        """One scene, in pixels of 10 m, whose first vote is the delivered one; the vote `before` is not calibrated."""
        probability, truth, valid = picture.probabilities[0], picture.truth, picture.valid
        mapped = probability > np.float32(self._vote.threshold)
        self._units.setdefault(case, []).append(unit_counts(mapped, truth, valid))
        self._objects.setdefault(case, []).append(Objects.of(mapped, truth, valid, PIXEL**2))
        self._patches.append(Patches.of(probability, mapped, truth))
        self._ranks += ranking.histogram(probability, truth, valid)
        for counted, vote in zip(self._truths, (before, 0), strict=True):
            counted += reliability.histogram(picture.probabilities[vote], truth)
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
        return dict(zip(("before", "after"), map(reliability.reliability, self._truths), strict=True))

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
    return {
        name: {over: _bounds(some.interval(score)) for over, some in drawn.items()} for name, score in scores.items()
    }
