"""Projections of images: default ones, forced ones, interpolation, definite grids."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..coercion import as_projection
from ..geometry import Geometry, of_grid
from ..grids import EDGE, WGS84, Grid, Numbers, Places, Projection, upright
from ..pixels import NOTHING, Array, Render, Tile, affordable, on_lattice
from ..pixeltypes import fractional
from ..registry import algorithm
from ..replies import ApiError, not_imitated
from ..values import Band, Image

NEGLIGIBLE = 1e-9

Steps = list[tuple[Array, Numbers]]


def moved(projection: Projection, transform: Sequence[float] | None) -> Projection:
    """The projection with another transform, if there is one."""
    return projection if transform is None else Projection(projection.crs, upright(transform))


@algorithm("Image.projection")
def projection_of(image: Image) -> Projection:
    """The default projection; ApiError if the bands have several, or if there is no band."""
    if not image.bands:
        raise ApiError("Image.projection: The image has no bands.")
    found = {band.projection for band in image.bands}
    if len(found) > 1:
        raise ApiError(
            "Image.projection: The bands of the specified image contains different projections. Use Image.select to "
            "pick a single band."
        )
    return found.pop()


@algorithm("Image.setDefaultProjection")
def set_default_projection(image: Image, crs: Projection, crs_transform: list[float] | None) -> Image:
    """Another default projection; pixels are computed as before where they are asked for."""
    projection = moved(crs, crs_transform)
    return image.with_bands([replace(band, projection=projection, grid=None) for band in image.bands])


@algorithm("Image.reproject")
def reproject(image: Image, crs: Projection, crs_transform: list[float] | None) -> Image:
    """Computed on the pixels of this projection whatever is asked for, which sees the nearest of them."""
    projection = moved(crs, crs_transform)
    return image.with_bands([_pinned(band, projection) for band in image.bands])


def _pinned(band: Band, projection: Projection) -> Band:
    def pull(render: Render, grid: Grid) -> Tile:
        return on_lattice(render, grid, projection, lambda window: band.on(render, window))

    return replace(band, pull=pull, projection=projection, grid=None)


@algorithm("Image.resample")
def resample(image: Image, mode: str) -> Image:
    """Bilinear between the pixels of the default projection instead of the nearest of them."""
    if mode != "bilinear":
        raise not_imitated(f"Image.resample by '{mode}'")
    return image.with_bands([_interpolated(band) for band in image.bands])


def _interpolated(band: Band) -> Band:
    def pull(render: Render, grid: Grid) -> Tile:
        where = render.places(grid, band.projection)
        if where.shift is not None:
            return band.on(render, grid)
        found = where.window(1)
        if found is None:
            return NOTHING
        row, column, shape = found
        tile = band.on(render, band.projection.window(row, column, affordable(shape))).full(shape)
        return _between(tile, where, row, column)

    kind = fractional(band.type) if band.type.integral else band.type
    return band.computed(pull, kind)


def _between(tile: Tile, where: Places, row: int, column: int) -> Tile:
    """The tile (a window of a lattice from (row, column)) between its pixels; a masked pixel masks what has a share of
    it."""
    down, right = _parts(where.rows - row), _parts(where.columns - column)
    values = np.where(tile.mask, tile.values, 0).astype(np.float64)
    known = np.isfinite(where.rows) & np.isfinite(where.columns)
    upright = where.rows.shape[1] == 1 and where.columns.shape[0] == 1
    mix = _mixed if upright else _scattered
    total = mix(values, down, right)
    if tile.mask.all():
        return Tile(total, known)
    return Tile(total, (mix((~tile.mask).astype(np.float64), down, right) < NEGLIGIBLE) & known)


def _mixed(values: Numbers, down: Steps, right: Steps) -> Numbers:
    """Pixels between those of the values, for steps that are the same along a row or a column."""
    return _along(_along(values, down, 0), right, 1)


def _along(values: Numbers, steps: Steps, axis: int) -> Numbers:
    """Rows (axis 0) or columns (axis 1) between those of the values, for steps that do not vary along the other."""
    total: Numbers = np.zeros(())
    for at, weight in steps:
        total = total + np.take(values, at.ravel(), axis, mode="clip") * weight
    return total


def _scattered(values: Numbers, down: Steps, right: Steps) -> Numbers:
    """Pixels between those of the values, for steps that differ from pixel to pixel."""
    height, width = values.shape
    total: Numbers = np.zeros(())
    for row, weight in down:
        for column, share in right:
            total = total + weight * share * values[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    return total


def _parts(places: Numbers) -> Steps:
    """The two pixels around each place and their weights."""
    centred = np.where(np.isfinite(places), places, 0.5) - 0.5
    whole = np.floor(centred)
    first = whole.astype(np.int64)
    return [(first, 1 - (centred - whole)), (first + 1, centred - whole)]


@algorithm("Image.clipToBoundsAndScale")
def clip_to_bounds_and_scale(input: Image, geometry: Geometry | None, width: int | None, height: int | None) -> Image:
    """An image of a definite grid: the geometry's bounding box in the default projection, snapped outwards to its
    pixels, or of so many pixels."""
    projection = input.bands[0].projection if input.bands else WGS84
    within = geometry or input.footprint
    if within is None:
        raise ApiError("Unable to export unbounded image.")
    grid = _around(projection, within)
    if width is not None and height is not None:
        grid = _stretched(projection, within, height, width)
    outline = of_grid(grid)
    bands = [_clipped(_pinned(band, grid.projection), outline, grid) for band in input.bands]
    return replace(input.with_bands(bands), footprint=outline)


def _clipped(band: Band, geometry: Geometry, grid: Grid) -> Band:
    """The band masked where the pixel's centre lies outside; `grid` is its extent from now on."""

    def pull(render: Render, asked: Grid) -> Tile:
        tile = band.on(render, asked)
        return Tile(tile.values, tile.mask & render.inside(geometry, asked))

    return replace(band, pull=pull, grid=grid)


def _around(projection: Projection, within: Geometry) -> Grid:
    left, bottom, right, top = within.in_crs(projection.crs).bounds
    inverse = ~projection.affine
    corners = [inverse * corner for corner in ((left, bottom), (left, top), (right, bottom), (right, top))]
    columns, rows = [corner[0] for corner in corners], [corner[1] for corner in corners]
    first = int(np.floor(min(rows) + EDGE)), int(np.floor(min(columns) + EDGE))
    last = int(np.ceil(max(rows) - EDGE)), int(np.ceil(max(columns) - EDGE))
    return projection.window(*first, (max(1, last[0] - first[0]), max(1, last[1] - first[1])))


def _stretched(projection: Projection, within: Geometry, height: int, width: int) -> Grid:
    left, bottom, right, top = within.in_crs(projection.crs).bounds
    transform = ((right - left) / width, 0.0, left, 0.0, -(top - bottom) / height, top)
    return Grid(projection.crs, transform, (height, width))


@algorithm("Projection")
def projection(crs: Any, transform: list[float] | None) -> Projection:
    """A CRS with the transform from pixels to it."""
    return moved(as_projection(crs), transform)
