"""Pictures in colour and how they are laid over each other."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.image import imsave

if TYPE_CHECKING:
    from numpy.typing import NDArray


SUN_AZIMUTH, SUN_ALTITUDE = np.radians(315), np.radians(45)


RAMP = mpl.colormaps["inferno_r"].resampled(256)


FAINT, CLEAR, OPAQUE = 0.05, 0.5, 0.85  # probability where the colour starts, where it is full, and its full alpha


def hillshade(north: NDArray[np.float32], east: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light of a sun in the north-west at 45° on a surface that rises by `north` and `east` (m per m), 0-1 (Horn 1981).

    Gentle relief is exaggerated, up to four times, so that it is legible.
    """
    known = np.isfinite(north) & np.isfinite(east)
    if not known.any():
        return np.full(north.shape, np.nan, "float32")
    steep = float(np.percentile(np.hypot(north, east)[known], 80))
    lift = float(np.clip(np.tan(np.radians(30)) / max(steep, 1e-6), 1, 4))
    n, e = lift * north, lift * east
    towards_sun = np.cos(SUN_AZIMUTH) * n + np.sin(SUN_AZIMUTH) * e
    light = (np.sin(SUN_ALTITUDE) - np.cos(SUN_ALTITUDE) * towards_sun) / np.sqrt(1 + n**2 + e**2)
    return np.asarray(np.clip(light, 0, 1), "float32")


def stretched(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values between their 2nd and 98th percentile as 0-1."""
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, (2, 98)) if len(known) else (0, 1)
    return np.asarray(np.clip((values - low) / max(high - low, 1e-6), 0, 1), "float32")


def tinted(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(y, x, 4): probability in colour, clear where it is low or not observed."""
    value = np.nan_to_num(probability, nan=0.0)
    colour = RAMP(0.08 + 0.67 * value)
    colour[..., 3] = np.clip((value - FAINT) / (CLEAR - FAINT), 0, 1) * OPAQUE
    return to_bytes(colour)


def over(below: NDArray[np.uint8], above: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One (y, x, 4) picture laid over another; the lower one's alpha stays."""
    alpha = above[..., 3:] / 255
    mixed = below.copy()
    mixed[..., :3] = np.round(above[..., :3] * alpha + below[..., :3] * (1 - alpha))
    return mixed


def png(picture: NDArray[np.uint8]) -> bytes:
    """A (y, x, 4) picture as PNG."""
    buffer = BytesIO()
    imsave(buffer, picture, format="png")
    return buffer.getvalue()


def to_bytes(colour: Any) -> NDArray[np.uint8]:
    return np.asarray(np.round(np.clip(colour, 0, 1) * 255), "uint8")
