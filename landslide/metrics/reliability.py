"""Reliability (calibration) of probabilities, from a histogram of their logits by truth.

A histogram is int64 (2, bin): pixels that are not landslide, then pixels that are, in 1,000 bins of the logit
ln p / (1 − p) from −12 to 12. Logits outside this range are in the outermost bins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.special import expit, logit

from landslide.errors import InputError
from landslide.metrics.pixel import Floats

BINS, LIMIT = 1000, 12.0
CLASSES = 15
CENTRES: Floats = np.linspace(-LIMIT, LIMIT, 2 * BINS + 1)[1::2]
"""Logits (bin,) at the centres of the bins."""

Histogram = NDArray[np.int64]


def bin_of(probability: NDArray[np.floating]) -> NDArray[np.int64]:
    """Bin index of each probability, 0 to 1, in the same shape. Probabilities must not be NaN."""
    index = np.floor((clipped_logit(probability) + LIMIT) * (BINS / (2 * LIMIT)))
    return np.clip(index, 0, BINS - 1).astype("int64")


def histogram(probability: NDArray[np.floating], truth: NDArray[np.bool_]) -> Histogram:
    """Pixels (2, bin) by truth and probability, of arrays of one shape. NaN (not observed) does not count.

    The histogram of several blocks, scenes or events is the sum of theirs.
    """
    seen = np.isfinite(probability)
    return np.bincount(bin_of(probability[seen]) + BINS * truth[seen], minlength=2 * BINS).reshape(2, BINS)


def clipped_logit(probability: NDArray[np.floating]) -> Floats:
    """Logits of probabilities, clipped to −12 to 12, float64, in the same shape; NaN stays NaN."""
    return np.asarray(np.clip(logit(np.asarray(probability, "float64")), -LIMIT, LIMIT))


class Class(BaseModel):
    """A class of similar probabilities: their mean, the share of its pixels that is landslide, and their number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    forecast: float
    frequency: float
    pixels: int


class Reliability(BaseModel):
    """Reliability of probabilities: how close they are to the observed frequencies of landslides.

    Args:
        classes: 15 of equal width; empty ones are left out.
        ece: Expected calibration error, Σ (pixels / all) |forecast − frequency| over `classes` (Guo et al. 2017,
            eq. 3). Reports show this one, because classes of equal width separate the few mapped pixels from the rest.
        ece_equal_mass: The same over 15 classes of nearly equal numbers of pixels (Nixon et al. 2019).
        brier: Mean (forecast − truth)² = miscalibration − resolution + uncertainty (Murphy 1973), over all bins.
        miscalibration: Mean (forecast − frequency)².
        resolution: Mean (frequency − p)², p the share of landslide pixels.
        uncertainty: p (1 − p).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: list[Class]
    ece: float
    ece_equal_mass: float
    brier: float
    miscalibration: float
    resolution: float
    uncertainty: float


def reliability(counts: Histogram) -> Reliability:
    """Reliability of a histogram (2, bin). Raises InputError if it has no pixel.

    All probabilities of a bin are taken as that of its centre: an error of at most 0.003, at p = 1/2.
    """
    pixels, positives = counts.sum(0).astype("float64"), counts[1].astype("float64")
    if not (total := pixels.sum()):
        raise InputError("no pixel has a probability and a truth to compare. Give cases that overlap their inventories")
    forecast = expit(CENTRES)
    equal_width = _classes(np.minimum((forecast * CLASSES).astype("int64"), CLASSES - 1), forecast, counts)
    rank = np.cumsum(pixels) - pixels / 2
    equal_mass = _classes(np.minimum((rank / total * CLASSES).astype("int64"), CLASSES - 1), forecast, counts)
    frequency = np.divide(positives, pixels, out=np.zeros(BINS), where=pixels > 0)
    share = positives.sum() / total
    return Reliability(
        classes=equal_width,
        ece=_calibration_error(equal_width),
        ece_equal_mass=_calibration_error(equal_mass),
        brier=float((positives @ (1 - forecast) ** 2 + (pixels - positives) @ forecast**2) / total),
        miscalibration=float(pixels @ (forecast - frequency) ** 2 / total),
        resolution=float(pixels @ (frequency - share) ** 2 / total),
        uncertainty=float(share * (1 - share)),
    )


def _classes(class_of: NDArray[np.int64], forecast: Floats, counts: Histogram) -> list[Class]:
    """Pool the bins of each class, given the class (bin,) of each bin; empty classes are left out."""
    pixels = counts.sum(0)
    number, sums, hits = (np.bincount(class_of, values, CLASSES) for values in (pixels, pixels * forecast, counts[1]))
    return [
        Class(forecast=float(s / n), frequency=float(h / n), pixels=int(n))
        for n, s, h in zip(number, sums, hits, strict=True)
        if n
    ]


def _calibration_error(classes: list[Class]) -> float:
    """Mean |forecast − frequency|, weighted by pixels."""
    total = sum(one.pixels for one in classes)
    return sum(one.pixels * abs(one.forecast - one.frequency) for one in classes) / total
