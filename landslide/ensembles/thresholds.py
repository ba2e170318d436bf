"""Threshold rules: how an experiment states where probabilities are cut.

A number is the threshold itself. `f1`, `f2` or `f0.5` is the threshold with the best F-beta score. `cost 5` is the
threshold with the least cost, if a missed landslide pixel costs as much as five false alarms. `precision 0.8` is the
threshold with the highest recall among those with a precision of at least 0.8.
"""

from __future__ import annotations

import re
from typing import Annotated

import numpy as np
from pydantic import Field

from landslide.errors import InputError
from landslide.metrics.pixel import Floats
from landslide.metrics.ranking import Histogram, OperatingPoint, at_precision, best_f, min_cost

NUMBER = r"(\d+|\d*\.\d+)"
Rule = Annotated[float, Field(gt=0, lt=1)] | Annotated[str, Field(pattern=rf"^(f|cost |precision 0?){NUMBER}$")]


def threshold_of(rule: float | str, forecast: Floats, counted: Histogram) -> float:
    """The threshold that a rule gives on the validation cases.

    Args:
        rule: The rule, or the threshold itself.
        forecast: The probability (bin,) of each bin, in rising order.
        counted: Pixels (2, bin) of the validation cases by truth and probability.

    Raises:
        InputError: There is no landslide pixel, or no threshold has the requested precision.
    """
    if not isinstance(rule, str):
        return rule
    levels, index = np.unique(forecast, return_inverse=True)  # calibration can give several bins the same probability
    merged = np.stack([np.bincount(index, pixels, len(levels)).astype("int64") for pixels in counted])
    best = _operating_point(rule, merged)
    if best is None:
        raise InputError(f"no threshold gives {rule!r} on the validation cases. State another rule, or a number")
    lowest_mapped = levels[best.index] if best.index < len(levels) else 1.0
    return float(np.clip((levels[best.index - 1] + lowest_mapped) / 2, 1e-6, 1 - 1e-6))


def _operating_point(rule: str, counted: Histogram) -> OperatingPoint | None:
    kind, number = re.fullmatch(r"(\D+?) ?([\d.]+)", rule).groups()  # type: ignore[union-attr]
    if kind == "cost":
        return min_cost(counted, float(number))
    return best_f(counted, float(number)) if kind == "f" else at_precision(counted, float(number))
