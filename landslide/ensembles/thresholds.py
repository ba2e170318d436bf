"""Where probabilities are cut, by what a person asks for: the rule that an experiment states.

A number is the threshold itself. `f1`, `f2`, `f0.5`: the best F-beta. `cost 5`: the least cost, where a missed
landslide pixel costs as much as five false alarms. `precision 0.8`: the most landslides, while four mapped pixels of
five are real.
"""

from __future__ import annotations

import re
from typing import Annotated

import numpy as np
from pydantic import Field

from landslide.errors import InputError
from landslide.metrics.pixel import Floats
from landslide.metrics.ranking import Cut, Histogram, at_precision, best_f, cheapest

NUMBER = r"(\d+|\d*\.\d+)"
Rule = Annotated[float, Field(gt=0, lt=1)] | Annotated[str, Field(pattern=rf"^(f|cost |precision 0?){NUMBER}$")]


def threshold_of(rule: float | str, forecast: Floats, counted: Histogram) -> float:
    """The threshold of a rule, from a histogram (2, bin) by truth whose bins mean rising probabilities (bin,).

    InputError without any landslide pixel, or where no threshold has the precision asked for.
    """
    if not isinstance(rule, str):
        return rule
    levels, place = np.unique(forecast, return_inverse=True)  # a calibration makes equals of some bins
    levelled = np.stack([np.bincount(place, side, len(levels)).astype("int64") for side in counted])
    cut = _cut(rule, levelled)
    if cut is None:
        raise InputError(f"no threshold gives {rule!r} on the validation cases. State another rule, or a number")
    mapped = levels[cut.index] if cut.index < len(levels) else 1.0
    return float(np.clip((levels[cut.index - 1] + mapped) / 2, 1e-6, 1 - 1e-6))


def _cut(rule: str, counted: Histogram) -> Cut | None:
    kind, number = re.fullmatch(r"(\D+?) ?([\d.]+)", rule).groups()  # type: ignore[union-attr]
    if kind == "cost":
        return cheapest(counted, float(number))
    return best_f(counted, float(number)) if kind == "f" else at_precision(counted, float(number))
