"""Confidence intervals of scores by the cluster bootstrap, over landslides or over events.

Pixels of one landslide are detected or missed together, so they are not independent; landslides nearly are. The unit
that is resampled is therefore an 8-connected patch of pixels that are true or mapped. A false alarm is a unit of its
own. Pixels that are neither true nor mapped are divided into square blocks, which contribute true negatives only.

*Over landslides*: the units of each event are drawn with replacement, as many as the event has. The interval is the
uncertainty of the score of these events. *Over events*: events are drawn with replacement, then units within each. The
interval is that of the score on other events; it is wider and needs at least three events.

Identical units are drawn as one row with a multinomial count: the distribution is the same, thousands of blocks of true
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

RESAMPLES = 2000
LEVEL = 0.95
MIN_EVENTS = 3
MAX_UNDEFINED = 0.05  # share of resamples
BLOCK_PIXELS = 128

Units = NDArray[np.generic]
"""(unit, …): what each unit adds to the sums from which a score is computed, such as tp, fp, fn, tn (unit, 4)."""


class Interval(BaseModel):
    """A score and its confidence interval at a confidence level."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float
    high: float
    level: float


@dataclass(frozen=True)
class Resampled:
    """Sums over all units, `whole` (…), and over the units of each resample, `draws` (resample, …), float64.

    `events` is the number of events that were resampled, None if only units within events were.
    """

    whole: Floats
    draws: Floats
    events: int | None = None

    def interval(self, score: Score, level: float = LEVEL) -> Interval | None:
        """The percentile interval of a score of the sums.

        None if the score is undefined, if it is undefined in more than 5 % of the resamples, or over fewer than three
        events. Over events the percentiles are expanded, with Student's t and n − 1 (Hesterberg 2015, The American
        Statistician 69), because plain percentiles are too narrow for few events.
        """
        value, values = float(score(self.whole)), score(self.draws)
        defined = values[np.isfinite(values)]
        too_few = self.events is not None and self.events < MIN_EVENTS
        if too_few or not np.isfinite(value) or defined.size < (1 - MAX_UNDEFINED) * values.size:
            return None
        low, high = np.quantile(defined, self._quantiles(level))
        return Interval(value=value, low=float(low), high=float(high), level=level)

    def _quantiles(self, level: float) -> tuple[float, float]:
        tail = (1 - level) / 2
        if self.events is not None:
            n = self.events
            tail = float(stats.norm.cdf(np.sqrt(n / (n - 1)) * stats.t.ppf(tail, n - 1)))
        return tail, 1 - tail


def over_landslides(events: Mapping[str, Units], seed: int = 0, resamples: int = RESAMPLES) -> Resampled:
    """Resample the units (unit, …) of each event with replacement. Deterministic, whatever the order of the events."""
    random, once = np.random.default_rng(seed), np.ones(resamples, "int64")
    return Resampled(_sum(events), sum((_draw(random, events[name], once) for name in sorted(events)), np.zeros(())))


def over_events(events: Mapping[str, Units], seed: int = 0, resamples: int = RESAMPLES) -> Resampled:
    """Resample events with replacement and, for each time an event is drawn, its units (unit, …) with replacement.

    The two-stage bootstrap of Davison and Hinkley (1997, section 3.8). Deterministic, like `over_landslides`.
    """
    random = np.random.default_rng(seed)
    times = random.multinomial(len(events), np.full(len(events), 1 / len(events)), resamples)
    draws = (_draw(random, events[name], count) for name, count in zip(sorted(events), times.T, strict=True))
    return Resampled(_sum(events), sum(draws, np.zeros(())), len(events))


def _sum(events: Mapping[str, Units]) -> Floats:
    return np.asarray(sum(np.asarray(units, "float64").sum(0) for units in events.values()))


def _draw(random: np.random.Generator, units: Units, times: NDArray[np.int64]) -> Floats:
    """Sums (resample, …) of `times` (resample,) × n units drawn with replacement from the n units."""
    if not len(units):  # an event without any observed pixel
        return np.zeros((len(times), *units.shape[1:]))
    flat = np.asarray(units, "float64").reshape(len(units), -1)
    distinct, copies = np.unique(flat, axis=0, return_counts=True)
    drawn = random.multinomial(times * len(units), copies / len(units)).astype("float64")
    return np.asarray(drawn @ distinct).reshape(len(times), *units.shape[1:])


def unit_counts(mapped: NDArray[np.bool_], truth: NDArray[np.bool_], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Counts tp, fp, fn, tn of each unit: (unit, 4) of one map (y, x), or (unit, map, 4) of several (map, y, x).

    `truth` and `valid` are (y, x). Several maps share their units, so differences between maps are resampled in pairs.
    The units of an event with several scenes are the concatenation of the scenes' units.
    """
    maps = np.reshape(mapped, (-1, *truth.shape))
    unit = unit_of(valid & (truth | maps.any(0)))[valid]
    number = int(unit.max(initial=-1)) + 1
    outcomes = (2 * ~one[valid] + ~truth[valid] for one in maps)
    counts = [np.bincount(4 * unit + outcome, minlength=4 * number).reshape(number, 4) for outcome in outcomes]
    used = _non_empty(np.stack(counts, 1))
    return used.reshape(len(used), *mapped.shape[:-2], 4)


def unit_of(patches: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Index (y, x) of each pixel's unit: 8-connected patches first, then blocks of 128 × 128 pixels of the rest."""
    labels, number = ndimage.label(patches, CORNERS)
    rows, columns = (np.arange(size, dtype="int32") // BLOCK_PIXELS for size in patches.shape)
    block = rows[:, None] * np.int32(-(-patches.shape[1] // BLOCK_PIXELS)) + columns
    return np.asarray(np.where(patches, labels - 1, number + block), "int32")


def _non_empty(units: NDArray[np.int64]) -> NDArray[np.int64]:
    """The units that contain a pixel."""
    return units[units.reshape(len(units), -1).any(1)] if len(units) else units
