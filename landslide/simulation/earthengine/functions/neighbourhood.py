"""Functions of a pixel's neighbours.

Focal operations use the neighbours on the requested grid; slope and aspect those on the default projection of the
elevation. The input is computed with a margin of the radius, so tiles join without seams.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import ndimage

from ..grids import METRES_PER_DEGREE, Grid, is_geographic, metres_per_unit, pixel_metres
from ..pixels import Array, Flags, RenderContext, Tile, on_lattice
from ..pixeltypes import FLOAT
from ..registry import algorithm
from ..replies import ApiError, unsupported
from ..values import Image, ImageBand

ROUNDING = 1e-6
Focal = Callable[[Array, Flags, tuple[int, int]], tuple[Array, Flags]]


def radius_in_pixels(grid: Grid, radius: float, units: str) -> tuple[int, int]:
    """A radius in rows and columns of the grid, rounded down; ApiError for unknown units."""
    if units not in ("pixels", "meters"):
        raise ApiError(f"Kernel: Unknown units '{units}'. Use 'pixels' or 'meters'.")
    high, wide = pixel_metres(grid) if units == "meters" else (1.0, 1.0)
    return int(radius / high + ROUNDING), int(radius / wide + ROUNDING)


def focal_max(values: Array, mask: Flags, sides: tuple[int, int]) -> tuple[Array, Flags]:
    """The largest unmasked value in a window of `sides` (rows, columns), and where there is one."""
    if mask.all():
        return _maximum(values, sides), mask
    floor = _below_all(values)
    out = _maximum(np.where(mask, values, floor), sides)
    return np.where(out > floor, out, 0), out > floor


def _maximum(values: Array, sides: tuple[int, int]) -> Array:
    found: Array = ndimage.maximum_filter(values, sides, mode="nearest")
    return found


def _below_all(values: Array) -> Any:
    """A number below all values of the array's dtype, in a dtype that holds both."""
    if values.dtype.kind == "f":
        return np.float64(-np.inf)
    return np.int32(-(2**30)) if values.dtype.itemsize <= 2 else np.int64(-(2**62))


def focal_min(values: Array, mask: Flags, sides: tuple[int, int]) -> tuple[Array, Flags]:
    """The smallest unmasked value in a window of `sides` (rows, columns), and where there is one."""
    wide = np.float64 if values.dtype.kind == "f" else np.int32 if values.dtype.itemsize <= 2 else np.int64
    out, known = focal_max(np.negative(values.astype(wide)), mask, sides)
    return np.negative(out), known


def _register(name: str, compute: Focal) -> None:
    def focal(image: Image, radius: float, kernel_type: str, units: str) -> Image:
        if kernel_type != "square":
            raise unsupported(f"The kernel type '{kernel_type}'")
        return image.with_bands([_focal(band, radius, units, compute) for band in image.bands])

    algorithm(f"Image.{name}")(focal)


def _focal(band: ImageBand, radius: float, units: str, compute: Focal) -> ImageBand:
    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        down, right = radius_in_pixels(grid, radius, units)
        wide = grid.pad(down, right)
        values, mask = band.tile(render, wide).full(wide.shape)
        new, known = compute(np.where(mask, values, 0), mask, (2 * down + 1, 2 * right + 1))
        inner = slice(down, down + grid.shape[0]), slice(right, right + grid.shape[1])
        return Tile(new[inner], known[inner])

    return band.derive(compute_tile)


_register("focalMax", focal_max)
_register("focalMin", focal_min)


GradientFunction = Callable[[Array, Array], Array]


@algorithm("Terrain.slope")
def slope(input: Image) -> Image:
    """The slope in degrees from the four neighbours of each pixel; masked next to masked pixels."""
    return input.with_bands([_terrain_band(input.bands[0], "slope", _slope)])


@algorithm("Terrain.aspect")
def aspect(input: Image) -> Image:
    """The downslope direction in degrees clockwise from north; 0 where level."""
    return input.with_bands([_terrain_band(input.bands[0], "aspect", _aspect)])


def _terrain_band(band: ImageBand, name: str, from_gradient: GradientFunction) -> ImageBand:
    def native(render: RenderContext, window: Grid) -> Tile:
        return _from_gradient(band.tile(render, window.pad(1, 1)), window, from_gradient)

    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        return on_lattice(render, grid, band.projection, lambda window: render.tile(native, window))

    return replace(band, name=name, type=FLOAT, compute_tile=compute_tile)


def _from_gradient(tile: Tile, window: Grid, from_gradient: GradientFunction) -> Tile:
    """A function of the gradient; `tile` is one pixel larger than the window on each side."""
    height, width = window.shape
    values, mask = tile.full((height + 2, width + 2))
    elevation = np.where(mask, values, 0).astype(np.float64)
    east_m, north_m = pixel_steps(window)
    middle = slice(1, -1)
    with np.errstate(all="ignore"):
        east = (elevation[middle, 2:] - elevation[middle, :-2]) / (2 * east_m)
        north = (elevation[2:, middle] - elevation[:-2, middle]) / (2 * north_m)
    whole = mask[middle, middle] & mask[middle, 2:] & mask[middle, :-2] & mask[2:, middle] & mask[:-2, middle]
    return Tile(from_gradient(east, north), whole)


def pixel_steps(window: Grid) -> tuple[Any, Any]:
    """The step of one column to the east and of one row to the north, in metres; negative where rows run south.

    On a geographic grid the step to the east has shape (rows, 1).
    """
    a, _, _, _, e, _ = window.transform
    if not is_geographic(window.crs):
        unit = metres_per_unit(window.crs)
        return a * unit, e * unit
    latitude = window.centres()[1]
    return a * METRES_PER_DEGREE * np.cos(np.radians(latitude)), e * METRES_PER_DEGREE


def _slope(east: Array, north: Array) -> Array:
    return np.degrees(np.arctan(np.hypot(east, north)))


def _aspect(east: Array, north: Array) -> Array:
    level = (east == 0) & (north == 0)
    return np.where(level, 0.0, np.degrees(np.arctan2(-east, -north)) % 360)
