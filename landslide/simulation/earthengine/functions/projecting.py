"""Projections of images: default projection, reprojection, resampling, bounded grids."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..coercion import as_projection
from ..geometry import Geometry, grid_outline
from ..grids import TOLERANCE, WGS84, Grid, Numbers, PixelPositions, Projection, axis_aligned
from ..pixels import EMPTY_TILE, Array, RenderContext, Tile, checked_shape, on_lattice
from ..pixeltypes import floating_type
from ..registry import algorithm
from ..replies import ApiError, unsupported
from ..values import Image, ImageBand

NEGLIGIBLE = 1e-9

NeighbourWeights = list[tuple[Array, Numbers]]


def with_transform(projection: Projection, transform: Sequence[float] | None) -> Projection:
    """The projection with another transform, if one is given."""
    return projection if transform is None else Projection(projection.crs, axis_aligned(transform))


@algorithm("Image.projection")
def projection_of(image: Image) -> Projection:
    """The default projection; ApiError if the bands have different ones or there is no band."""
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
    """The image with another default projection; its pixels do not change."""
    projection = with_transform(crs, crs_transform)
    return image.with_bands([replace(band, projection=projection, grid=None) for band in image.bands])


@algorithm("Image.reproject")
def reproject(image: Image, crs: Projection, crs_transform: list[float] | None) -> Image:
    """The image computed on the pixels of this projection; a requested grid samples them by nearest neighbour."""
    projection = with_transform(crs, crs_transform)
    return image.with_bands([_reprojected(band, projection) for band in image.bands])


def _reprojected(band: ImageBand, projection: Projection) -> ImageBand:
    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        return on_lattice(render, grid, projection, lambda window: band.tile(render, window))

    return replace(band, compute_tile=compute_tile, projection=projection, grid=None)


@algorithm("Image.resample")
def resample(image: Image, mode: str) -> Image:
    """The image with bilinear interpolation between the pixels of the default projection."""
    if mode != "bilinear":
        raise unsupported(f"Image.resample by '{mode}'")
    return image.with_bands([_interpolated(band) for band in image.bands])


def _interpolated(band: ImageBand) -> ImageBand:
    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        positions = render.positions(grid, band.projection)
        if positions.shift is not None:
            return band.tile(render, grid)
        found = positions.window(1)
        if found is None:
            return EMPTY_TILE
        row, column, shape = found
        tile = band.tile(render, band.projection.window(row, column, checked_shape(shape))).full(shape)
        return _bilinear(tile, positions, row, column)

    kind = floating_type(band.type) if band.type.is_integer else band.type
    return band.derive(compute_tile, kind)


def _bilinear(tile: Tile, positions: PixelPositions, row: int, column: int) -> Tile:
    """Bilinear interpolation of a tile, a window of a lattice from (row, column), at the positions.

    A result is masked if a masked pixel has a weight in it.
    """
    down, right = _neighbours(positions.rows - row), _neighbours(positions.columns - column)
    values = np.where(tile.mask, tile.values, 0).astype(np.float64)
    known = np.isfinite(positions.rows) & np.isfinite(positions.columns)
    separable = positions.rows.shape[1] == 1 and positions.columns.shape[0] == 1
    mix = _separable if separable else _pointwise
    total = mix(values, down, right)
    if tile.mask.all():
        return Tile(total, known)
    return Tile(total, (mix((~tile.mask).astype(np.float64), down, right) < NEGLIGIBLE) & known)


def _separable(values: Numbers, down: NeighbourWeights, right: NeighbourWeights) -> Numbers:
    """Interpolate where the weights are the same along each row and each column."""
    return _along(_along(values, down, 0), right, 1)


def _along(values: Numbers, steps: NeighbourWeights, axis: int) -> Numbers:
    """Interpolate rows (axis 0) or columns (axis 1) with weights that do not vary along the other axis."""
    total: Numbers = np.zeros(())
    for at, weight in steps:
        total = total + np.take(values, at.ravel(), axis, mode="clip") * weight
    return total


def _pointwise(values: Numbers, down: NeighbourWeights, right: NeighbourWeights) -> Numbers:
    """Interpolate where the weights differ from pixel to pixel."""
    height, width = values.shape
    total: Numbers = np.zeros(())
    for row, weight in down:
        for column, share in right:
            total = total + weight * share * values[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    return total


def _neighbours(positions: Numbers) -> NeighbourWeights:
    """The two pixels around each position and their weights."""
    centred = np.where(np.isfinite(positions), positions, 0.5) - 0.5
    whole = np.floor(centred)
    first = whole.astype(np.int64)
    return [(first, 1 - (centred - whole)), (first + 1, centred - whole)]


@algorithm("Image.clipToBoundsAndScale")
def clip_to_bounds_and_scale(input: Image, geometry: Geometry | None, width: int | None, height: int | None) -> Image:
    """The image on a bounded grid: a bounding box in the default projection.

    Args:
        input: The image.
        geometry: What the box bounds; None: the footprint.
        width: Columns into which the box is divided. Without width and height, the box is snapped outwards to the
            pixels of the projection.
        height: Rows into which the box is divided.

    Raises:
        ApiError: There is neither a geometry nor a footprint.
    """
    projection = input.bands[0].projection if input.bands else WGS84
    within = geometry or input.footprint
    if within is None:
        raise ApiError("Unable to export unbounded image.")
    grid = _snapped_grid(projection, within)
    if width is not None and height is not None:
        grid = _fitted_grid(projection, within, height, width)
    outline = grid_outline(grid)
    bands = [_clipped(_reprojected(band, grid.projection), outline, grid) for band in input.bands]
    return replace(input.with_bands(bands), footprint=outline)


def _clipped(band: ImageBand, geometry: Geometry, grid: Grid) -> ImageBand:
    """The band masked where the pixel centre lies outside of the geometry; `grid` becomes its extent."""

    def compute_tile(render: RenderContext, requested: Grid) -> Tile:
        tile = band.tile(render, requested)
        return Tile(tile.values, tile.mask & render.inside(geometry, requested))

    return replace(band, compute_tile=compute_tile, grid=grid)


def _snapped_grid(projection: Projection, within: Geometry) -> Grid:
    left, bottom, right, top = within.in_crs(projection.crs).bounds
    inverse = ~projection.affine
    corners = [inverse * corner for corner in ((left, bottom), (left, top), (right, bottom), (right, top))]
    columns, rows = [corner[0] for corner in corners], [corner[1] for corner in corners]
    first = int(np.floor(min(rows) + TOLERANCE)), int(np.floor(min(columns) + TOLERANCE))
    last = int(np.ceil(max(rows) - TOLERANCE)), int(np.ceil(max(columns) - TOLERANCE))
    return projection.window(*first, (max(1, last[0] - first[0]), max(1, last[1] - first[1])))


def _fitted_grid(projection: Projection, within: Geometry, height: int, width: int) -> Grid:
    left, bottom, right, top = within.in_crs(projection.crs).bounds
    transform = ((right - left) / width, 0.0, left, 0.0, -(top - bottom) / height, top)
    return Grid(projection.crs, transform, (height, width))


@algorithm("Projection")
def projection(crs: Any, transform: list[float] | None) -> Projection:
    """A CRS with the affine transform from pixels to it."""
    return with_transform(as_projection(crs), transform)
