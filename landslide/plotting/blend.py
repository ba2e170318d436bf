"""Images in colour, (y, x, 4) uint8, and how they are laid over each other."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LightSource, to_rgb
from matplotlib.image import imsave

from landslide.plotting.style import HATCH

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUN = LightSource(azdeg=315, altdeg=45)
RAMP = mpl.colormaps["inferno_r"].resampled(256)
FAINT, CLEAR, OPAQUE = 0.05, 0.5, 0.85  # probability where the colour starts, where it is full, and its full alpha
GREY = 225  # about that of flat terrain in `hillshade`
STRIPE = 6  # width of the hatching, in pixels


def hillshade(north: NDArray[np.floating], east: NDArray[np.floating]) -> NDArray[np.float32]:
    """Light of a sun in the north-west at 45° on a surface that rises by `north` and `east` (m per m), 0-1.

    Gentle relief is exaggerated, up to four times, so that it is legible. Not `SUN.shade_normals`: it stretches every
    image to full contrast, which makes hills of a plain. NaN stays.
    """
    steepness = np.hypot(north, east)
    known = steepness[np.isfinite(steepness)]
    steep = float(np.percentile(known, 80)) if known.size else 0.0
    exaggeration = float(np.clip(np.tan(np.radians(30)) / max(steep, 1e-6), 1, 4))
    normals = np.stack([-exaggeration * east, -exaggeration * north, np.ones(north.shape)], axis=-1)
    light = normals @ SUN.direction / np.linalg.norm(normals, axis=-1)
    return np.asarray(np.clip(light, 0, 1), "float32")


def stretched(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values between their 2nd and 98th percentile as 0-1; NaN stays."""
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, (2, 98)) if len(known) else (0, 1)
    return np.asarray(np.clip((values - low) / max(high - low, 1e-6), 0, 1), "float32")


def stripes(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Grey (y, x), 0-1, of the hatching over what was not observed."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    first, second = (to_rgb(colour)[0] for colour in HATCH)
    return np.where((rows + columns) // STRIPE % 2 == 0, first, second)


def tinted(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(y, x, 4): probability in colour, clear where it is low or not observed."""
    value = np.nan_to_num(probability, nan=0.0)
    colour = RAMP(0.08 + 0.67 * value)
    colour[..., 3] = np.clip((value - FAINT) / (CLEAR - FAINT), 0, 1) * OPAQUE
    return to_bytes(colour)


def over_grey(probability: NDArray[np.float32]) -> NDArray[np.float64]:
    """(y, x, 3), 0-1: probability in colour over light grey."""
    above = tinted(probability)
    return over(np.full_like(above, GREY), above)[..., :3] / 255


def over(below: NDArray[np.uint8], above: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One (y, x, 4) image laid over another; the lower one's alpha stays."""
    alpha = above[..., 3:] / 255
    mixed = below.copy()
    mixed[..., :3] = np.round(above[..., :3] * alpha + below[..., :3] * (1 - alpha))
    return mixed


def png(image: NDArray[np.uint8]) -> bytes:
    """A (y, x, 4) image as PNG."""
    buffer = BytesIO()
    imsave(buffer, image, format="png")
    return buffer.getvalue()


def to_bytes(colour: Any) -> NDArray[np.uint8]:
    """Colours 0-1 as 0-255, clipped."""
    return np.asarray(np.round(np.clip(colour, 0, 1) * 255), "uint8")
