"""Terrain bands, computed on the DEM's own metric lattice and then resampled to the stack's grid."""

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
TOLERANCE = 1e-6
Planes = dict[str, NDArray[np.float32]]


def terrain_bands(elevation: NDArray[np.floating], pixel: float) -> Planes:
    """Terrain bands, float32 (y, x), of elevation in metres on a north-up grid of square pixels of `pixel` metres.

    `slope` in degrees and the downslope direction, clockwise from north, from the gradient of Horn (1981):
    `northness` is its cosine, `eastness` its sine, both 0 where flat. `plan_curvature` and `profile_curvature` in 1/m
    by Zevenbergen and Thorne (1987), second derivatives of their quadric across and down the slope, with the sign that
    both are positive where the surface is convex (ridge, nose, brow) and negative where it is concave (hollow, foot);
    0 where flat. All but `elevation` are NaN at the outer pixel and beside NaN.
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
    """Metres of DEM that `terrain_on` needs around a block, for a DEM of `resolution` metres."""
    return (RIM_PIXELS + 5) * max(resolution, PIXEL)


def terrain_on(dem: xr.DataArray, geobox: GeoBox) -> Planes:
    """The bands of `terrain_bands`, float32 (y, x) on the geobox, of a DEM with any CRS.

    The DEM (y, x), elevation in metres, NaN or its declared nodata where unknown, is brought by cubic convolution onto
    a lattice in the geobox's CRS: whole metres, near the DEM's own resolution and never finer than the geobox, edges on
    multiples of it, so that every block sees the same lattice. Bands are bilinear from there. Right up to the edge of
    the geobox where the DEM reaches `margin` beyond it.
    """
    own = _resolution(dem)
    step = max(float(round(own)), abs(geobox.resolution.x))
    lattice = snapped(geobox.boundingbox.buffered(RIM_PIXELS * step), str(geobox.crs), step)
    source = GeoBox((dem.sizes[dem.rio.y_dim], dem.sizes[dem.rio.x_dim]), dem.rio.transform(), dem.rio.crs.to_wkt())
    elevation = _warped(_bare(dem)[None], source, lattice, Resampling.cubic, min(1.0, own / step))[0]
    bands = terrain_bands(elevation, step)
    return {name: _bilinear(values, lattice, geobox) for name, values in bands.items()}


def _resolution(dem: xr.DataArray) -> float:
    """The DEM's pixel in metres; in degrees along the meridian, so that it is the same at every latitude."""
    x, y = (abs(step) for step in dem.rio.resolution())
    crs = dem.rio.crs
    return float(y * METRES_PER_DEGREE if crs.is_geographic else max(x, y) * crs.linear_units_factor[1])


def _bare(dem: xr.DataArray) -> NDArray[np.float32]:
    """Elevation (y, x) with NaN for nodata."""
    nodata = dem.rio.nodata
    known = dem.values.astype("float32")
    return known if nodata is None else np.where(dem.values == nodata, np.float32(np.nan), known)


def _warped(
    values: NDArray[np.float32], source: GeoBox, target: GeoBox, resampling: Resampling, scale: float
) -> NDArray[np.float32]:
    """(band, y, x) on the target grid, NaN where unknown.

    A pixel must not depend on the block it is asked for in, hence a virtual raster, which takes a tolerance of
    coordinates: `rasterio.warp.reproject` ignores it and errs by up to 1/8 pixel, another way in every block. A stated
    scale keeps the kernel the same, too.
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


def _bilinear(values: NDArray[np.float32], lattice: GeoBox, target: GeoBox) -> NDArray[np.float32]:
    """Values (y, x) of a lattice on a finer grid inside it, of the same CRS; NaN where any cell with a weight is NaN.

    GDAL's own gives a pixel in the middle of a cell beside unknown ones a value or none, as rounding has it.
    """
    across = (target.coordinates["x"].values - lattice.affine.c) / lattice.affine.a - 0.5
    down = (target.coordinates["y"].values - lattice.affine.f) / lattice.affine.e - 0.5
    return _between(_between(values, down).T, across).T.astype("float32")


def _between(values: NDArray[np.float32], positions: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows at fractional positions; a whole position is its row, whatever the next one holds."""
    positions = positions.round(6)
    first = np.floor(positions).astype(int)
    share = (positions - first).astype("float32")[:, None]
    low, high = values[first], values[np.minimum(first + 1, len(values) - 1)]
    mixed: NDArray[np.float32] = np.where(share == 0, low, low + (high - low) * share)
    return mixed


def _neighbours(z: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The nine cells around each, row by row from the north-west, NaN beyond the edge."""
    rows, columns = z.shape
    padded = np.pad(z, 1, constant_values=np.nan)
    return [padded[row : row + rows, column : column + columns] for row in range(3) for column in range(3)]


def _horn(z: NDArray[np.float64], pixel: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rise per metre towards east and towards north (Horn 1981, eq. of the weighted differences), NaN beside NaN."""
    a, b, c, d, e, f, g, h, i = _neighbours(z)
    known = 0 * e
    east = (c + 2 * f + i - a - 2 * d - g) / (8 * pixel) + known
    north = (a + 2 * b + c - g - 2 * h - i) / (8 * pixel) + known
    return east, north


def _curvatures(z: NDArray[np.float64], pixel: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Plan and profile curvature (Zevenbergen and Thorne 1987, eq. 5 to 12), both positive where convex."""
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
