"""Lazy computation of pixels: tiles, and the cache of one request.

A band's pixels are a function of a `RenderContext` and a `Grid`, called only when a grid is requested. The context
caches tiles by function and grid, so what several bands share is computed once.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.features import geometry_mask

from .geometry import Geometry
from .grids import Grid, PixelPositions, Projection, pixel_positions
from .replies import ApiError

Array = NDArray[Any]
Flags = NDArray[np.bool_]

MAX_LATTICE_PIXELS = 2**26
CACHE_BYTES = 384 * 2**20

TRUE: Flags = np.array(True)
FALSE: Flags = np.array(False)


class Tile(NamedTuple):
    """Values and mask (True: valid), broadcastable to the grid's shape. Masked values are arbitrary."""

    values: Array
    mask: Flags

    def full(self, shape: tuple[int, int]) -> "Tile":
        """Both arrays broadcast to the grid's shape."""
        return Tile(np.broadcast_to(self.values, shape), np.broadcast_to(self.mask, shape))


TileFunction = Callable[["RenderContext", Grid], Tile]
EMPTY_TILE = Tile(np.array(0), FALSE)


class RenderContext:
    """The cache of one block of one request. The least recently used tiles are dropped beyond `CACHE_BYTES`."""

    def __init__(self) -> None:
        self._tiles: OrderedDict[tuple[TileFunction, Grid], Tile] = OrderedDict()
        self._positions: dict[tuple[Grid, Projection], PixelPositions] = {}
        self._inside: dict[tuple[Geometry, Grid], Flags] = {}
        self._bytes = 0

    def tile(self, compute_tile: TileFunction, grid: Grid) -> Tile:
        """The tile of a band's function on a grid, cached."""
        key = (compute_tile, grid)
        known = self._tiles.get(key)
        if known is not None:
            self._tiles.move_to_end(key)
            return known
        made = compute_tile(self, grid)
        self._tiles[key] = made
        self._bytes += _size(made)
        while self._bytes > CACHE_BYTES and len(self._tiles) > 1:
            self._bytes -= _size(self._tiles.popitem(last=False)[1])
        return made

    def positions(self, grid: Grid, projection: Projection) -> PixelPositions:
        """The positions of the grid's pixels on a lattice, cached."""
        key = (grid, projection)
        if key not in self._positions:
            self._positions[key] = pixel_positions(grid, projection)
        return self._positions[key]

    def inside(self, geometry: Geometry, grid: Grid) -> Flags:
        """`rasterize_geometry`, cached."""
        key = (geometry, grid)
        if key not in self._inside:
            self._inside[key] = rasterize_geometry(geometry, grid)
        return self._inside[key]


def rasterize_geometry(geometry: Geometry, grid: Grid) -> Flags:
    """True where the pixel centre lies inside the geometry, (rows, columns)."""
    shape = geometry.in_crs(grid.crs)
    if shape.is_empty:
        return np.zeros(grid.shape, bool)
    inside: Flags = geometry_mask([shape], grid.shape, grid.affine, invert=True)
    return inside


def on_lattice(render: RenderContext, grid: Grid, projection: Projection, make: Callable[[Grid], Tile]) -> Tile:
    """Compute on the pixels of a projection and sample the result on a grid by nearest neighbour.

    Args:
        render: The cache of the request.
        grid: The requested grid.
        projection: The projection on whose lattice `make` computes.
        make: Returns the tile of a window of the lattice.
    """
    positions = render.positions(grid, projection)
    if positions.shift is not None:
        return make(projection.window(*positions.shift, grid.shape))
    found = positions.window(0)
    if found is None:
        return EMPTY_TILE
    row, column, size = found
    window = projection.window(row, column, checked_shape(size))
    tile = make(window).full(window.shape)
    return take_pixels(tile.values, tile.mask, *positions.indices(row, column))


def checked_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """The shape (rows, columns) of a window of a lattice; ApiError if it has too many pixels."""
    if shape[0] * shape[1] > MAX_LATTICE_PIXELS:
        raise ApiError(f"Reprojection output too large ({shape[1]}x{shape[0]} pixels).")
    return shape


def take_pixels(values: Array, mask: Flags, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Tile:
    """The pixels at given indices, masked outside of the array.

    Args:
        values: (height, width).
        mask: (height, width), True where valid.
        rows: Row indices, broadcastable against `columns`.
        columns: Column indices.
    """
    height, width = values.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    at = (np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1))
    return Tile(values[at], mask[at] & inside)


def _size(tile: Tile) -> int:
    """The size of a tile in bytes, at the full shape of its arrays."""
    return int(tile.values.nbytes + tile.mask.nbytes)
