"""Precision-recall curve, average precision and thresholds, from one histogram of probability by truth.

A histogram is int64 (2, bin): pixels that are not landslide, then pixels that are. Bin i contains
i/bins < p ≤ (i+1)/bins, and the first bin also p = 0, so the bins from i on are what `probability > i/bins` maps. With
1,024 bins, a power of two, the edges are exact in float32 and float64, and a threshold gives the map's exact counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landslide.metrics.pixel import Counts, Floats, ratio

BINS = 1024
Histogram = NDArray[np.int64]


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold, applied as `probability > threshold`, and its counts; `index` is the first bin that is mapped."""

    threshold: float
    counts: Counts
    index: int


def bin_of(probability: NDArray[np.floating]) -> NDArray[np.int64]:
    """Bin index of each probability, 0 to 1, in the same shape. Probabilities must not be NaN."""
    index: NDArray[np.int64] = np.clip(np.ceil(probability * BINS) - 1, 0, BINS - 1).astype("int64")
    return index


def histogram(probability: NDArray[np.floating], truth: NDArray[np.bool_], valid: NDArray[np.bool_]) -> Histogram:
    """Pixels (2, bin) by truth and probability, of arrays of one shape. NaN (not observed) does not count.

    The histogram of several blocks, scenes or events is the sum of theirs.
    """
    counted = valid & np.isfinite(probability)
    index = bin_of(probability[counted]) + BINS * truth[counted]
    return np.bincount(index, minlength=2 * BINS).reshape(2, BINS).astype("int64")


def mapped_above(histograms: NDArray[np.generic]) -> Floats:
    """False and true positives (…, 2, bin + 1) of histograms (…, 2, bin) at the thresholds i/bins.

    Entry 0 includes pixels with p = 0; the last entry is 0.
    """
    from_above = np.cumsum(np.asarray(histograms, "float64")[..., ::-1], -1)[..., ::-1]
    return np.concatenate([from_above, np.zeros((*from_above.shape[:-1], 1))], -1)


def curve(histograms: NDArray[np.generic]) -> tuple[Floats, Floats]:
    """Precision and recall (…, bin + 1) over the thresholds i/bins, NaN where undefined."""
    fp, tp = np.moveaxis(mapped_above(histograms), -2, 0)
    return ratio(tp, tp + fp), ratio(tp, tp[..., :1])


def average_precision(histograms: NDArray[np.generic]) -> Floats:
    """Average precision (…) of histograms (…, 2, bin): Σ (Rₙ − Rₙ₋₁) Pₙ from the highest bin down.

    Equal to scikit-learn's average_precision_score of the binned probabilities; NaN without landslide pixels.
    """
    precision, recall = curve(histograms)
    gain = recall[..., :-1] - recall[..., 1:]
    steps = np.where(gain == 0, 0, gain * np.nan_to_num(precision[..., :-1]))
    return np.asarray(steps.sum(-1))


def at_precision(counts: Histogram, min_precision: float) -> OperatingPoint | None:
    """The threshold with the highest recall among those with this precision or more; None if there is none."""
    fp, tp = mapped_above(counts)[:, 1:]
    allowed = (tp > 0) & (np.nan_to_num(ratio(tp, tp + fp)) >= min_precision)
    if not allowed.any():
        return None
    return _best(counts, np.where(allowed & (tp == tp[allowed].max()), -fp, -np.inf))


def best_f(counts: Histogram, beta: float = 1.0) -> OperatingPoint | None:
    """The threshold with the highest F-beta score (van Rijsbergen 1979), in which recall weighs beta times precision.

    None without landslide pixels.
    """
    if not counts[1].any():
        return None
    fp, tp = mapped_above(counts)[:, 1:]
    fn = counts[1].sum() - tp
    return _best(counts, ratio((1 + beta**2) * tp, (1 + beta**2) * tp + beta**2 * fn + fp))


def min_cost(counts: Histogram, miss: float) -> OperatingPoint:
    """The threshold with the lowest cost, if a missed landslide pixel costs `miss` and a false positive costs 1.

    For calibrated probabilities it is close to 1 / (1 + miss) (Elkan 2001, eq. 2).
    """
    fp, tp = mapped_above(counts)[:, 1:]
    return _best(counts, -(miss * (counts[1].sum() - tp) + fp))


def _best(counts: Histogram, score: Floats) -> OperatingPoint:
    """The threshold with the highest score (bin,) of the thresholds 1/bins to 1; the middle one of a tie."""
    best = np.flatnonzero(score == score.max())
    index = int(best[len(best) // 2]) + 1
    fp, tp = (int(pixels[index:].sum()) for pixels in counts)
    negatives, positives = (int(pixels.sum()) for pixels in counts)
    return OperatingPoint(index / counts.shape[-1], Counts(tp=tp, fp=fp, fn=positives - tp, tn=negatives - fp), index)
