"""Band statistics of the training cases, and normalisation of a network's input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from landslide.artifacts.stage import Keyed
from landslide.bands import BANDS


class Normalisation(Keyed):
    """Mean and standard deviation of each band of a set over the training cases, in the band's unit."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The z-scores (band, y, x), float32. NaN becomes 0, the mean; use `observed` to identify missing pixels."""
        mean, std = (np.asarray(part, "float32")[:, None, None] for part in (self.mean, self.std))
        scores: NDArray[np.float32] = np.nan_to_num((values - mean) / std, nan=0.0, posinf=0.0, neginf=0.0)
        return scores


def observed(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The pixels (y, x) where every band of (band, y, x) has a value."""
    return np.asarray(np.isfinite(values).all(axis=0))


class Moments(BaseModel):
    """Count, mean and sum of squared deviations of a band (Chan, Golub and LeVeque 1983, eq. 2.1)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: NDArray[np.float32]) -> Moments:
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
        """The population standard deviation; 1 for a constant band, to keep z-scores finite."""
        deviation = float(np.sqrt(self.squares / self.count)) if self.count else 0.0
        return deviation or 1.0

    @property
    def mean_square(self) -> float:
        return self.mean**2 + (self.squares / self.count if self.count else 0.0)


def normalisation(moments: Mapping[str, Moments], bands: Sequence[str]) -> Normalisation:
    """The normalisation of a band set.

    Flips and rotations of the image exchange the components of a direction and change their signs. They are normalised
    with mean 0 and a common standard deviation, as over all eight symmetries, so that the augmentation works on
    z-scores as it does on values.
    """
    components = [moments[band] for band in moments if BANDS[band].symmetry != "scalar"]
    spread = float(np.sqrt(np.mean([moment.mean_square for moment in components]))) if components else 1.0
    pairs = [
        (moments[band].mean, moments[band].std) if BANDS[band].symmetry == "scalar" else (0.0, spread or 1.0)
        for band in bands
    ]
    mean, std = zip(*pairs, strict=True)
    return Normalisation(mean=mean, std=std)
