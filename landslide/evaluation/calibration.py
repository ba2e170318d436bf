"""Whether probabilities are true, and what makes them so: all from one histogram of their logits by truth.

A histogram is int64 (2, bin): pixels that are not landslide, then pixels that are, in 1,000 bins of the logit
ln p / (1 − p) from −12 to 12, what lies beyond in the outermost; that is fine where most of a scene lies, far below
1 in 1,000. Histograms of blocks, scenes and events add up. A calibration is fitted on validation cases alone.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit, log_expit, logit

from landslide.errors import InputError
from landslide.evaluation.scores import Floats

BINS, LIMIT = 1000, 12.0
CENTRES: Floats = np.linspace(-LIMIT, LIMIT, 2 * BINS + 1)[1::2]
"""(bin,) logits in the middle of the bins."""
CLASSES = 15
LEAST_SLOPE = 1e-3

Histogram = NDArray[np.int64]


def bin_of(probability: NDArray[np.floating]) -> NDArray[np.int64]:
    """Index of the bin of each probability, 0 to 1, in the shape given; NaN must not be among them."""
    index = np.floor((_logit(probability) + LIMIT) * (BINS / (2 * LIMIT)))
    return np.clip(index, 0, BINS - 1).astype("int64")


def histogram(probability: NDArray[np.floating], truth: NDArray[np.bool_]) -> Histogram:
    """Pixels (2, bin) by truth and probability, of arrays of one shape; NaN is not observed and does not count."""
    seen = np.isfinite(probability)
    return np.bincount(bin_of(probability[seen]) + BINS * truth[seen], minlength=2 * BINS).reshape(2, BINS)


def _logit(probability: NDArray[np.floating]) -> Floats:
    return np.asarray(np.clip(logit(np.asarray(probability, "float64")), -LIMIT, LIMIT))


class Platt(BaseModel):
    """Calibrated logit = slope × logit + bias (Platt 1999); 1 / slope is a temperature (Guo et al. 2017).

    The slope is above 0, so the order of pixels, and with it average precision, stays.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["platt"] = "platt"
    slope: float = Field(gt=0, allow_inf_nan=False)
    bias: float = Field(allow_inf_nan=False)

    @classmethod
    def fit(cls, counted: Histogram) -> Platt:
        """Maximum likelihood; InputError without landslides or without anything else.

        Targets are Platt's (N₊ + 1) / (N₊ + 2) and 1 / (N₋ + 2), which keep it finite where the two sides part.
        """
        from scipy.optimize import minimize

        _check(counted)
        negative, positive = np.asarray(counted, "float64")
        total, n, p = counted.sum(), negative.sum(), positive.sum()
        true = positive * ((p + 1) / (p + 2)) + negative / (n + 2)
        false = negative + positive - true

        def loss(parameters: Floats) -> tuple[float, Floats]:
            z = parameters[0] * CENTRES + parameters[1]
            slope = expit(z) * (true + false) - true
            value = -(true @ log_expit(z) + false @ log_expit(-z))
            return value / total, np.array([slope @ CENTRES, slope.sum()]) / total

        bounds = [(LEAST_SLOPE, None), (None, None)]
        found = minimize(loss, [1.0, 0.0], jac=True, bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-10})
        return cls(slope=float(found.x[0]), bias=float(found.x[1]))

    def apply(self, probability: NDArray[np.floating]) -> NDArray[np.float32]:
        """Calibrated probabilities, float32, in the shape given; NaN stays."""
        return np.asarray(expit(self.slope * _logit(probability) + self.bias), "float32")


class Isotonic(BaseModel):
    """The rising steps of the greatest likelihood, joined by lines: frequency (knot,) over logit (knot,).

    Fitted by pooling adjacent violators (Zadrozny and Elkan 2002). It has no shape to fail by, and needs more data than
    Platt's two numbers; pixels between two of its steps may become equal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["isotonic"] = "isotonic"
    logits: tuple[float, ...]
    values: tuple[float, ...]

    @classmethod
    def fit(cls, counted: Histogram) -> Isotonic:
        """From a histogram; InputError without landslides or without anything else."""
        from scipy.optimize import isotonic_regression

        _check(counted)
        pixels = counted.sum(0)
        used = np.flatnonzero(pixels)
        steps = isotonic_regression(counted[1, used] / pixels[used], weights=pixels[used])
        ends = np.unique(np.concatenate([steps.blocks[:-1], steps.blocks[1:] - 1]))  # first and last bin of each step
        return cls(logits=tuple(CENTRES[used[ends]].tolist()), values=tuple(np.clip(steps.x[ends], 0, 1).tolist()))

    def apply(self, probability: NDArray[np.floating]) -> NDArray[np.float32]:
        """Calibrated probabilities, float32, in the shape given; NaN stays."""
        return np.asarray(np.interp(_logit(probability), self.logits, self.values), "float32")


Calibration = Annotated[Platt | Isotonic, Field(discriminator="kind")]
"""Either, as a field of an ensemble's description."""


def _check(counted: Histogram) -> None:
    negatives, positives = counted.sum(1).tolist()
    if not (negatives and positives):
        raise InputError(
            f"{positives} landslide pixels and {negatives} others cannot be calibrated on. "
            "Validate on cases that have both"
        )


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


def reliability(counted: Histogram, calibration: Platt | Isotonic | None = None) -> Reliability:
    """Of the probabilities as they are, or as a calibration makes them; InputError where nothing was counted.

    A bin's forecast is that of its middle: 0.003 off at most where p is 1/2, less elsewhere.
    """
    pixels, positives = counted.sum(0).astype("float64"), counted[1].astype("float64")
    if not (total := pixels.sum()):
        raise InputError("no pixel has a probability and a truth to compare. Give cases that overlap their inventories")
    forecast = forecasts(calibration)
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


def forecasts(calibration: Platt | Isotonic | None) -> Floats:
    """(bin,) what the middle of each bin says, as it is or calibrated."""
    middle = expit(CENTRES)
    return middle if calibration is None else calibration.apply(middle).astype("float64")


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
