"""Projections of images: default ones, forced ones, interpolation, clipping."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyproj
import shapely

from ..coercion import as_geometry, as_projection
from ..errors import ApiError
from ..geometry import Geometry, of_grid
from ..geometry import box as geometry_box
from ..grids import WGS84, Grid, Numbers, Places, Projection, metres_per_unit
from ..pixels import NOTHING, Array, Render, Tile, affordable, on_lattice
from ..pixeltypes import fractional
from ..registry import algorithm
from ..values import Band, Image

NEGLIGIBLE = 1e-9
A = -0.5

Steps = list[tuple[Array, Numbers]]


def scaled(projection: Projection, transform: Sequence[float] | None, scale: float | None) -> Projection:
    """The projection with another transform, or with square pixels of so many metres, north up from the origin."""
    if transform is not None:
        if scale is not None:
            raise ApiError("Cannot specify both crsTransform and scale.")
        return Projection(projection.crs, tuple(float(value) for value in transform))  # type: ignore[arg-type]
    if scale is not None:
        side = scale / metres_per_unit(projection.crs)
        return Projection(projection.crs, (side, 0.0, 0.0, 0.0, -side, 0.0))
    return projection


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
def set_default_projection(
    image: Image, crs: Projection, crs_transform: list[float] | None, scale: float | None
) -> Image:
    """Another default projection; pixels are computed as before where they are asked for."""
    projection = scaled(crs, crs_transform, scale)
    return image.with_bands([replace(band, projection=projection, grid=None) for band in image.bands])


@algorithm("Image.reproject")
def reproject(image: Image, crs: Projection, crs_transform: list[float] | None, scale: float | None) -> Image:
    """Computed on the pixels of this projection whatever is asked for, which sees the nearest of them."""
    projection = scaled(crs, crs_transform, scale)
    return image.with_bands([_pinned(band, projection) for band in image.bands])


def _pinned(band: Band, projection: Projection) -> Band:
    def pull(render: Render, grid: Grid) -> Tile:
        return on_lattice(render, grid, projection, lambda window: band.on(render, window))

    return replace(band, pull=pull, projection=projection, grid=None)


@algorithm("Image.resample")
def resample(image: Image, mode: str) -> Image:
    """Interpolated between the pixels of the default projection instead of the nearest of them."""
    if mode not in ("bilinear", "bicubic"):
        raise ApiError(f"Image.resample: Unknown mode '{mode}'. Use 'bilinear' or 'bicubic'.")
    return image.with_bands([_interpolated(band, mode) for band in image.bands])


def _interpolated(band: Band, mode: str) -> Band:
    reach = 1 if mode == "bilinear" else 2

    def pull(render: Render, grid: Grid) -> Tile:
        where = render.places(grid, band.projection)
        if where.shift is not None:
            return band.on(render, grid)
        found = where.window(reach)
        if found is None:
            return NOTHING
        row, column, shape = found
        tile = band.on(render, band.projection.window(row, column, affordable(shape))).full(shape)
        return interpolate(tile, where, row, column, mode)

    kind = fractional(band.type) if band.type.integral else band.type
    return band.computed(pull, kind)


def interpolate(tile: Tile, where: Places, row: int, column: int, mode: str) -> Tile:
    """The tile (a window of a lattice from (row, column)) between its pixels; a masked pixel masks what has a share of
    it. Bicubic is cubic convolution with a = -0.5 (Keys 1981, IEEE TASSP 29)."""
    down, right = _parts(where.rows - row, mode), _parts(where.columns - column, mode)
    values = np.where(tile.mask, tile.values, 0).astype(np.float64)
    known = np.isfinite(where.rows) & np.isfinite(where.columns)
    if where.rows.shape[1] == 1 and where.columns.shape[0] == 1:
        total = _along(_along(values, down, 0), right, 1)
        if tile.mask.all():
            return Tile(total, known)
        masked = _along(_along((~tile.mask).astype(np.float64), _absolute(down), 0), _absolute(right), 1)
    else:
        total = _scattered(values, down, right)
        masked = _scattered((~tile.mask).astype(np.float64), _absolute(down), _absolute(right))
    return Tile(total, (masked < NEGLIGIBLE) & known)


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


def _absolute(steps: Steps) -> Steps:
    return [(at, np.abs(weight)) for at, weight in steps]


def _parts(places: Numbers, mode: str) -> Steps:
    """The pixels around each place and their weights."""
    centred = np.where(np.isfinite(places), places, 0.5) - 0.5
    whole = np.floor(centred)
    part: Numbers = centred - whole
    if mode == "bilinear":
        weights = [(0, 1 - part), (1, part)]
    else:
        weights = [(step, _cubic(np.abs(part - step))) for step in (-1, 0, 1, 2)]
    return [(whole.astype(np.int64) + step, weight) for step, weight in weights]


def _cubic(distance: Numbers) -> Numbers:
    near = (A + 2) * distance**3 - (A + 3) * distance**2 + 1
    far = A * distance**3 - 5 * A * distance**2 + 8 * A * distance - 4 * A
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


@algorithm("Image.clip")
def clip(input: Image, geometry: Any) -> Image:
    """Masked where the pixel's centre lies outside a geometry, a feature or a collection."""
    inside = as_geometry(geometry)
    footprint = inside
    if input.footprint is not None:
        footprint = Geometry(shapely.intersection(input.footprint.lonlat, inside.lonlat))
    return replace(input.with_bands([_clipped(band, inside) for band in input.bands]), footprint=footprint)


algorithm("Image.clipToCollection")(lambda input, collection: clip(input, collection))


def _clipped(band: Band, geometry: Geometry) -> Band:
    def pull(render: Render, grid: Grid) -> Tile:
        tile = band.on(render, grid)
        return Tile(tile.values, tile.mask & render.inside(geometry, grid))

    return band.computed(pull)


@algorithm("Image.clipToBoundsAndScale")
def clip_to_bounds_and_scale(
    input: Image,
    geometry: Geometry | None,
    width: int | None,
    height: int | None,
    max_dimension: int | None,
    scale: float | None,
) -> Image:
    """An image of a definite grid: the geometry's bounding box in the default projection, snapped outwards to its
    pixels, or scaled to a width and height, to a longest side, or to pixels of so many metres."""
    projection = input.bands[0].projection if input.bands else WGS84
    within = geometry or input.footprint
    if within is None:
        raise ApiError("Unable to export unbounded image.")
    if scale is not None:
        projection = scaled(projection, None, scale)
    grid = _around(projection, within)
    if max_dimension is not None:
        longest = max(grid.shape)
        height, width = (max(1, round(side * max_dimension / longest)) for side in grid.shape)
    if width is not None and height is not None:
        grid = _stretched(projection, within, height, width)
    outline = of_grid(grid)
    bands = [replace(_pinned(band, grid.projection), grid=grid) for band in input.bands]
    clipped = [replace(_clipped(band, outline), grid=grid) for band in bands]
    return replace(input.with_bands(clipped), footprint=geometry_box(*grid.corners(), grid.crs))


def _around(projection: Projection, within: Geometry) -> Grid:
    left, bottom, right, top = within.in_crs(projection.crs).bounds
    inverse = ~projection.affine
    corners = [inverse * corner for corner in ((left, bottom), (left, top), (right, bottom), (right, top))]
    columns, rows = [corner[0] for corner in corners], [corner[1] for corner in corners]
    first = int(np.floor(min(rows) + 1e-6)), int(np.floor(min(columns) + 1e-6))
    last = int(np.ceil(max(rows) - 1e-6)), int(np.ceil(max(columns) - 1e-6))
    return projection.window(*first, (max(1, last[0] - first[0]), max(1, last[1] - first[1])))


def _stretched(projection: Projection, within: Geometry, height: int, width: int) -> Grid:
    left, bottom, right, top = within.in_crs(projection.crs).bounds
    return Grid(
        projection.crs, ((right - left) / width, 0.0, left, 0.0, -(top - bottom) / height, top), (height, width)
    )


@algorithm("Projection", "Proj")
def projection(crs: Any, transform: list[float] | None) -> Projection:
    """A CRS with the transform from pixels to it."""
    return scaled(as_projection(crs), transform, None)


algorithm("Projection.crs")(lambda projection: projection.crs)


@algorithm("Projection.nominalScale")
def nominal_scale(proj: Projection) -> float:
    """Metres a pixel, at the equator for degrees."""
    return proj.scale


@algorithm("Projection.transform")
def projection_transform(projection: Projection) -> str:
    """The transform as WKT, as Google prints it."""
    a, b, c, d, e, f = projection.transform
    entries = {"elt_0_0": a, "elt_0_1": b, "elt_0_2": c, "elt_1_0": d, "elt_1_1": e, "elt_1_2": f}
    rows = ['  PARAMETER["num_row", 3]', '  PARAMETER["num_col", 3]']
    rows += [f'  PARAMETER["{name}", {value!r}]' for name, value in entries.items()]
    return 'PARAM_MT["Affine", \n' + ", \n".join(rows) + "]"


@algorithm("Projection.wkt")
def projection_wkt(projection: Projection) -> str:
    """The CRS as WKT."""
    return str(pyproj.CRS.from_user_input(projection.crs).to_wkt())


@algorithm("Projection.atScale")
def at_scale(projection: Projection, meters: float) -> Projection:
    """The projection with pixels of so many metres."""
    return scale_projection(projection, meters / projection.scale, meters / projection.scale)


@algorithm("Projection.scale")
def scale_projection(projection: Projection, x: float, y: float) -> Projection:
    """Pixels x times as wide and y times as high."""
    a, b, c, d, e, f = projection.transform
    return Projection(projection.crs, (a * x, b * y, c, d * x, e * y, f))


@algorithm("Projection.translate")
def translate_projection(projection: Projection, x: float, y: float) -> Projection:
    """The origin moved by so many pixels."""
    a, b, c, d, e, f = projection.transform
    return Projection(projection.crs, (a, b, a * x + b * y + c, d, e, d * x + e * y + f))
