"""Confidence classes of mapped landslides: high, medium and low, by mean probability.

The classes are cut so that each contains a third of the patches mapped on the validation cases. What a class means is
measured: the number of its patches on the test cases, and how many of them lie on a landslide.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import ndimage

from landslide.metrics.objects import CORNERS, SHARES
from landslide.metrics.pixel import Floats

MIN_PIXELS = 4  # the map's minimum mapping unit, 400 m²
MIN_PATCHES = 6  # to divide into thirds


class ConfidenceThresholds(BaseModel):
    """Minimum mean probability of a landslide of medium and of high confidence; below `medium` it is low."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    medium: float
    high: float

    def classify(self, means: NDArray[np.floating]) -> NDArray[np.str_]:
        """The class (patch,), `high`, `medium` or `low`, of mean probabilities (patch,)."""
        return np.asarray(np.array(["low", "medium", "high"])[np.digitize(means, (self.medium, self.high))])


class ConfidenceClass(BaseModel):
    """A class on the test cases.

    `least` is its minimum mean probability, `patches` the number of mapped patches, `real` the number of those of which
    at least a fifth is landslide.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    least: float
    patches: int
    real: int


@dataclass(frozen=True)
class Patches:
    """Mapped patches: mean probability (patch,), and whether at least a fifth of each is landslide (patch,)."""

    means: Floats
    real: NDArray[np.bool_]

    @classmethod
    def of(cls, probability: Floats, mapped: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Patches:
        """The patches of a scene, arrays (y, x), without those below the minimum mapping unit."""
        labels, number = ndimage.label(mapped, CORNERS)
        inside = labels[mapped]
        pixels, sums, hits = (
            np.bincount(inside, weights, number + 1)[1:] for weights in (None, probability[mapped], truth[mapped])
        )
        large = pixels >= MIN_PIXELS
        return cls((sums / np.maximum(pixels, 1))[large], (hits >= SHARES[0] * pixels)[large])

    @classmethod
    def pooled(cls, scenes: Iterable[Patches]) -> Patches:
        """The patches of several scenes together."""
        parts = list(scenes)
        return cls(np.concatenate([part.means for part in parts]), np.concatenate([part.real for part in parts]))


def confidence_thresholds(validation: Patches) -> ConfidenceThresholds | None:
    """Thresholds that divide the patches into thirds; None if there are too few."""
    if len(validation.means) < MIN_PATCHES:
        return None
    medium, high = np.quantile(validation.means, (1 / 3, 2 / 3))
    return ConfidenceThresholds(medium=float(medium), high=float(high))


def confidence_classes(thresholds: ConfidenceThresholds, test: Patches) -> list[ConfidenceClass]:
    """Count the patches of the test cases in each class, the highest class first."""
    names = thresholds.classify(test.means)
    return [
        ConfidenceClass(
            name=name, least=minimum, patches=int((names == name).sum()), real=int(test.real[names == name].sum())
        )
        for name, minimum in (("high", thresholds.high), ("medium", thresholds.medium), ("low", 0.0))
    ]  # fmt: skip
