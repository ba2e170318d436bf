"""Stored rasters: files of the simulated world, decoded to values and masks, and how their pixels are looked up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from .grids import Grid, Places
from .pixels import NOTHING, TRUE, Array, Pull, Render, Tile, nearest

SMALL, KEPT = 2**20, 512  # pixels of a file, and files
INVALID = 255
OPERA_PIXEL, OPERA_FACTOR = 30.0, 3
OCCURRENCE = np.zeros(256, np.uint8)
OCCURRENCE[1:4] = (100, 95, 70)  # ocean, lake, river

Decode = Callable[[Array], tuple[Array, Any]]


class Rasters:
    """Files, of which the smaller ones are kept once read; of larger ones windows are read."""

    def __init__(self) -> None:
        self._whole = lru_cache(maxsize=KEPT)(_numbers)

    def read(self, path: Path, shape: tuple[int, int], row: int, column: int, size: tuple[int, int]) -> Array:
        """The numbers in the file, (rows, columns), of a window inside it."""
        if shape[0] * shape[1] > SMALL:
            return _numbers(path, Window(column, row, size[1], size[0]))
        return self._whole(path)[row : row + size[0], column : column + size[1]]


def _numbers(path: Path, window: Window | None = None) -> Array:
    with rasterio.open(path) as raster:
        numbers: Array = raster.read(1, window=window)
    return numbers


@dataclass(frozen=True)
class Stored:
    """A file on its grid; `decode` turns its numbers into values and mask."""

    rasters: Rasters
    path: Path
    grid: Grid
    decode: Decode

    def window(self, row: int, column: int, size: tuple[int, int]) -> Tile:
        """Values and mask of a window inside the file."""
        return Tile(*self.decode(self.rasters.read(self.path, self.grid.shape, row, column, size))).full(size)


@dataclass(frozen=True)
class Averaged:
    """A file by means over blocks of `factor` pixels a side; `grid` is that of the blocks, `lead` (rows, columns) how
    many pixels of the first block lie before the file's first."""

    source: Stored
    factor: int
    grid: Grid
    lead: tuple[int, int]

    def window(self, row: int, column: int, size: tuple[int, int]) -> Tile:
        """The mean of the valid pixels of each block."""
        first = [start * self.factor - lead for start, lead in zip((row, column), self.lead, strict=True)]
        length = [side * self.factor for side in size]
        low = [max(start, 0) for start in first]
        high = [
            min(start + side, whole) for start, side, whole in zip(first, length, self.source.grid.shape, strict=True)
        ]
        values, mask = np.zeros(length), np.zeros(length, bool)
        if all(end > start for start, end in zip(low, high, strict=True)):
            tile = self.source.window(low[0], low[1], (high[0] - low[0], high[1] - low[1]))
            at = tuple(slice(start - origin, end - origin) for start, end, origin in zip(low, high, first, strict=True))
            values[at], mask[at] = np.where(tile.mask, tile.values, 0), tile.mask
        blocks = (size[0], self.factor, size[1], self.factor)
        total, count = values.reshape(blocks).sum((1, 3)), mask.reshape(blocks).sum((1, 3))
        return Tile((total / np.maximum(count, 1)).astype(np.float32), count > 0)


def looked_up(stored: Stored | Averaged) -> Pull:
    """Pixels of a stored raster: of each pixel asked for, the stored pixel that contains its centre."""

    def pull(render: Render, grid: Grid) -> Tile:
        where = render.places(grid, stored.grid.projection)
        return _look(where, stored, grid.shape)

    return pull


def mosaicked(parts: Sequence[Stored]) -> Pull:
    """Pixels of rasters that lie on one lattice or beside each other; the last that has a pixel gives it."""
    pulls = [looked_up(part) for part in parts]

    def pull(render: Render, grid: Grid) -> Tile:
        out = NOTHING
        for single in pulls:
            tile = render.tile(single, grid)
            if tile.mask.any():
                out = Tile(np.where(tile.mask, tile.values, out.values), tile.mask | out.mask)
        return out

    return pull


def _look(where: Places, stored: Stored | Averaged, shape: tuple[int, int]) -> Tile:
    height, width = stored.grid.shape
    if where.shift is not None:
        row, column = where.shift
        if row >= 0 and row + shape[0] <= height and column >= 0 and column + shape[1] <= width:
            return stored.window(row, column, shape)
    found = where.window(0)
    if found is None:
        return NOTHING
    row, column, size = found
    low = max(row, 0), max(column, 0)
    high = min(row + size[0], height), min(column + size[1], width)
    if low[0] >= high[0] or low[1] >= high[1]:
        return NOTHING
    tile = stored.window(low[0], low[1], (high[0] - low[0], high[1] - low[1]))
    return nearest(tile.values, tile.mask, *where.indices(*low))


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


def occurrence(numbers: Array) -> tuple[Array, Any]:
    """How often there is water, in per cent, by the kind of water body; masked on land."""
    return OCCURRENCE[numbers], numbers > 0
