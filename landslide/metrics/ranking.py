"""How well probabilities rank pixels, and where to cut them: all from one histogram of probability by truth.

A histogram is int64 (2, bin): pixels that are not landslide, then pixels that are. Bin i holds i/bins < p ≤ (i+1)/bins,
and the first one p = 0 as well, so that the bins from i on are what `probability > i/bins` maps. 1,024 is a power of
two: its edges are exact in float32 and float64, and a cut of the histogram is a cut of the map, to the pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landslide.metrics.pixel import Counts, Floats, ratio

BINS = 1024
Histogram = NDArray[np.int64]


@dataclass(frozen=True)
class Cut:
    """A threshold, to be used as `probability > threshold`, and the counts that it gives; `index` is the first bin of
    what is mapped.
    """

    threshold: float
    counts: Counts
    index: int


def bin_of(probability: NDArray[np.floating], bins: int = BINS) -> NDArray[np.int64]:
    """Index of the bin of each probability, 0 to 1, in the shape given; NaN must not be among them."""
    index: NDArray[np.int64] = np.clip(np.ceil(probability * bins) - 1, 0, bins - 1).astype("int64")
    return index


def histogram(
    probability: NDArray[np.floating], truth: NDArray[np.bool_], valid: NDArray[np.bool_], bins: int = BINS
) -> Histogram:
    """Pixels (2, bin) by truth and probability, of arrays of one shape; NaN is not observed and does not count.

    Histograms of blocks, scenes and events add up.
    """
    counted = valid & np.isfinite(probability)
    place = bin_of(probability[counted], bins) + bins * truth[counted]
    return np.bincount(place, minlength=2 * bins).reshape(2, bins).astype("int64")


def mapped_above(histograms: NDArray[np.generic]) -> Floats:
    """False and true positives (…, 2, bin + 1) of (…, 2, bin): entry i is what `probability > i/bins` maps.

    Entry 0 is everything, p = 0 too; the last is nothing.
    """
    from_above = np.cumsum(np.asarray(histograms, "float64")[..., ::-1], -1)[..., ::-1]
    return np.concatenate([from_above, np.zeros((*from_above.shape[:-1], 1))], -1)


def curve(histograms: NDArray[np.generic]) -> tuple[Floats, Floats]:
    """Precision and recall (…, bin + 1) over the thresholds i/bins, NaN where undefined."""
    fp, tp = np.moveaxis(mapped_above(histograms), -2, 0)
    return ratio(tp, tp + fp), ratio(tp, tp[..., :1])


def average_precision(histograms: NDArray[np.generic]) -> Floats:
    """Area under the precision-recall curve in steps, (…) of (…, 2, bin): Σ (Rₙ − Rₙ₋₁) Pₙ from the highest bin down.

    It is scikit-learn's average_precision_score of the bins; without any landslide it is NaN.
    """
    precision, recall = curve(histograms)
    gained = recall[..., :-1] - recall[..., 1:]
    steps = np.where(gained == 0, 0, gained * np.nan_to_num(precision[..., :-1]))
    return np.asarray(steps.sum(-1))


def at_precision(counted: Histogram, least: float) -> Cut | None:
    """The cut that finds the most landslide pixels while precision is at least `least`; None where none has that."""
    fp, tp = mapped_above(counted)[:, 1:]
    allowed = (tp > 0) & (np.nan_to_num(ratio(tp, tp + fp)) >= least)
    if not allowed.any():
        return None
    return _cut(counted, np.where(allowed & (tp == tp[allowed].max()), -fp, -np.inf))


def best_f(counted: Histogram, beta: float = 1.0) -> Cut | None:
    """The cut with the highest F-beta (van Rijsbergen 1979), in which recall weighs beta times as much as precision.

    None without any landslide pixel.
    """
    if not counted[1].any():
        return None
    fp, tp = mapped_above(counted)[:, 1:]
    fn = counted[1].sum() - tp
    return _cut(counted, ratio((1 + beta**2) * tp, (1 + beta**2) * tp + beta**2 * fn + fp))


def cheapest(counted: Histogram, miss: float, false_alarm: float = 1.0) -> Cut:
    """The cut that costs least, where a missed landslide pixel costs `miss` and one wrongly mapped `false_alarm`.

    For calibrated probabilities it lies near false_alarm / (false_alarm + miss) (Elkan 2001, eq. 2).
    """
    fp, tp = mapped_above(counted)[:, 1:]
    return _cut(counted, -(miss * (counted[1].sum() - tp) + false_alarm * fp))


def _cut(counted: Histogram, merit: Floats) -> Cut:
    """The cut of the greatest merit (bin,) of the thresholds 1/bins to 1; among equals, which part nothing, the middle
    one."""
    best = np.flatnonzero(merit == merit.max())
    index = int(best[len(best) // 2]) + 1
    fp, tp = (int(side[index:].sum()) for side in counted)
    negatives, positives = (int(side.sum()) for side in counted)
    return Cut(index / counted.shape[-1], Counts(tp=tp, fp=fp, fn=positives - tp, tn=negatives - fp), index)
