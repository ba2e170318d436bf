"""How far a mapped landslide is to be believed: three classes by its mean probability, whose meaning is measured.

The classes are cut so that each holds a third of what was mapped on the validation cases. What they mean is not set but
counted: of the patches of a class on held-out events, how many lie on a landslide.
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

LEAST_PIXELS = 4  # the map's minimum mapping unit, 400 m²
FEWEST_PATCHES = 6  # patches to cut into thirds


class Cuts(BaseModel):
    """Least mean probability of a landslide of high and of medium confidence; below, it is low."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    medium: float
    high: float

    def of(self, means: NDArray[np.floating]) -> NDArray[np.str_]:
        """(patch,) `high`, `medium` or `low` of mean probabilities (patch,)."""
        return np.asarray(np.array(["low", "medium", "high"])[np.digitize(means, (self.medium, self.high))])


class Meaning(BaseModel):
    """Of a class: the least mean probability, patches mapped on the test cases, and how many were real: at least a
    fifth of them lies on landslides.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    least: float
    patches: int
    real: int


@dataclass(frozen=True)
class Patches:
    """Mapped patches: mean probability (patch,), and whether each is real (patch,)."""

    means: Floats
    real: NDArray[np.bool_]

    @classmethod
    def of(cls, probability: Floats, mapped: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Patches:
        """Of a scene, arrays (y, x); patches below the minimum mapping unit do not count."""
        labels, number = ndimage.label(mapped, CORNERS)
        inside = labels[mapped]
        pixels, sums, hits = (
            np.bincount(inside, weights, number + 1)[1:] for weights in (None, probability[mapped], truth[mapped])
        )
        kept = pixels >= LEAST_PIXELS
        return cls((sums / np.maximum(pixels, 1))[kept], (hits >= SHARES[0] * pixels)[kept])

    @classmethod
    def pooled(cls, scenes: Iterable[Patches]) -> Patches:
        """The patches of several scenes as one list."""
        found = list(scenes)
        return cls(np.concatenate([one.means for one in found]), np.concatenate([one.real for one in found]))


def cuts(validation: Patches) -> Cuts | None:
    """Thirds of the patches; None where there are too few."""
    if len(validation.means) < FEWEST_PATCHES:
        return None
    medium, high = np.quantile(validation.means, (1 / 3, 2 / 3))
    return Cuts(medium=float(medium), high=float(high))


def meanings(classes: Cuts, test: Patches) -> list[Meaning]:
    """What each class turned out to mean, the highest first."""
    named = classes.of(test.means)
    return [
        Meaning(name=name, least=least, patches=int((named == name).sum()), real=int(test.real[named == name].sum()))
        for name, least in (("high", classes.high), ("medium", classes.medium), ("low", 0.0))
    ]
