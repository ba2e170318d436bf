"""Statistics of the training cases, and how a network's input is normalised by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from landslide.artifacts.stage import Keyed
from landslide.bands import BANDS


class Normalisation(Keyed):
    """Per band of the set: mean and standard deviation over the training cases, in the band's unit."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(band, y, x) to z-scores, float32; NaN becomes 0, the mean, and is told apart by `observed` alone."""
        mean, std = (np.asarray(part, "float32")[:, None, None] for part in (self.mean, self.std))
        scores: NDArray[np.float32] = np.nan_to_num((values - mean) / std, nan=0.0, posinf=0.0, neginf=0.0)
        return scores


def observed(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(y, x): where every band of (band, y, x) has a value. Elsewhere a map says "not observed"."""
    return np.asarray(np.isfinite(values).all(axis=0))


class Moments(BaseModel):
    """Count, mean and sum of squared deviations of a band, mergeable (Chan, Golub and LeVeque 1983, eq. 2.1)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: NDArray[np.float32]) -> Moments:
        """With the finite values of an array."""
        finite = values[np.isfinite(values)].astype("float64")
        if not finite.size:
            return self
        count = self.count + finite.size
        mean = float(finite.mean())
        squares = float(((finite - mean) ** 2).sum())
        shift = mean - self.mean
        return Moments(
            count=count,
            mean=self.mean + shift * finite.size / count,
            squares=self.squares + squares + shift**2 * self.count * finite.size / count,
        )

    @property
    def std(self) -> float:
        """Population standard deviation; 1 for a constant band, so that a z-score stays finite."""
        deviation = float(np.sqrt(self.squares / self.count)) if self.count else 0.0
        return deviation or 1.0

    @property
    def square(self) -> float:
        """Mean square."""
        return self.mean**2 + (self.squares / self.count if self.count else 0.0)


def normalisation(moments: Mapping[str, Moments], bands: Sequence[str]) -> Normalisation:
    """Mean and standard deviation of the training cases.

    A flip or a turn of the picture changes the components of a direction into each other and their signs. Over all
    eight symmetries their mean is 0 and their spread the same, and so are they normalised: then a symmetry of the
    z-scores is a change of sign and of place, too.
    """
    directed = [moments[band] for band in moments if BANDS[band].symmetry != "scalar"]
    spread = float(np.sqrt(np.mean([moment.square for moment in directed]))) if directed else 1.0
    pairs = [
        (moments[band].mean, moments[band].std) if BANDS[band].symmetry == "scalar" else (0.0, spread or 1.0)
        for band in bands
    ]
    mean, std = zip(*pairs, strict=True)
    return Normalisation(mean=mean, std=std)
