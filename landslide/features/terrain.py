"""Terrain bands, computed on a metric grid at the DEM's own resolution and then resampled to the stack's grid."""

import numpy as np
import rioxarray  # noqa: F401  (the accessor `.rio`)
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from landslide.geo.grid import METRES_PER_DEGREE, PIXEL, snapped

RIM_PIXELS = 3
TOLERANCE = 1e-6  # pixels, of coordinate transforms
Planes = dict[str, NDArray[np.float32]]


def terrain_bands(elevation: NDArray[np.floating], pixel: float) -> Planes:
    """Terrain bands, float32 (y, x), of elevation in metres on a north-up grid of square pixels of `pixel` metres.

    `slope` is in degrees and, like the downslope direction, follows from the gradient of Horn (1981). `northness` and
    `eastness` are the cosine and sine of the downslope direction, clockwise from north; both are 0 where flat.
    `plan_curvature` and `profile_curvature`, in 1/m, are the second derivatives of the quadric of Zevenbergen and
    Thorne (1987) across and down the slope: positive where the surface is convex (ridges), negative where it is
    concave (hollows), 0 where flat. All bands but `elevation` are NaN at the outermost pixels and next to NaN.
    """
    z = np.asarray(elevation, "float64")
    east, north = _horn(z, pixel)
    steepness = np.hypot(east, north)
    flat = steepness == 0
    safe = np.where(flat, 1, steepness)
    plan, profile = _curvatures(z, pixel)
    bands = {
        "elevation": z,
        "slope": np.degrees(np.arctan(steepness)),
        "northness": -north / safe,
        "eastness": -east / safe,
        "plan_curvature": plan,
        "profile_curvature": profile,
    }
    return {name: plane.astype("float32") for name, plane in bands.items()}


def margin(resolution: float) -> float:
    """Metres of DEM that `terrain_on` needs around a block, for a DEM with pixels of `resolution` metres."""
    return (RIM_PIXELS + 5) * max(resolution, PIXEL)


def terrain_on(dem: xr.DataArray, geobox: GeoBox) -> Planes:
    """The bands of `terrain_bands`, float32 (y, x) on the geobox, of a DEM in any CRS.

    The DEM is (y, x), elevation in metres, NaN or its declared nodata where unknown. It is resampled by cubic
    convolution to an intermediate grid in the geobox's CRS, whose pixels are whole metres, close to the DEM's own
    resolution and never finer than the geobox. Its edges lie on multiples of the pixel size, so all blocks share one
    intermediate grid. Bands are computed there and interpolated bilinearly to the geobox. Values are valid up to the
    edge of the geobox if the DEM extends `margin` beyond it.
    """
    resolution = _resolution(dem)
    pixel = max(float(round(resolution)), abs(geobox.resolution.x))
    metric = snapped(geobox.boundingbox.buffered(RIM_PIXELS * pixel), str(geobox.crs), pixel)
    source = GeoBox((dem.sizes[dem.rio.y_dim], dem.sizes[dem.rio.x_dim]), dem.rio.transform(), dem.rio.crs.to_wkt())
    elevation = _warped(_masked(dem)[None], source, metric, Resampling.cubic, min(1.0, resolution / pixel))[0]
    bands = terrain_bands(elevation, pixel)
    return {name: _bilinear(values, metric, geobox) for name, values in bands.items()}


def _resolution(dem: xr.DataArray) -> float:
    """The DEM's pixel size in metres. A pixel in degrees is measured along the meridian, the same at every latitude."""
    x, y = (abs(step) for step in dem.rio.resolution())
    crs = dem.rio.crs
    return float(y * METRES_PER_DEGREE if crs.is_geographic else max(x, y) * crs.linear_units_factor[1])


def _masked(dem: xr.DataArray) -> NDArray[np.float32]:
    """Elevation (y, x) with NaN for nodata."""
    nodata = dem.rio.nodata
    elevation = dem.values.astype("float32")
    return elevation if nodata is None else np.where(dem.values == nodata, np.float32(np.nan), elevation)


def _warped(
    values: NDArray[np.float32], source: GeoBox, target: GeoBox, resampling: Resampling, scale: float
) -> NDArray[np.float32]:
    """(band, y, x) on the target grid, NaN where unknown.

    A pixel must not depend on the block in which it is computed. WarpedVRT accepts a coordinate tolerance, which
    `rasterio.warp.reproject` ignores: its errors of up to 1/8 pixel differ between blocks. A fixed `scale` keeps the
    resampling kernel the same in all blocks.
    """
    profile = {"driver": "GTiff", "dtype": "float32", "nodata": np.nan}
    shape = dict(zip(("count", "height", "width"), values.shape, strict=True))
    height, width = target.shape
    with MemoryFile() as memory:
        with memory.open(**profile, **shape, crs=str(source.crs), transform=source.affine) as dataset:
            dataset.write(values)
        with memory.open() as dataset, WarpedVRT(
            dataset, crs=str(target.crs), transform=target.affine, height=height, width=width, nodata=np.nan,
            resampling=resampling, tolerance=TOLERANCE, XSCALE=scale, YSCALE=scale,
        ) as virtual:  # fmt: skip
            warped: NDArray[np.float32] = virtual.read()
    return warped


def _bilinear(values: NDArray[np.float32], source: GeoBox, target: GeoBox) -> NDArray[np.float32]:
    """Interpolate values (y, x) to a finer grid in the same CRS; NaN where a pixel with non-zero weight is NaN.

    GDAL's bilinear resampling is not used: next to missing pixels, rounding decides whether it returns a value.
    """
    columns = (target.coordinates["x"].values - source.affine.c) / source.affine.a - 0.5
    rows = (target.coordinates["y"].values - source.affine.f) / source.affine.e - 0.5
    return _interpolate_rows(_interpolate_rows(values, rows).T, columns).T.astype("float32")


def _interpolate_rows(values: NDArray[np.float32], positions: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows at fractional positions, linear. At an integer position the next row is not used, even if it is NaN."""
    positions = positions.round(6)
    first = np.floor(positions).astype(int)
    fraction = (positions - first).astype("float32")[:, None]
    low, high = values[first], values[np.minimum(first + 1, len(values) - 1)]
    rows: NDArray[np.float32] = np.where(fraction == 0, low, low + (high - low) * fraction)
    return rows


def _neighbours(z: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The 3 × 3 neighbourhood of each cell, row by row from the north-west, NaN beyond the edge."""
    rows, columns = z.shape
    padded = np.pad(z, 1, constant_values=np.nan)
    return [padded[row : row + rows, column : column + columns] for row in range(3) for column in range(3)]


def _horn(z: NDArray[np.float64], pixel: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rise per metre towards east and north (Horn 1981, weighted differences); NaN next to NaN."""
    a, b, c, d, e, f, g, h, i = _neighbours(z)
    nan_mask = 0 * e  # the formulas do not use the centre cell, which may be NaN
    east = (c + 2 * f + i - a - 2 * d - g) / (8 * pixel) + nan_mask
    north = (a + 2 * b + c - g - 2 * h - i) / (8 * pixel) + nan_mask
    return east, north


def _curvatures(z: NDArray[np.float64], pixel: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Plan and profile curvature in 1/m (Zevenbergen and Thorne 1987, eq. 5 to 12), positive where convex."""
    z1, z2, z3, z4, z5, z6, z7, z8, z9 = _neighbours(z)
    d = ((z4 + z6) / 2 - z5) / pixel**2
    e = ((z2 + z8) / 2 - z5) / pixel**2
    f = (-z1 + z3 + z7 - z9) / (4 * pixel**2)
    g = (-z4 + z6) / (2 * pixel)
    h = (z2 - z8) / (2 * pixel)
    square = g**2 + h**2
    safe = np.where(square == 0, 1, square)
    plan = -2 * (d * h**2 + e * g**2 - f * g * h) / safe
    profile = -2 * (d * g**2 + e * h**2 + f * g * h) / safe
    return plan, profile
