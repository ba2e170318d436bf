"""Rasters of any grid onto ours: one reader for a person's own files and for catalogues' assets.

Every output pixel is transformed exactly, not interpolated along its scan line, and by a kernel that depends on the two
grids alone, so a pixel has the same value whatever block it is read in.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import rasterio
import rioxarray  # noqa: F401  # registers `.rio`
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT

from landslide.errors import SourceError
from landslide.geo.grid import METRES_PER_DEGREE

Method = Literal["nearest", "bilinear", "average"]
Plane = NDArray[np.float32]
ALIGNED = 1e-3  # pixels by which two grids may be apart and still be one
EXACT = 1e-6  # pixels; GDAL's tolerance of coordinates
KERNEL = 2  # pixels of the target over which a pixel beyond a file's edge may still have a value from it
REMOTE = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_HTTP_MAX_RETRY": 5, "GDAL_HTTP_RETRY_DELAY": 1}


@dataclass(frozen=True)
class RasterBand:
    """One band of a raster file, counted from 1: value = number in the file × scale + offset.

    `nodata` None takes the file's own.
    """

    uri: str
    index: int = 1
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0


def grid_of(uri: str) -> GeoBox:
    """The grid of a raster; SourceError if it cannot be opened or has no CRS."""
    with _opened(uri) as raster:
        return _grid(raster, uri)


def overlaps(source: GeoBox, target: GeoBox) -> bool:
    """Whether a raster on the source's grid may have a pixel on the target's, by bounding boxes in the source's CRS.

    Unlike boxes in degrees these hold on both sides of the antimeridian.
    """
    here, there = source.boundingbox, _bounds(target.pad(KERNEL), str(source.crs))
    apart = here.left > there.right or there.left > here.right or here.bottom > there.top or there.bottom > here.top
    return bool(np.isfinite(there.bbox).all() and not apart)


def degrees(geobox: GeoBox) -> list[float]:
    """West, south, east and north of a grid in degrees, for a message."""
    return [round(edge, 4) for edge in geobox.footprint("EPSG:4326").boundingbox]


def warped(band: RasterBand, geobox: GeoBox, method: Method) -> Plane:
    """float32 (y, x) of a band on a grid, scaled, NaN where the file has nodata or no pixel.

    `average` weighs by area where the file is finer than the grid and is bilinear elsewhere; a file that lies on the
    grid is copied. SourceError names a file that is missing, truncated or without CRS.
    """
    with _opened(band.uri) as raster:
        source = _grid(raster, band.uri)
        settings = {
            "crs": str(geobox.crs), "transform": geobox.affine, "height": geobox.shape.y, "width": geobox.shape.x,
            "resampling": Resampling[_method(source, geobox, method)], "tolerance": EXACT, "dtype": "float32",
            "src_nodata": _nodata(band, raster), "nodata": np.nan, **_kernel(source, geobox),
        }  # fmt: skip
        try:
            with WarpedVRT(raster, **settings) as onto:
                out: Plane = onto.read(band.index)
        except RasterioError as error:
            raise damaged(band.uri, error) from error
    if (band.scale, band.offset) != (1.0, 0.0):
        out = out * np.float32(band.scale) + np.float32(band.offset)
    return out


def mosaic(planes: Sequence[Plane]) -> Plane:
    """The first observed value of each pixel."""
    out = planes[0].copy()
    for plane in planes[1:]:
        np.copyto(out, plane, where=np.isnan(out))
    return out


def pixel_metres(geobox: GeoBox) -> float:
    """The longer side of a pixel in metres; on a grid in degrees, the side along the meridian."""
    return max(_sides(geobox)) if geobox.crs is not None and not geobox.crs.geographic else _sides(geobox)[1]


def around(source: GeoBox, target: GeoBox, margin: float) -> GeoBox:
    """The source's own grid, continued if need be, over the target's area and `margin` metres around it."""
    return source.enclosing(target.buffered(margin).footprint(str(source.crs), npoints=20))


def native(tiles: Sequence[tuple[RasterBand, GeoBox]], target: GeoBox, margin: float) -> xr.DataArray:
    """Tiles, each a band and its grid, as one raster on the grid of the finest, over the target and a margin in metres.

    float32 (y, x) with CRS, NaN where no tile has a value; where several have one, the first tile's counts.
    """
    window = around(min((tile[1] for tile in tiles), key=pixel_metres), target, margin)
    near = [band for band, tile in tiles if overlaps(tile, window)]
    values = mosaic([np.full(window.shape, np.nan, "float32"), *(warped(band, window, "bilinear") for band in near)])
    return labelled(values, window)


def labelled(values: Plane, grid: GeoBox) -> xr.DataArray:
    """Values (y, x) with a grid's CRS and pixel centres, as rioxarray reads them.

    `odc.geo.xr` does the same, but imports Dask.
    """
    coords = {name: axis.values for name, axis in grid.coordinates.items()}
    array = xr.DataArray(values, coords=coords, dims=grid.dimensions)
    located: xr.DataArray = array.rio.write_crs(str(grid.crs)).rio.write_transform(grid.affine)
    return located


def damaged(uri: str, error: Exception) -> SourceError:
    """The error for a file that does not read: missing, truncated, refused by the server. It leaves signatures out."""
    shown = uri.split("?")[0]
    why = str(error).replace(uri, shown)
    return SourceError(f"cannot read {shown}: {why}. Replace the file, or leave it out of the case")


@contextmanager
def _opened(uri: str) -> Iterator[Any]:
    with rasterio.Env(**REMOTE):
        try:
            raster = rasterio.open(uri)
        except RasterioError as error:
            raise damaged(uri, error) from error
        with raster:
            yield raster


@lru_cache(maxsize=16)
def _bounds(geobox: GeoBox, crs: str) -> BoundingBox:
    return geobox.footprint(crs).boundingbox


def _grid(raster: Any, uri: str) -> GeoBox:
    if raster.crs is None:
        raise SourceError(
            f"{uri} has no CRS (raw radar products have ground control points instead), so it cannot be placed on a "
            "grid. Give a georeferenced file"
        )
    return GeoBox(raster.shape, raster.transform, str(raster.crs))


def _nodata(band: RasterBand, raster: Any) -> float | None:
    """The stated nodata, or else the file's; NaN in floats is always missing; a number no pixel can hold is none."""
    stated = band.nodata if band.nodata is not None else raster.nodatavals[band.index - 1]
    dtype = np.dtype(raster.dtypes[band.index - 1])
    if dtype.kind == "f":
        return float("nan") if stated is None else float(stated)
    limits = np.iinfo(dtype)
    return None if stated is None or not limits.min <= stated <= limits.max else float(stated)


def _method(source: GeoBox, target: GeoBox, method: Method) -> Method:
    if _aligned(source, target):
        return "nearest"
    if method == "average" and pixel_metres(source) > 0.99 * pixel_metres(target):
        return "bilinear"
    return method


def _kernel(source: GeoBox, target: GeoBox) -> dict[str, float]:
    """GDAL widens its kernel where the source is finer, by a factor that it takes from the block; ours is fixed."""
    x, y = (min(1.0, fine / coarse) for fine, coarse in zip(_sides(source), _sides(target), strict=True))
    return {"XSCALE": x, "YSCALE": y}


def _sides(geobox: GeoBox) -> tuple[float, float]:
    """A pixel's sides in metres along x and y."""
    x, y = (float(np.hypot(*step)) for step in ((geobox.affine.a, geobox.affine.d), (geobox.affine.b, geobox.affine.e)))
    if geobox.crs is None or not geobox.crs.geographic:
        unit = 1.0 if geobox.crs is None else geobox.crs.proj.axis_info[0].unit_conversion_factor
        return x * unit, y * unit
    latitude = (geobox.boundingbox.bottom + geobox.boundingbox.top) / 2
    return x * METRES_PER_DEGREE * float(np.cos(np.radians(latitude))), y * METRES_PER_DEGREE


def _aligned(source: GeoBox, target: GeoBox) -> bool:
    """Whether the target's pixels are pixels of the source, or would be if it went on."""
    if source.crs != target.crs:
        return False
    step = ~source.affine * target.affine
    whole = abs(step.c - round(step.c)) + abs(step.f - round(step.f))
    turned = abs(step.a - 1) + abs(step.e - 1) + abs(step.b) + abs(step.d)
    return bool(whole < ALIGNED and turned * max(target.shape) < ALIGNED)
