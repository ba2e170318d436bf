"""Scores as functions of arrays: the last axis holds the counts, every other axis is kept.

`Counts` scores one table of counts; these score thousands at once, for intervals. Where a denominator is zero, NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]
"""From sums of whatever was resampled, float64 (…, k), to a value each (…), NaN where undefined."""


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Their quotient, NaN where the denominator is 0; float64, broadcast."""
    above, below = np.broadcast_arrays(np.asarray(numerator, "float64"), np.asarray(denominator, "float64"))
    return np.asarray(np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0))


def precision(counts: Floats) -> Floats:
    """Precision of counts (…, 4), in the order tp, fp, fn, tn."""
    tp, fp, _, _ = np.moveaxis(counts, -1, 0)
    return ratio(tp, tp + fp)


def recall(counts: Floats) -> Floats:
    """Recall of counts (…, 4), in the order tp, fp, fn, tn."""
    tp, _, fn, _ = np.moveaxis(counts, -1, 0)
    return ratio(tp, tp + fn)


def f1(counts: Floats) -> Floats:
    """F1 of counts (…, 4), in the order tp, fp, fn, tn."""
    tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
    return ratio(2 * tp, 2 * tp + fp + fn)


def iou(counts: Floats) -> Floats:
    """Intersection over union of counts (…, 4), in the order tp, fp, fn, tn."""
    tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
    return ratio(tp, tp + fp + fn)


def mcc(counts: Floats) -> Floats:
    """Matthews correlation coefficient (Matthews 1975) of counts (…, 4), in the order tp, fp, fn, tn."""
    tp, fp, fn, tn = np.moveaxis(np.asarray(counts, "float64"), -1, 0)  # products of four counts pass 64-bit integers
    return ratio(tp * tn - fp * fn, np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn))


def area_bias(counts: Floats) -> Floats:
    """Mapped area over true area, of counts (…, 4) in the order tp, fp, fn, tn. Above 1 the map says too much."""
    tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
    return ratio(tp + fp, tp + fn)


SCORES: dict[str, Score] = {
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "iou": iou,
    "mcc": mcc,
    "area_bias": area_bias,
}
