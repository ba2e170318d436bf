"""Ways of choosing members side by side on the test cases: how each did, and how sure its gain is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from landslide.evaluation import calibration, scores
from landslide.evaluation.bootstrap import Interval, Resampled, over_landslides, unit_counts
from landslide.evaluation.choosing import Choice
from landslide.evaluation.counts import Counts, total
from landslide.evaluation.scales import Scale
from landslide.evaluation.scores import Floats
from landslide.evaluation.voting import Picture, Vote

Bounds = tuple[float, float]


class Shown(BaseModel):
    """A way on the test cases. `interval` is of F1, over landslides; `gain` is what its F1 has over that of the way it
    stands beside, with the interval of pairs; `events_won` of `events` test cases have a higher F1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    way: str
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


class Sizes:
    """How sure F1 is at some sizes. Each has its own units: one size's false alarms join nothing of another's."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._units: dict[int, dict[str, list[NDArray[np.int64]]]] = {k: {} for k in sizes}

    def add(self, case: str, k: int, mapped: NDArray[np.bool_], picture: Picture) -> None:
        """What the mean of the best k maps of a scene, (y, x)."""
        self._units[k].setdefault(case, []).append(unit_counts(mapped, picture.truth, picture.valid))

    def intervals(self) -> dict[int, Bounds | None]:
        """95 % interval of F1 over landslides, by size."""
        found = {}
        for k, cases in self._units.items():
            drawn = over_landslides({case: np.concatenate(units) for case, units in cases.items()})
            found[k] = _bounds(drawn.interval(scores.f1))
        return found


class Tally:
    """Units (unit, vote, 4) of each case, and histograms of probability by truth of each vote, gathered by scene."""

    def __init__(self, votes: Mapping[str, Vote]) -> None:
        self._votes, self._units = dict(votes), dict[str, list[NDArray[np.int64]]]()
        self._counted = np.zeros((len(votes), 2, calibration.BINS), "int64")

    def add(self, case: str, picture: Picture) -> None:
        """One scene, whose first votes are those of the tally."""
        of_votes = picture.probabilities[: len(self._votes)]
        thresholds = np.array([vote.threshold for vote in self._votes.values()], "float32")
        mapped = of_votes > thresholds[:, None, None]
        self._units.setdefault(case, []).append(unit_counts(mapped, picture.truth, picture.valid))
        for row, probability in zip(self._counted, of_votes, strict=True):
            row += calibration.histogram(probability, picture.truth)

    def counts(self, name: str) -> dict[str, Counts]:
        """Counts of a vote by case."""
        return {case: Counts.from_row(units[:, self._place(name)].sum(0)) for case, units in self._by_case().items()}

    def interval(self, name: str) -> Bounds | None:
        """95 % interval of a vote's F1."""
        place = self._place(name)
        return _bounds(self._drawn.interval(lambda sums: scores.f1(sums[..., place, :])))

    def shown(self, choice: Choice, beside: str) -> Shown:
        """A choice beside another one."""
        mine, other = self.counts(choice.way), self.counts(beside)
        place, against = self._place(choice.way), self._place(beside)

        def gain(sums: Floats) -> Floats:
            return np.asarray(scores.f1(sums[..., place, :]) - scores.f1(sums[..., against, :]))

        pooled, pooled_other = total(list(mine.values())).f1, total(list(other.values())).f1
        return Shown(
            way=choice.way, scale=choice.scale, members=len(choice.weights), effective=choice.effective,
            held_out_f1=choice.held_out_f1, threshold=choice.threshold,
            pooled=total(list(mine.values())).scores(), cases={case: counts.scores() for case, counts in mine.items()},
            interval=self.interval(choice.way),
            gain=None if pooled is None or pooled_other is None else pooled - pooled_other,
            gain_interval=_bounds(self._drawn.interval(gain)),
            events_won=sum((mine[case].f1 or 0.0) > (other[case].f1 or 0.0) for case in mine), events=len(mine),
            ece=calibration.reliability(self._counted[place]).ece if self._counted[place].any() else None,
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
