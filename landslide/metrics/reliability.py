"""Whether probabilities are true."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.special import expit, logit

from landslide.errors import InputError
from landslide.metrics.pixel import Floats

BINS, LIMIT = 1000, 12.0


CENTRES: Floats = np.linspace(-LIMIT, LIMIT, 2 * BINS + 1)[1::2]
"""(bin,) logits in the middle of the bins."""


CLASSES = 15


Histogram = NDArray[np.int64]


def bin_of(probability: NDArray[np.floating]) -> NDArray[np.int64]:
    """Index of the bin of each probability, 0 to 1, in the shape given; NaN must not be among them."""
    index = np.floor((clipped_logit(probability) + LIMIT) * (BINS / (2 * LIMIT)))
    return np.clip(index, 0, BINS - 1).astype("int64")


def histogram(probability: NDArray[np.floating], truth: NDArray[np.bool_]) -> Histogram:
    """Pixels (2, bin) by truth and probability, of arrays of one shape; NaN is not observed and does not count."""
    seen = np.isfinite(probability)
    return np.bincount(bin_of(probability[seen]) + BINS * truth[seen], minlength=2 * BINS).reshape(2, BINS)


def clipped_logit(probability: NDArray[np.floating]) -> Floats:
    return np.asarray(np.clip(logit(np.asarray(probability, "float64")), -LIMIT, LIMIT))


class Class(BaseModel):
    """Pixels of nearby probabilities: their mean forecast, and the share of them that is landslide."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    forecast: float
    frequency: float
    pixels: int


class Reliability(BaseModel):
    """How true probabilities are.

    `ece` is Σ (pixels / all) |forecast − frequency| (Guo et al. 2017, eq. 3) over `classes`, 15 of equal width: the one
    that is reported, for it tells the few pixels that a map is made of from the many that are empty. `ece_equal_mass`
    is over 15 classes of as nearly equal numbers of pixels as bins allow (Nixon et al. 2019). `brier` is the mean
    (forecast − truth)² = `miscalibration` − `resolution` + `uncertainty` (Murphy 1973) over all bins: distance from the
    diagonal, how far frequencies differ from the mean one, and p (1 − p) of the landslides' share p.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: list[Class]
    ece: float
    ece_equal_mass: float
    brier: float
    miscalibration: float
    resolution: float
    uncertainty: float


def reliability(counted: Histogram) -> Reliability:
    """Reliability of counted probabilities; InputError where nothing was counted.

    A bin's forecast is that of its middle: 0.003 off at most where p is 1/2, less elsewhere.
    """
    pixels, positives = counted.sum(0).astype("float64"), counted[1].astype("float64")
    if not (total := pixels.sum()):
        raise InputError("no pixel has a probability and a truth to compare. Give cases that overlap their inventories")
    forecast = expit(CENTRES)
    wide = classes(np.minimum((forecast * CLASSES).astype("int64"), CLASSES - 1), forecast, counted)
    below = np.cumsum(pixels) - pixels / 2
    massive = classes(np.minimum((below / total * CLASSES).astype("int64"), CLASSES - 1), forecast, counted)
    frequency = np.divide(positives, pixels, out=np.zeros(BINS), where=pixels > 0)
    share = positives.sum() / total
    return Reliability(
        classes=wide,
        ece=expected_error(wide),
        ece_equal_mass=expected_error(massive),
        brier=float((positives @ (1 - forecast) ** 2 + (pixels - positives) @ forecast**2) / total),
        miscalibration=float(pixels @ (forecast - frequency) ** 2 / total),
        resolution=float(pixels @ (frequency - share) ** 2 / total),
        uncertainty=float(share * (1 - share)),
    )


def classes(place: NDArray[np.int64], forecast: Floats, counted: Histogram) -> list[Class]:
    """Bins pooled by `place` (bin,), the class of each; empty classes are left out."""
    pixels = counted.sum(0)
    number, sums, hits = (np.bincount(place, values, CLASSES) for values in (pixels, pixels * forecast, counted[1]))
    return [
        Class(forecast=float(s / n), frequency=float(h / n), pixels=int(n))
        for n, s, h in zip(number, sums, hits, strict=True)
        if n
    ]


def expected_error(table: list[Class]) -> float:
    """Mean distance of forecast and frequency, weighed by pixels (ECE)."""
    total = sum(one.pixels for one in table)
    return sum(one.pixels * abs(one.forecast - one.frequency) for one in table) / total
