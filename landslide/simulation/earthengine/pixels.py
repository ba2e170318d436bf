"""Pixels on demand: tiles, and the memory of one request.

A band's pixels come from a function of a `Render` and a `Grid`. Nothing is computed before a grid asks for it, and what
several bands share is computed once a grid: the functions themselves are the keys of the render's memory.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.features import geometry_mask

from .geometry import Geometry
from .grids import Grid, Places, Projection, places
from .replies import ApiError

Array = NDArray[Any]
Flags = NDArray[np.bool_]

MOST_LATTICE = 2**26
KEPT_BYTES = 384 * 2**20

TRUE: Flags = np.array(True)
FALSE: Flags = np.array(False)


class Tile(NamedTuple):
    """Values and where they are valid; both broadcast to the grid's shape (constants are single numbers).

    What lies under the mask is anything.
    """

    values: Array
    mask: Flags

    def full(self, shape: tuple[int, int]) -> "Tile":
        """With both arrays at the grid's full shape."""
        return Tile(np.broadcast_to(self.values, shape), np.broadcast_to(self.mask, shape))


Pull = Callable[["Render", Grid], Tile]
NOTHING = Tile(np.array(0), FALSE)


class Render:
    """The memory of one block of one request. Tiles used least lately are forgotten when they take too much room."""

    def __init__(self) -> None:
        self._tiles: OrderedDict[tuple[Pull, Grid], Tile] = OrderedDict()
        self._places: dict[tuple[Grid, Projection], Places] = {}
        self._inside: dict[tuple[Geometry, Grid], Flags] = {}
        self._bytes = 0

    def tile(self, pull: Pull, grid: Grid) -> Tile:
        """The tile of a band's function on a grid."""
        key = (pull, grid)
        known = self._tiles.get(key)
        if known is not None:
            self._tiles.move_to_end(key)
            return known
        made = pull(self, grid)
        self._tiles[key] = made
        self._bytes += _size(made)
        while self._bytes > KEPT_BYTES and len(self._tiles) > 1:
            self._bytes -= _size(self._tiles.popitem(last=False)[1])
        return made

    def places(self, grid: Grid, projection: Projection) -> Places:
        """Where the grid's pixels fall on a lattice."""
        key = (grid, projection)
        if key not in self._places:
            self._places[key] = places(grid, projection)
        return self._places[key]

    def inside(self, geometry: Geometry, grid: Grid) -> Flags:
        """Where a pixel's centre lies in the geometry, at full shape."""
        key = (geometry, grid)
        if key not in self._inside:
            self._inside[key] = rasterised(geometry, grid)
        return self._inside[key]


def rasterised(geometry: Geometry, grid: Grid) -> Flags:
    """Where a pixel's centre lies in the geometry, (height, width)."""
    shape = geometry.in_crs(grid.crs)
    if shape.is_empty:
        return np.zeros(grid.shape, bool)
    inside: Flags = geometry_mask([shape], grid.shape, grid.affine, invert=True)
    return inside


def on_lattice(render: Render, grid: Grid, projection: Projection, make: Callable[[Grid], Tile]) -> Tile:
    """What `make` computes on the projection's own pixels, seen by the grid through the nearest of them.

    `make` gets the window of the lattice that the grid needs and returns its tile.
    """
    where = render.places(grid, projection)
    if where.shift is not None:
        return make(projection.window(*where.shift, grid.shape))
    found = where.window(0)
    if found is None:
        return NOTHING
    row, column, size = found
    window = projection.window(row, column, affordable(size))
    tile = make(window).full(window.shape)
    return nearest(tile.values, tile.mask, *where.indices(row, column))


def affordable(shape: tuple[int, int]) -> tuple[int, int]:
    """The shape (rows, columns) of a window of a lattice; ApiError if that many pixels would be too many."""
    if shape[0] * shape[1] > MOST_LATTICE:
        raise ApiError(f"Reprojection output too large ({shape[1]}x{shape[0]} pixels).")
    return shape


def nearest(values: Array, mask: Flags, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Tile:
    """The pixels at rows and columns, masked where there are none."""
    height, width = values.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    at = (np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1))
    return Tile(values[at], mask[at] & inside)


def _size(tile: Tile) -> int:
    """Bytes that a tile alone keeps alive; views count for what they show."""
    return int(tile.values.nbytes + tile.mask.nbytes)
