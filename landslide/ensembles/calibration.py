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
from scipy.special import expit, log_expit

from landslide.errors import InputError
from landslide.metrics.pixel import Floats
from landslide.metrics.reliability import CENTRES, Histogram, clipped_logit

LEAST_SLOPE = 1e-3


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
        return np.asarray(expit(self.slope * clipped_logit(probability) + self.bias), "float32")


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
        return np.asarray(np.interp(clipped_logit(probability), self.logits, self.values), "float32")


Calibration = Annotated[Platt | Isotonic, Field(discriminator="kind")]
"""Either, as a field of an ensemble's description."""


def _check(counted: Histogram) -> None:
    negatives, positives = counted.sum(1).tolist()
    if not (negatives and positives):
        raise InputError(
            f"{positives} landslide pixels and {negatives} others cannot be calibrated on. "
            "Validate on cases that have both"
        )


def forecasts(calibration: Platt | Isotonic | None) -> Floats:
    """(bin,) what the middle of each bin says, as it is or calibrated."""
    middle = expit(CENTRES)
    return middle if calibration is None else calibration.apply(middle).astype("float64")
