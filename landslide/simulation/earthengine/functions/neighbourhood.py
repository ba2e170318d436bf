"""What is computed from each pixel's neighbours.

Focal operations take those of the requested grid, slope and aspect those of the elevation's own default projection. The
grid is asked for with a margin of the reach, so that tiles meet without seams.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import ndimage

from ..grids import METRES_PER_DEGREE, Grid, geographic, metres_per_unit, pixel_metres
from ..pixels import Array, Flags, Render, Tile, on_lattice
from ..pixeltypes import FLOAT
from ..registry import algorithm
from ..replies import ApiError, not_imitated
from ..values import Band, Image

ROUNDING = 1e-6
Focal = Callable[[Array, Flags, tuple[int, int]], tuple[Array, Flags]]


def reach(grid: Grid, radius: float, units: str) -> tuple[int, int]:
    """How many rows and columns of the grid a radius reaches; ApiError for unknown units."""
    if units not in ("pixels", "meters"):
        raise ApiError(f"Kernel: Unknown units '{units}'. Use 'pixels' or 'meters'.")
    high, wide = pixel_metres(grid) if units == "meters" else (1.0, 1.0)
    return int(radius / high + ROUNDING), int(radius / wide + ROUNDING)


def largest(values: Array, mask: Flags, sides: tuple[int, int]) -> tuple[Array, Flags]:
    """The largest neighbour that is not masked, in a window of so many rows and columns."""
    if mask.all():
        return _maximum(values, sides), mask
    floor = _floor(values)
    out = _maximum(np.where(mask, values, floor), sides)
    return np.where(out > floor, out, 0), out > floor


def _maximum(values: Array, sides: tuple[int, int]) -> Array:
    found: Array = ndimage.maximum_filter(values, sides, mode="nearest")
    return found


def _floor(values: Array) -> Any:
    """A number below all of a type's, in the narrowest type that has both."""
    if values.dtype.kind == "f":
        return np.float64(-np.inf)
    return np.int32(-(2**30)) if values.dtype.itemsize <= 2 else np.int64(-(2**62))


def smallest(values: Array, mask: Flags, sides: tuple[int, int]) -> tuple[Array, Flags]:
    """The smallest neighbour that is not masked, in a window of so many rows and columns."""
    wide = np.float64 if values.dtype.kind == "f" else np.int32 if values.dtype.itemsize <= 2 else np.int64
    out, known = largest(np.negative(values.astype(wide)), mask, sides)
    return np.negative(out), known


def _register(name: str, compute: Focal) -> None:
    def focal(image: Image, radius: float, kernel_type: str, units: str) -> Image:
        if kernel_type != "square":
            raise not_imitated(f"The kernel type '{kernel_type}'")
        return image.with_bands([_focal(band, radius, units, compute) for band in image.bands])

    algorithm(f"Image.{name}")(focal)


def _focal(band: Band, radius: float, units: str, compute: Focal) -> Band:
    def pull(render: Render, grid: Grid) -> Tile:
        down, right = reach(grid, radius, units)
        wide = grid.pad(down, right)
        values, mask = band.on(render, wide).full(wide.shape)
        new, known = compute(np.where(mask, values, 0), mask, (2 * down + 1, 2 * right + 1))
        inner = slice(down, down + grid.shape[0]), slice(right, right + grid.shape[1])
        return Tile(new[inner], known[inner])

    return band.computed(pull)


_register("focalMax", largest)
_register("focalMin", smallest)


Describe = Callable[[Array, Array], Array]


@algorithm("Terrain.slope")
def slope(input: Image) -> Image:
    """Degrees, from the four neighbours of each pixel; masked beside masked pixels."""
    return input.with_bands([_described(input.bands[0], "slope", _slope)])


@algorithm("Terrain.aspect")
def aspect(input: Image) -> Image:
    """The direction that the slope falls to, degrees clockwise from north; 0 where it is level."""
    return input.with_bands([_described(input.bands[0], "aspect", _aspect)])


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
