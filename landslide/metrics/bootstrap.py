"""Intervals of scores by the bootstrap: how far a score may move with other landslides, or with other events.

Pixels of one landslide are found or missed together, so they are no independent trials; landslides nearly are. A unit
is what stands or falls together: a patch of truth and of what was mapped there, as one where they touch. A false alarm
is a unit of its own; what is neither true nor mapped is cut into square blocks, for true negatives alone.

*Over landslides*: each event's units are drawn with replacement, as many as it has. It answers: how sure is the score
of these events? *Over events*: events are drawn with replacement, then units within each. It answers: how would the map
do on other events? That one is wider, and cannot be told from fewer than three events.

Units that are alike are drawn as one row whose weight is their number: the same law, thousands of blocks of true
negatives become one row, and the order of units has no effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import ndimage, stats

from landslide.metrics.objects import CORNERS
from landslide.metrics.pixel import Floats, Score
from landslide.metrics.ranking import bin_of

RESAMPLES = 2000
LEVEL = 0.95
FEWEST_EVENTS = 3
UNDEFINED = 0.05
BLOCK_PIXELS = 128
UNIT_BINS = 128

Units = NDArray[np.generic]
"""(unit, …): what each unit adds to the sums of which a score is made; counts (unit, 4) in the order tp, fp, fn, tn."""


class Interval(BaseModel):
    """A score, and the bounds between which `level` of the resamples lie."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float
    high: float
    level: float


@dataclass(frozen=True)
class Resampled:
    """Sums over all units, `whole` (…), and over those of each resample, `draws` (resample, …), float64.

    `events` is how many were drawn, None where units were drawn within events as they are.
    """

    whole: Floats
    draws: Floats
    events: int | None = None

    def interval(self, score: Score, level: float = LEVEL) -> Interval | None:
        """The percentile interval of a score of the sums; None where it cannot be told.

        That is where the score is undefined as it stands or in more than one resample of twenty, and over fewer than
        three events. Over events the percentiles lie further out, as Student's t does from the normal and n − 1 from n
        (Hesterberg 2015, The American Statistician 69, expanded percentiles): plain ones are too narrow for few events.
        """
        value, values = float(score(self.whole)), score(self.draws)
        defined = values[np.isfinite(values)]
        too_few = self.events is not None and self.events < FEWEST_EVENTS
        if too_few or not np.isfinite(value) or defined.size < (1 - UNDEFINED) * values.size:
            return None
        low, high = np.quantile(defined, self._tails(level))
        return Interval(value=value, low=float(low), high=float(high), level=level)

    def _tails(self, level: float) -> tuple[float, float]:
        tail = (1 - level) / 2
        if self.events is not None:
            n = self.events
            tail = float(stats.norm.cdf(np.sqrt(n / (n - 1)) * stats.t.ppf(tail, n - 1)))
        return tail, 1 - tail


def over_landslides(events: Mapping[str, Units], seed: int = 0, resamples: int = RESAMPLES) -> Resampled:
    """Draw each event's units (unit, …) with replacement; the same seed and units give the same draws, in any order."""
    random, once = np.random.default_rng(seed), np.ones(resamples, "int64")
    return Resampled(_whole(events), sum((_draw(random, events[name], once) for name in sorted(events)), np.zeros(())))


def over_events(events: Mapping[str, Units], seed: int = 0, resamples: int = RESAMPLES) -> Resampled:
    """Draw events with replacement, then the units (unit, …) of each, anew for each time that it is drawn.

    The two stages of Davison and Hinkley (1997, 3.8). Deterministic as `over_landslides` is.
    """
    random = np.random.default_rng(seed)
    times = random.multinomial(len(events), np.full(len(events), 1 / len(events)), resamples)
    draws = (_draw(random, events[name], count) for name, count in zip(sorted(events), times.T, strict=True))
    return Resampled(_whole(events), sum(draws, np.zeros(())), len(events))


def _whole(events: Mapping[str, Units]) -> Floats:
    return np.asarray(sum(np.asarray(units, "float64").sum(0) for units in events.values()))


def _draw(random: np.random.Generator, units: Units, times: NDArray[np.int64]) -> Floats:
    """Sums (resample, …) of as many units as there are, drawn with replacement, `times` (resample,) over."""
    if not len(units):  # an event of which nothing was observed
        return np.zeros((len(times), *units.shape[1:]))
    flat = np.asarray(units, "float64").reshape(len(units), -1)
    kinds, copies = np.unique(flat, axis=0, return_counts=True)
    drawn = random.multinomial(times * len(units), copies / len(units)).astype("float64")
    return np.asarray(drawn @ kinds).reshape(len(times), *units.shape[1:])


def unit_counts(mapped: NDArray[np.bool_], truth: NDArray[np.bool_], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Counts (unit, 4) in the order tp, fp, fn, tn of one map (y, x), or (unit, map, 4) of several (map, y, x).

    Several maps share their units, so that the interval of a difference between two of them is that of pairs. `truth`
    and `valid` are (y, x). An event of several scenes is the concatenation of their units.
    """
    maps = np.reshape(mapped, (-1, *truth.shape))
    unit = unit_of(valid & (truth | maps.any(0)))[valid]
    number = int(unit.max(initial=-1)) + 1
    outcomes = (2 * ~one[valid] + ~truth[valid] for one in maps)
    counts = [np.bincount(4 * unit + outcome, minlength=4 * number).reshape(number, 4) for outcome in outcomes]
    used = _used(np.stack(counts, 1))
    return used.reshape(len(used), *mapped.shape[:-2], 4)


def unit_histograms(
    probability: NDArray[np.floating], truth: NDArray[np.bool_], valid: NDArray[np.bool_], bins: int = UNIT_BINS
) -> NDArray[np.int64]:
    """Histograms (unit, 2, bin), as in `ranking`, to resample average precision; the arrays are (y, x).

    Units are landslides, and blocks of what is not landslide, for probabilities have no outlines.
    """
    counted = valid & np.isfinite(probability)
    unit = unit_of(truth & counted)[counted].astype("int64")
    number = int(unit.max(initial=-1)) + 1
    place = bin_of(probability[counted], bins) + bins * truth[counted]
    counts = np.bincount(2 * bins * unit + place, minlength=2 * bins * number)
    return _used(counts.reshape(number, 2, bins))


def unit_of(patches: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(y, x) the unit of each pixel, from 0: 8-connected patches, then blocks of 128 × 128 pixels of the rest."""
    labels, number = ndimage.label(patches, CORNERS)
    rows, columns = (np.arange(size, dtype="int32") // BLOCK_PIXELS for size in patches.shape)
    block = rows[:, None] * np.int32(-(-patches.shape[1] // BLOCK_PIXELS)) + columns
    return np.asarray(np.where(patches, labels - 1, number + block), "int32")


def _used(units: NDArray[np.int64]) -> NDArray[np.int64]:
    """The units that have a pixel at all."""
    return units[units.reshape(len(units), -1).any(1)] if len(units) else units
