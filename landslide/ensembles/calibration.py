"""Calibration of probabilities, fitted on a histogram of their logits by truth; see `metrics.reliability`.

A histogram is int64 (2, bin): pixels that are not landslide, then pixels that are. Bins of the logit are fine at the
low probabilities of most of a scene. A calibration is fitted on validation cases only.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit, log_expit

from landslide.errors import InputError
from landslide.metrics.pixel import Floats
from landslide.metrics.reliability import CENTRES, Histogram, clipped_logit

MIN_SLOPE = 1e-3


class Platt(BaseModel):
    """Calibrated logit = slope × logit + bias (Platt 1999); 1 / slope is a temperature (Guo et al. 2017).

    The slope is positive, so the order of pixels and the average precision do not change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["platt"] = "platt"
    slope: float = Field(gt=0, allow_inf_nan=False)
    bias: float = Field(allow_inf_nan=False)

    @classmethod
    def fit(cls, counted: Histogram) -> Platt:
        """Fit by maximum likelihood. Raises InputError unless there are both landslide pixels and others.

        Targets are Platt's (N₊ + 1) / (N₊ + 2) and 1 / (N₋ + 2), which keep the result finite if the two classes are
        separable.
        """
        from scipy.optimize import minimize

        _check(counted)
        negative, positive = np.asarray(counted, "float64")
        total, n, p = counted.sum(), negative.sum(), positive.sum()
        true = positive * ((p + 1) / (p + 2)) + negative / (n + 2)  # (bin,) sums of targets
        false = negative + positive - true

        def loss(parameters: Floats) -> tuple[float, Floats]:
            z = parameters[0] * CENTRES + parameters[1]
            slope = expit(z) * (true + false) - true
            value = -(true @ log_expit(z) + false @ log_expit(-z))
            return value / total, np.array([slope @ CENTRES, slope.sum()]) / total

        bounds = [(MIN_SLOPE, None), (None, None)]
        result = minimize(loss, [1.0, 0.0], jac=True, bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-10})
        return cls(slope=float(result.x[0]), bias=float(result.x[1]))

    def apply(self, probability: NDArray[np.floating]) -> NDArray[np.float32]:
        """Calibrated probabilities, float32, in the same shape; NaN stays NaN."""
        return np.asarray(expit(self.slope * clipped_logit(probability) + self.bias), "float32")


class Isotonic(BaseModel):
    """Isotonic regression, a non-decreasing function interpolated linearly: `values` (knot,) at `logits` (knot,).

    Fitted by pooling adjacent violators (Zadrozny and Elkan 2002). It assumes no shape but needs more data than Platt
    scaling, and may give different probabilities the same value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["isotonic"] = "isotonic"
    logits: tuple[float, ...]
    values: tuple[float, ...]

    @classmethod
    def fit(cls, counted: Histogram) -> Isotonic:
        """Fit on a histogram (2, bin). Raises InputError unless there are both landslide pixels and others."""
        from scipy.optimize import isotonic_regression

        _check(counted)
        pixels = counted.sum(0)
        used = np.flatnonzero(pixels)
        steps = isotonic_regression(counted[1, used] / pixels[used], weights=pixels[used])
        ends = np.unique(
            np.concatenate([steps.blocks[:-1], steps.blocks[1:] - 1])
        )  # first and last bin of each constant step
        return cls(logits=tuple(CENTRES[used[ends]].tolist()), values=tuple(np.clip(steps.x[ends], 0, 1).tolist()))

    def apply(self, probability: NDArray[np.floating]) -> NDArray[np.float32]:
        """Calibrated probabilities, float32, in the same shape; NaN stays NaN."""
        return np.asarray(np.interp(clipped_logit(probability), self.logits, self.values), "float32")


Calibration = Annotated[Platt | Isotonic, Field(discriminator="kind")]
"""The calibration in an ensemble's description."""


def _check(counted: Histogram) -> None:
    negatives, positives = counted.sum(1).tolist()
    if not (negatives and positives):
        raise InputError(
            f"the validation cases have {positives} landslide pixels and {negatives} others; a calibration needs both. "
            "Validate on cases that have both"
        )


def forecasts(calibration: Platt | Isotonic | None) -> Floats:
    """The probability (bin,) at the centre of each bin, calibrated if there is a calibration."""
    centres = expit(CENTRES)
    return centres if calibration is None else calibration.apply(centres).astype("float64")
