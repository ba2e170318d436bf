"""Slope and aspect, computed on the pixels of the elevation's own default projection."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..grids import METRES_PER_DEGREE, Grid, geographic, metres_per_unit
from ..pixels import Array, Render, Tile, on_lattice
from ..pixeltypes import FLOAT
from ..registry import algorithm
from ..values import Band, Image
from .bands import add_bands

Describe = Callable[[Array, Array], Array]


@algorithm("Terrain.slope")
def slope(input: Image) -> Image:
    """Degrees, from the four neighbours of each pixel; masked beside masked pixels."""
    return input.with_bands([_described(input.bands[0], "slope", _slope)])


@algorithm("Terrain.aspect")
def aspect(input: Image) -> Image:
    """The direction that the slope falls to, degrees clockwise from north; 0 where it is level."""
    return input.with_bands([_described(input.bands[0], "aspect", _aspect)])


@algorithm("Terrain", "Terrain.products")
def products(input: Image) -> Image:
    """The elevation with its slope and aspect (hill shading is not imitated)."""
    return add_bands(add_bands(input, slope(input), None, False), aspect(input), None, False)


def _described(band: Band, name: str, describe: Describe) -> Band:
    def native(render: Render, window: Grid) -> Tile:
        return _derived(band.on(render, window.pad(1, 1)), window, describe)

    def pull(render: Render, grid: Grid) -> Tile:
        return on_lattice(render, grid, band.projection, lambda window: render.tile(native, window))

    return replace(band, name=name, type=FLOAT, pull=pull)


def _derived(tile: Tile, window: Grid, describe: Describe) -> Tile:
    """From the tile one pixel larger on every side than the window."""
    height, width = window.shape
    values, mask = tile.full((height + 2, width + 2))
    elevation = np.where(mask, values, 0).astype(np.float64)
    east_m, north_m = steps(window)
    middle = slice(1, -1)
    with np.errstate(all="ignore"):
        east = (elevation[middle, 2:] - elevation[middle, :-2]) / (2 * east_m)
        north = (elevation[2:, middle] - elevation[:-2, middle]) / (2 * north_m)
    whole = mask[middle, middle] & mask[middle, 2:] & mask[middle, :-2] & mask[2:, middle] & mask[:-2, middle]
    return Tile(describe(east, north), whole)


def steps(window: Grid) -> tuple[Any, Any]:
    """Metres to the east of one column and to the north of one row (negative where rows run south), (rows, 1)."""
    a, _, _, _, e, _ = window.transform
    if not geographic(window.crs):
        unit = metres_per_unit(window.crs)
        return a * unit, e * unit
    latitude = window.centres()[1]
    return a * METRES_PER_DEGREE * np.cos(np.radians(latitude)), e * METRES_PER_DEGREE


def _slope(east: Array, north: Array) -> Array:
    return np.degrees(np.arctan(np.hypot(east, north)))


def _aspect(east: Array, north: Array) -> Array:
    level = (east == 0) & (north == 0)
    return np.where(level, 0.0, np.degrees(np.arctan2(-east, -north)) % 360)
