"""From the numbers in the world's files to the values and masks of assets."""

from typing import Any

import numpy as np

from .grids import Grid
from .pixels import TRUE, Array, Pull, Render, Tile
from .rasters import Averaged, Decode, Stored

INVALID = 255
OPERA_PIXEL, OPERA_FACTOR = 30.0, 3
OCCURRENCE = np.zeros(256, np.uint8)
OCCURRENCE[1:4] = (100, 95, 70)  # ocean, lake, river


def within(area: Grid, value: float) -> Pull:
    """One value on the pixels of a grid."""

    def pull(render: Render, grid: Grid) -> Tile:
        where = render.places(grid, area.projection)
        rows, columns = where.indices(0, 0)
        height, width = area.shape
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        return Tile(np.array(value, np.float32), np.broadcast_to(inside, grid.shape))

    return pull


def validity(measured: Pull) -> Pull:
    """0 where a band has a value and 255 elsewhere, masked nowhere."""

    def pull(render: Render, grid: Grid) -> Tile:
        mask = render.tile(measured, grid).mask
        return Tile(np.where(mask, np.uint8(0), np.uint8(INVALID)), TRUE)

    return pull


def on_thirty_metres(stored: Stored) -> Averaged:
    """Means of 3 × 3 pixels of 10 m on the lattice whose edges are multiples of 30 m."""
    a, _, left, _, e, top = stored.grid.transform
    west, north = np.floor(left / OPERA_PIXEL) * OPERA_PIXEL, np.ceil(top / OPERA_PIXEL) * OPERA_PIXEL
    lead = round((north - top) / -e), round((left - west) / a)
    rows, columns = (-(-(side + before) // OPERA_FACTOR) for side, before in zip(stored.grid.shape, lead, strict=True))
    transform = (OPERA_PIXEL, 0.0, float(west), 0.0, -OPERA_PIXEL, float(north))
    return Averaged(stored, OPERA_FACTOR, Grid(stored.grid.crs, transform, (rows, columns)), lead)


def positive(numbers: Array) -> tuple[Array, Any]:
    """Linear power, masked where it is none."""
    with np.errstate(invalid="ignore"):
        return numbers, numbers > 0


def in_decibel(numbers: Array) -> tuple[Array, Any]:
    """Power in decibel, float32."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (10 * np.log10(numbers)).astype(np.float32), numbers > 0


def finite(numbers: Array) -> tuple[Array, Any]:
    """Values, masked where there are none."""
    return numbers, np.isfinite(numbers)


def rounded(numbers: Array) -> tuple[Array, Any]:
    """Metres as integers."""
    known = np.isfinite(numbers)
    return np.rint(np.where(known, numbers, 0)).astype(np.int16), known


def harmonised(offset: float) -> Decode:
    """Numbers less the offset of their baseline, 0 and above; masked where they were 0."""

    def decode(numbers: Array) -> tuple[Array, Any]:
        return np.maximum(numbers, offset).astype(np.uint16) - np.uint16(offset), numbers != 0

    return decode


def scaled(scale: float) -> Decode:
    """Numbers of a byte times a scale, masked at 255."""

    def decode(numbers: Array) -> tuple[Array, Any]:
        return numbers * np.float32(scale), numbers != INVALID

    return decode


def not_zero(numbers: Array) -> tuple[Array, Any]:
    """Values, masked where 0."""
    return numbers, numbers != 0


def everywhere(numbers: Array) -> tuple[Array, Any]:
    """Values, masked nowhere."""
    return numbers, TRUE


def water_bytes(numbers: Array) -> tuple[Array, Any]:
    """255 on water, 0 on land."""
    return np.where(numbers > 0, np.uint8(255), np.uint8(0)), TRUE


def occurrence(numbers: Array) -> tuple[Array, Any]:
    """How often there is water, in per cent, by the kind of water body; masked on land."""
    return OCCURRENCE[numbers], numbers > 0
