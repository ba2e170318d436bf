"""The scale on which members are averaged: probabilities, or logits ln p / (1 − p).

In a mean of logits, a confident member has more influence than an undecided one. Logits are clipped to ±8 (p = 0.9997),
close to the resolution of float16, so that no member can outweigh all others.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

MAX_LOGIT = 8.0

Scale = Literal["probability", "logit"]
LIMITS: dict[Scale, tuple[float, float]] = {"probability": (0.0, 1.0), "logit": (-MAX_LOGIT, MAX_LOGIT)}


def link(probabilities: NDArray[np.float32], scale: Scale) -> NDArray[np.float32]:
    """Probabilities, 0 to 1, on a scale, in the same shape; NaN stays NaN."""
    return probabilities if scale == "probability" else np.clip(logit(probabilities), -MAX_LOGIT, MAX_LOGIT)


def bounded(means: NDArray[np.float32], scale: Scale) -> NDArray[np.float32]:
    """Means clipped to the limits of their scale, in the same shape; NaN stays NaN.

    By rounding, a weighted mean of float32 can exceed its largest term, and the logit of 1.0000001 is NaN.
    """
    return np.clip(means, *LIMITS[scale])


def inverse_link(means: NDArray[np.float32], scale: Scale) -> NDArray[np.float32]:
    """Values on a scale as probabilities, in the same shape; NaN stays NaN."""
    return means if scale == "probability" else np.asarray(expit(means))
