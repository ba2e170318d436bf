"""Kernels, and what is computed from each pixel's neighbours on the requested grid.

The requested grid is asked for with a margin of the kernel's reach, so that tiles meet without seams.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import ndimage

from ..errors import ApiError, not_imitated
from ..grids import Grid, pixel_metres
from ..pixels import Array, Flags, Render, Tile
from ..pixeltypes import fractional
from ..registry import algorithm
from ..values import Band, Image, Kernel
from .reducers import Reducer

Disc = Callable[[Array, Array, float, float], Array]
ROUNDING = 1e-6
Filter = Callable[[Array, Flags, Array], tuple[Array, Flags]]


def shaped(radii: tuple[float, float], units: str, disc: Disc, magnitude: float, normalize: bool) -> Kernel:
    """A kernel of the pixels that `disc` accepts (rows, columns and their radii in pixels)."""
    if units not in ("pixels", "meters"):
        raise ApiError(f"Kernel: Unknown units '{units}'. Use 'pixels' or 'meters'.")

    def weights(pixel: tuple[float, float]) -> Array:
        high, wide = (radius / side if units == "meters" else radius for radius, side in zip(radii, pixel, strict=True))
        down = np.arange(-int(high + ROUNDING), int(high + ROUNDING) + 1)[:, None]
        right = np.arange(-int(wide + ROUNDING), int(wide + ROUNDING) + 1)[None, :]
        flat = disc(down, right, high + ROUNDING, wide + ROUNDING).astype(np.float64) * magnitude
        return flat / abs(flat.sum()) if normalize else flat

    return Kernel(weights)


def _everything(down: Array, right: Array, high: float, wide: float) -> Array:
    return np.ones((down.size, right.size), bool)


def _round(down: Array, right: Array, high: float, wide: float) -> Array:
    return np.asarray((down / max(high, 1e-3)) ** 2 + (right / max(wide, 1e-3)) ** 2 <= 1)


def _cross(down: Array, right: Array, high: float, wide: float) -> Array:
    return np.asarray(np.abs(down) == np.abs(right))


def _plus(down: Array, right: Array, high: float, wide: float) -> Array:
    return np.asarray((down == 0) | (right == 0))


def _diamond(down: Array, right: Array, high: float, wide: float) -> Array:
    return np.asarray(np.abs(down) / max(high, 1e-3) + np.abs(right) / max(wide, 1e-3) <= 1)


SHAPES: dict[str, Disc] = {
    "square": _everything, "circle": _round, "cross": _cross, "plus": _plus, "diamond": _diamond
}  # fmt: skip


def _register(name: str, disc: Disc) -> None:
    def kernel(radius: float, units: str, normalize: bool, magnitude: float) -> Kernel:
        return shaped((radius, radius), units, disc, magnitude, normalize)

    algorithm(f"Kernel.{name}")(kernel)


for _name, _disc in SHAPES.items():
    _register(_name, _disc)


algorithm("Kernel.rectangle")(
    lambda x_radius, y_radius, units, normalize, magnitude: shaped(
        (y_radius, x_radius), units, _everything, magnitude, normalize
    )
)


@algorithm("Kernel.fixed")
def fixed(width: int, height: int, weights: list[list[float]], x: int, y: int, normalize: bool) -> Kernel:
    """A kernel of given weights; x and y (-1: the middle) say which of them lies on the pixel."""
    given = np.asarray(weights, np.float64)
    if given.ndim != 2:
        raise ApiError("Kernel.fixed: The weights must be a list of rows of equal length.")
    rows, columns = given.shape
    at_row, at_column = (rows // 2 if y < 0 else y), (columns // 2 if x < 0 else x)
    reach = max(at_row, rows - 1 - at_row), max(at_column, columns - 1 - at_column)
    whole = np.zeros((2 * reach[0] + 1, 2 * reach[1] + 1))
    top, left = reach[0] - at_row, reach[1] - at_column
    whole[top : top + rows, left : left + columns] = given
    if normalize:
        whole = whole / abs(whole.sum())
    return Kernel(lambda pixel: whole)


@algorithm("Kernel.gaussian")
def gaussian(radius: float, sigma: float, units: str, normalize: bool, magnitude: float) -> Kernel:
    """A Gaussian bell of `sigma` in the same unit as the radius."""

    def bell(pixel: tuple[float, float]) -> Array:
        unit = pixel if units == "meters" else (1.0, 1.0)
        square = shaped((radius, radius), units, _everything, 1.0, False).weights(pixel)
        down, right = (np.arange(side) - side // 2 for side in square.shape)
        distance = (down[:, None] * unit[0]) ** 2 + (right[None, :] * unit[1]) ** 2
        weights: Array = magnitude * np.exp(-0.5 * distance / sigma**2)
        return weights / weights.sum() if normalize else weights

    return Kernel(bell)


def around(band: Band, kernel: Kernel, compute: Filter, **changes: Any) -> Band:
    """A band of what `compute` makes of values (0 where masked), mask and weights on a grid wider by the kernel."""

    def pull(render: Render, grid: Grid) -> Tile:
        weights = kernel.weights(pixel_metres(grid))
        down, right = weights.shape[0] // 2, weights.shape[1] // 2
        wide = grid.pad(down, right)
        values, mask = band.on(render, wide).full(wide.shape)
        new, known = compute(np.where(mask, values, 0), mask, weights)
        inner = slice(down, down + grid.shape[0]), slice(right, right + grid.shape[1])
        return Tile(new[inner], known[inner])

    return replace(band, pull=pull, **changes)


def _sum(values: Array, weights: Array) -> Array:
    """Weighted sums over the neighbours, added in the same order for every pixel."""
    summed: Array = ndimage.correlate(values.astype(np.float64), weights, mode="constant")
    return summed


def mean(values: Array, mask: Flags, weights: Array) -> tuple[Array, Flags]:
    """The weighted mean of the neighbours that are not masked."""
    weights = weights / abs(weights).max()  # equal weights become ones, whose sums are exact in every order
    total = _sum(values, weights)
    whole = mask.all() and set(np.unique(weights)) <= {0, 1}
    share = np.full(total.shape, weights.sum()) if whole else _sum(mask, weights)
    known = share > 0
    return total / np.where(known, share, 1), known


def largest(values: Array, mask: Flags, weights: Array) -> tuple[Array, Flags]:
    """The largest of the neighbours that are not masked."""
    if mask.all():
        return _extreme(values, weights != 0), mask
    floor = _floor(values)
    out = _extreme(np.where(mask, values, floor), weights != 0)
    return np.where(out > floor, out, 0), out > floor


def _floor(values: Array) -> Any:
    """A number below all of a type's, in the narrowest type that has both."""
    if values.dtype.kind == "f":
        return np.float64(-np.inf)
    return np.int32(-(2**30)) if values.dtype.itemsize <= 2 else np.int64(-(2**62))


def smallest(values: Array, mask: Flags, weights: Array) -> tuple[Array, Flags]:
    """The smallest of the neighbours that are not masked."""
    wide = np.float64 if values.dtype.kind == "f" else np.int32 if values.dtype.itemsize <= 2 else np.int64
    out, known = largest(np.negative(values.astype(wide)), mask, weights)
    return np.negative(out), known


def _extreme(values: Array, chosen: Flags) -> Any:
    """Maxima over the chosen neighbours; row by row, as the rows of all kernels here are runs of pixels."""
    rows, columns = chosen.shape
    if chosen.all():
        across = ndimage.maximum_filter1d(values, columns, axis=1, mode="nearest")
        return ndimage.maximum_filter1d(across, rows, axis=0, mode="nearest")
    out = None
    for row in range(rows):
        at = np.flatnonzero(chosen[row])
        if not at.size:
            continue
        if at[-1] - at[0] + 1 != at.size:
            return ndimage.maximum_filter(values, footprint=chosen, mode="nearest")
        line = ndimage.maximum_filter1d(values, at.size, axis=1, mode="nearest")
        moved = _neighbour(line, row - rows // 2, int(at[0]) + at.size // 2 - columns // 2)
        out = moved if out is None else np.maximum(out, moved)
    return values if out is None else out


def _neighbour(values: Array, down: int, right: int) -> Array:
    """The value so far down and right at each pixel; what comes in over the edges lies outside every result."""
    return np.roll(values, (-down, -right), axis=(0, 1))


FOCAL: dict[str, Filter] = {"Max": largest, "Min": smallest, "Mean": mean}


def _register_focal(name: str, compute: Filter) -> None:
    def focal(
        image: Image, radius: float, kernel_type: str, units: str, iterations: int, kernel: Kernel | None
    ) -> Image:
        if kernel is None:
            if kernel_type not in SHAPES:
                raise not_imitated(f"The kernel type '{kernel_type}'")
            kernel = shaped((radius, radius), units, SHAPES[kernel_type], 1.0, False)
        bands: Sequence[Band] = image.bands
        for _ in range(iterations):
            bands = [_focal(band, kernel, name, compute) for band in bands]
        return image.with_bands(bands)

    algorithm(f"Image.focal{name}", f"Image.focal_{name.lower()}")(focal)


def _focal(band: Band, kernel: Kernel, name: str, compute: Filter) -> Band:
    return around(band, kernel, compute, type=fractional(band.type) if name == "Mean" else band.type)


for _name, _compute in FOCAL.items():
    _register_focal(_name, _compute)


@algorithm("Image.convolve")
def convolve(image: Image, kernel: Kernel) -> Image:
    """Sums weighted by the kernel; masked where a pixel with a weight is masked."""
    return image.bare([around(band, kernel, _convolved, type=fractional(band.type)) for band in image.bands])


def _convolved(values: Array, mask: Flags, weights: Array) -> tuple[Array, Flags]:
    turned = weights[::-1, ::-1]
    return _sum(values, turned), _sum(~mask, (turned != 0).astype(np.float64)) < 0.5


@algorithm("Image.reduceNeighborhood")
def reduce_neighborhood(
    image: Image, reducer: Reducer, kernel: Kernel, input_weight: str, skip_masked: bool, optimization: str | None
) -> Image:
    """A reducer over each pixel's neighbours, bands named `band_output`; the kernel's weights count for means and
    sums, others take the pixels whose weight is not zero."""
    bands = []
    for band in image.bands:
        for output in reducer.outputs:
            compute = _neighbours(reducer, output, input_weight)
            kind = reducer.type_of(output, band.type)
            made = around(band, kernel, compute, type=kind, name=f"{band.name}_{output}")
            bands.append(_only_where(made, band) if skip_masked else made)
    return image.bare(bands)


def _only_where(made: Band, centre: Band) -> Band:
    def pull(render: Render, grid: Grid) -> Tile:
        tile = made.on(render, grid)
        return Tile(tile.values, tile.mask & centre.on(render, grid).mask)

    return made.computed(pull)


def _neighbours(reducer: Reducer, output: str, input_weight: str) -> Filter:
    direct = {"mean": mean, "max": largest, "min": smallest}

    def compute(values: Array, mask: Flags, weights: Array) -> tuple[Array, Flags]:
        if input_weight == "mask" or output not in ("mean", "sum"):
            weights = (weights != 0).astype(np.float64)
        if output in direct:
            return direct[output](values, mask, weights)
        if output == "sum":
            return _sum(values, weights), _sum(mask, weights) > 0
        if output == "count":
            count = np.rint(_sum(mask, weights))
            return count, np.ones(count.shape, bool)
        return _stacked(reducer, output, values, mask, weights)

    return compute


def _stacked(reducer: Reducer, output: str, values: Array, mask: Flags, weights: Array) -> tuple[Array, Flags]:
    """All neighbours as a stack for any other reducer."""
    middle = weights.shape[0] // 2, weights.shape[1] // 2
    steps = np.argwhere(weights != 0) - middle
    stack = np.stack([_neighbour(values, down, right) for down, right in steps])
    masks = np.stack([_neighbour(mask, down, right) for down, right in steps])
    return reducer.stack(output, stack, masks)


@algorithm("Image.neighborhoodToBands")
def neighborhood_to_bands(image: Image, kernel: Kernel) -> Image:
    """Each neighbour as a band `name_x_y`; only kernels in pixels."""
    weights = kernel.weights((1.0, 1.0))
    down, right = weights.shape[0] // 2, weights.shape[1] // 2
    bands = []
    for band in image.bands:
        for row, column in np.argwhere(weights != 0):
            y, x = int(row) - down, int(column) - right
            bands.append(replace(band, name=f"{band.name}_{x}_{y}", pull=_moved(band, y, x)))
    return image.bare(bands)


def _moved(band: Band, down: int, right: int) -> Any:
    def pull(render: Render, grid: Grid) -> Tile:
        return band.on(render, grid.part(down, right, grid.shape))

    return pull
