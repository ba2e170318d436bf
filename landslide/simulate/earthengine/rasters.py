"""Stored rasters: COGs of the simulated world, decoded once and kept, and how the pixels of one are looked up."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from .grids import Grid, Places
from .pixels import NOTHING, Array, Pull, Render, Tile, nearest

SMALL_BYTES = 16 * 2**20
KEPT_BYTES = 768 * 2**20

Decode = Callable[[Array], tuple[Array, Any]]


class Rasters:
    """Decoded rasters by path, the least lately used forgotten first; larger ones are read by window."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Path, Array] = OrderedDict()
        self._bytes = 0

    def read(self, path: Path, shape: tuple[int, int], row: int, column: int, size: tuple[int, int]) -> Array:
        """The numbers in the file, (rows, columns), of a window inside it."""
        whole = self._whole(path, shape)
        if whole is not None:
            return whole[row : row + size[0], column : column + size[1]]
        with rasterio.open(path) as raster:
            part: Array = raster.read(1, window=Window(column, row, size[1], size[0]))
        return part

    def _whole(self, path: Path, shape: tuple[int, int]) -> Array | None:
        with self._lock:
            known = self._kept.get(path)
            if known is not None:
                self._kept.move_to_end(path)
                return known
        if shape[0] * shape[1] * 4 > SMALL_BYTES:
            return None
        with rasterio.open(path) as raster:
            pixels: Array = raster.read(1)
        with self._lock:
            if path not in self._kept:
                self._kept[path] = pixels
                self._bytes += pixels.nbytes
            while self._bytes > KEPT_BYTES:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return pixels


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
