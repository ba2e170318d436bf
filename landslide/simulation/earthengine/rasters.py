"""Rasters of the simulated world: reading, decoding to values and masks, and nearest-neighbour lookup."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from .grids import Grid, PixelPositions
from .pixels import EMPTY_TILE, TRUE, Array, RenderContext, Tile, TileFunction, take_pixels

MAX_CACHED_PIXELS, CACHED_FILES = 2**20, 512  # larger files are read by window
INVALID = 255
OPERA_PIXEL, OPERA_FACTOR = 30.0, 3
OCCURRENCE = np.zeros(256, np.uint8)
OCCURRENCE[1:4] = (100, 95, 70)  # per cent: ocean, lake, river

Decode = Callable[[Array], tuple[Array, Any]]


class RasterReader:
    """Reads windows of files. Small files are read once and cached."""

    def __init__(self) -> None:
        self._whole = lru_cache(maxsize=CACHED_FILES)(_numbers)

    def read(self, path: Path, shape: tuple[int, int], row: int, column: int, size: tuple[int, int]) -> Array:
        """The digital numbers of a window, (rows, columns).

        Args:
            path: The file.
            shape: (rows, columns) of the file.
            row: First row of the window, which must lie inside the file.
            column: First column of the window.
            size: (rows, columns) of the window.
        """
        if shape[0] * shape[1] > MAX_CACHED_PIXELS:
            return _numbers(path, Window(column, row, size[1], size[0]))
        return self._whole(path)[row : row + size[0], column : column + size[1]]


def _numbers(path: Path, window: Window | None = None) -> Array:
    with rasterio.open(path) as raster:
        numbers: Array = raster.read(1, window=window)
    return numbers


@dataclass(frozen=True)
class StoredRaster:
    """A file and its grid; `decode` converts its digital numbers to values and mask."""

    rasters: RasterReader
    path: Path
    grid: Grid
    decode: Decode

    def window(self, row: int, column: int, size: tuple[int, int]) -> Tile:
        """Values and mask of a window inside the file."""
        return Tile(*self.decode(self.rasters.read(self.path, self.grid.shape, row, column, size))).full(size)


@dataclass(frozen=True)
class BlockMeans:
    """The means of a file over blocks of `factor` x `factor` pixels.

    `grid` is the grid of the blocks; `offset` is (rows, columns) of the file's first pixel in the first block.
    """

    source: StoredRaster
    factor: int
    grid: Grid
    offset: tuple[int, int]

    def window(self, row: int, column: int, size: tuple[int, int]) -> Tile:
        """The mean of the valid pixels of each block, float32; a block without valid pixels is masked."""
        first = [start * self.factor - offset for start, offset in zip((row, column), self.offset, strict=True)]
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


def nearest_lookup(stored: StoredRaster | BlockMeans) -> TileFunction:
    """Nearest neighbour: the pixel of a stored raster that contains the centre of each requested pixel."""

    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        positions = render.positions(grid, stored.grid.projection)
        return _look_up(positions, stored, grid.shape)

    return compute_tile


def mosaicked(parts: Sequence[StoredRaster]) -> TileFunction:
    """A mosaic of stored rasters; where several have a pixel, the last one is used."""
    pulls = [nearest_lookup(part) for part in parts]

    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        out = EMPTY_TILE
        for single in pulls:
            tile = render.tile(single, grid)
            if tile.mask.any():
                out = Tile(np.where(tile.mask, tile.values, out.values), tile.mask | out.mask)
        return out

    return compute_tile


def _look_up(positions: PixelPositions, stored: StoredRaster | BlockMeans, shape: tuple[int, int]) -> Tile:
    height, width = stored.grid.shape
    if positions.shift is not None:
        row, column = positions.shift
        if row >= 0 and row + shape[0] <= height and column >= 0 and column + shape[1] <= width:
            return stored.window(row, column, shape)
    found = positions.window(0)
    if found is None:
        return EMPTY_TILE
    row, column, size = found
    low = max(row, 0), max(column, 0)
    high = min(row + size[0], height), min(column + size[1], width)
    if low[0] >= high[0] or low[1] >= high[1]:
        return EMPTY_TILE
    tile = stored.window(low[0], low[1], (high[0] - low[0], high[1] - low[1]))
    return take_pixels(tile.values, tile.mask, *positions.indices(*low))


def constant_inside(area: Grid, value: float) -> TileFunction:
    """A constant value, masked outside of the area."""

    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        positions = render.positions(grid, area.projection)
        rows, columns = positions.indices(0, 0)
        height, width = area.shape
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        return Tile(np.array(value, np.float32), np.broadcast_to(inside, grid.shape))

    return compute_tile


def validity_mask(measured: TileFunction) -> TileFunction:
    """0 where a band has a value and 255 elsewhere, unmasked."""

    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        mask = render.tile(measured, grid).mask
        return Tile(np.where(mask, np.uint8(0), np.uint8(INVALID)), TRUE)

    return compute_tile


def block_means_30m(stored: StoredRaster) -> BlockMeans:
    """Means of 3 × 3 pixels of 10 m on the lattice whose pixel edges are multiples of 30 m."""
    a, _, left, _, e, top = stored.grid.transform
    west, north = np.floor(left / OPERA_PIXEL) * OPERA_PIXEL, np.ceil(top / OPERA_PIXEL) * OPERA_PIXEL
    offset = round((north - top) / -e), round((left - west) / a)
    rows, columns = (
        -(-(side + before) // OPERA_FACTOR) for side, before in zip(stored.grid.shape, offset, strict=True)
    )
    transform = (OPERA_PIXEL, 0.0, float(west), 0.0, -OPERA_PIXEL, float(north))
    return BlockMeans(stored, OPERA_FACTOR, Grid(stored.grid.crs, transform, (rows, columns)), offset)


def decode_power(numbers: Array) -> tuple[Array, Any]:
    """Linear power, masked where it is not positive."""
    with np.errstate(invalid="ignore"):
        return numbers, numbers > 0


def decode_finite(numbers: Array) -> tuple[Array, Any]:
    """Values, masked where they are not finite."""
    return numbers, np.isfinite(numbers)


def decode_rounded(numbers: Array) -> tuple[Array, Any]:
    """Values rounded to int16, masked where they are not finite."""
    known = np.isfinite(numbers)
    return np.rint(np.where(known, numbers, 0)).astype(np.int16), known


def decode_harmonised(offset: float) -> Decode:
    """Digital numbers minus the offset of their baseline, at least 0; masked where the number is 0."""

    def decode(numbers: Array) -> tuple[Array, Any]:
        return np.maximum(numbers, offset).astype(np.uint16) - np.uint16(offset), numbers != 0

    return decode


def decode_scaled(scale: float) -> Decode:
    """uint8 numbers times a scale, masked at 255."""

    def decode(numbers: Array) -> tuple[Array, Any]:
        return numbers * np.float32(scale), numbers != INVALID

    return decode


def decode_nonzero(numbers: Array) -> tuple[Array, Any]:
    """Values, masked where 0."""
    return numbers, numbers != 0


def decode_unmasked(numbers: Array) -> tuple[Array, Any]:
    """Values, unmasked."""
    return numbers, TRUE


def decode_occurrence(numbers: Array) -> tuple[Array, Any]:
    """Water occurrence in per cent by the class of the water body mask; masked on land."""
    return OCCURRENCE[numbers], numbers > 0
