"""What is averaged over members: probabilities, or logits ln p / (1 − p).

A mean of logits moves more with a member that is sure than with one that wavers. Logits are cut at ±8 (p = 0.9997),
where float16 ends, so that none outvotes all others.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

SURE = 8.0

Scale = Literal["probability", "logit"]
LIMITS: dict[Scale, tuple[float, float]] = {"probability": (0.0, 1.0), "logit": (-SURE, SURE)}


def link(probabilities: NDArray[np.float32], scale: Scale) -> NDArray[np.float32]:
    """What is averaged of probabilities 0 to 1, in the shape given; NaN stays."""
    return probabilities if scale == "probability" else np.clip(logit(probabilities), -SURE, SURE)


def bounded(means: NDArray[np.float32], scale: Scale) -> NDArray[np.float32]:
    """Means within the limits of their scale, in the shape given; NaN stays.

    A weighted mean of float32 passes the greatest of its terms by a rounding, and the logit of 1.0000001 is NaN.
    """
    return np.clip(means, *LIMITS[scale])


def unlink(means: NDArray[np.float32], scale: Scale) -> NDArray[np.float32]:
    """Probabilities of what was averaged, in the shape given."""
    return means if scale == "probability" else np.asarray(expit(means))
