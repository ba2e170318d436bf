"""Pixels as files: NPY, GeoTIFF, PNG, JPEG."""

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image as Pictures
from rasterio.io import MemoryFile

from .blocks import blocks
from .errors import ApiError, not_imitated
from .functions.arithmetic import stored
from .grids import Grid
from .pixels import Array, Render
from .pixeltypes import PixelType, union
from .values import Band

TILE = 256


def compute(bands: Sequence[Band], grid: Grid) -> Iterator[tuple[slice, slice, list[tuple[Array, Array]]]]:
    """Blocks of the grid with each band's values in its own type and mask at full shape."""
    for rows, columns, part in blocks(grid):
        render = Render()
        tiles = []
        for band in bands:
            tile = band.on(render, part)
            with np.errstate(all="ignore"):
                values = stored(np.asarray(tile.values), band.type)
            tiles.append((np.broadcast_to(values, part.shape), np.broadcast_to(tile.mask, part.shape)))
        yield rows, columns, tiles


def request_bytes(bands: Sequence[Band], grid: Grid) -> int:
    """Uncompressed size of a request."""
    return grid.shape[0] * grid.shape[1] * sum(band.type.dtype.itemsize for band in bands)


def npy(bands: Sequence[Band], grid: Grid) -> bytes | bytearray:
    """A structured array (height, width) with a field for each band; masked pixels are 0."""
    dtype = np.dtype([(band.name, band.type.dtype) for band in bands])
    head = io.BytesIO()
    shape = grid.shape
    np.lib.format.write_array_header_1_0(
        head, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    )
    start = head.tell()
    reply = bytearray(start + shape[0] * shape[1] * dtype.itemsize)
    reply[:start] = head.getvalue()
    out = np.frombuffer(reply, dtype, offset=start).reshape(shape)
    for rows, columns, tiles in compute(bands, grid):
        part = out[rows, columns]
        for band, (values, mask) in zip(bands, tiles, strict=True):
            part[band.name] = values if mask.all() else np.where(mask, values, values.dtype.type(0))
    return reply


def nodata(kind: PixelType) -> float:
    """What masked pixels of a GeoTIFF are where nothing is stated: -inf, the least signed integer, 0 if unsigned."""
    dtype = kind.dtype
    if dtype.kind == "f":
        return -np.inf
    return 0 if dtype.kind == "u" else int(np.iinfo(dtype).min)


def common(bands: Sequence[Band]) -> PixelType:
    """The type that holds all bands of a file."""
    kinds = [band.type for band in bands]
    if len({kind.dtype for kind in kinds}) == 1:
        return kinds[0]
    wide = union(*kinds)
    if wide.precision == "float" and any(kind.integral and kind.dtype.itemsize > 2 for kind in kinds):
        return PixelType("double")
    return wide


def _go_on() -> None:
    """Nothing to do between blocks."""


def write_geotiff(
    path: Path | str, bands: Sequence[Band], grid: Grid, fill: float | None, after_block: Callable[[], None] = _go_on
) -> None:
    """The bands on the grid as one file of their common type; masked pixels are `fill` or the type's own nodata.

    Where `fill` is stated it is the file's nodata; otherwise the file states none. What `after_block` raises ends it.
    """
    kind = common(bands)
    dtype = kind.dtype.newbyteorder("=")
    missing = nodata(kind) if fill is None else fill
    profile = {
        "driver": "GTiff", "width": grid.shape[1], "height": grid.shape[0], "count": len(bands), "dtype": dtype,
        "crs": grid.crs, "transform": grid.affine, "nodata": fill, "compress": "deflate", "zlevel": 1,
        "interleave": "pixel", "BIGTIFF": "IF_SAFER",
    }  # fmt: skip
    if min(grid.shape) >= TILE:
        profile |= {"tiled": True, "blockxsize": TILE, "blockysize": TILE}
    with rasterio.open(path, "w", **profile) as raster:
        for place, band in enumerate(bands, 1):
            raster.set_band_description(place, band.name)
        for rows, columns, tiles in compute(bands, grid):
            window = rasterio.windows.Window.from_slices(rows, columns)
            stack = [np.where(mask, values, missing).astype(dtype) for values, mask in tiles]
            raster.write(np.stack(stack), window=window)
            after_block()


def geotiff(bands: Sequence[Band], grid: Grid) -> bytes:
    """A GeoTIFF in memory."""
    with MemoryFile() as memory:
        write_geotiff(memory.name, bands, grid, None)
        return bytes(memory.read())


def zipped(bands: Sequence[Band], grid: Grid, name: str, per_band: bool) -> bytes:
    """GeoTIFFs in a ZIP: one of all bands, or one a band."""
    files = {f"{name}.{band.name}.tif": [band] for band in bands} if per_band else {f"{name}.tif": list(bands)}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path, members in files.items():
            archive.writestr(path, geotiff(members, grid))
    return out.getvalue()


def picture(bands: Sequence[Band], grid: Grid, kind: str) -> tuple[bytes, str]:
    """A picture of one band or three of bytes, transparent where masked, and its MIME type; ApiError for others."""
    if len(bands) not in (1, 3) or any(band.type.dtype != np.dtype("u1") for band in bands):
        raise ApiError("Expected a homogeneous image of 1 or 3 bands of bytes for a picture; use Image.visualize.")
    colours = np.zeros((*grid.shape, 3), np.uint8)
    mask = np.ones(grid.shape, bool)
    for rows, columns, tiles in compute(bands, grid):
        for channel in range(3):
            values, known = tiles[channel if len(tiles) == 3 else 0]
            colours[rows, columns, channel] = values
            mask[rows, columns] &= known
    out = io.BytesIO()
    if kind == "JPEG":
        colours[~mask] = 0
        Pictures.fromarray(colours).save(out, "JPEG")
        return out.getvalue(), "image/jpeg"
    opacity = np.where(mask, np.uint8(255), np.uint8(0))
    Pictures.fromarray(np.dstack([colours, opacity])).save(out, "PNG")
    return out.getvalue(), "image/png"


def encoded(bands: Sequence[Band], grid: Grid, kind: str, name: str) -> tuple[Any, str]:
    """The pixels in one of the service's file formats, and the MIME type."""
    if kind == "NPY":
        return npy(bands, grid), "application/octet-stream"
    if kind == "GEO_TIFF":
        return geotiff(bands, grid), "image/tiff"
    if kind in ("ZIPPED_GEO_TIFF", "ZIPPED_GEO_TIFF_PER_BAND"):
        return zipped(bands, grid, name, kind.endswith("PER_BAND")), "application/zip"
    if kind in ("PNG", "JPEG", "AUTO_JPEG_PNG", "IMAGE_FILE_FORMAT_UNSPECIFIED"):
        return picture(bands, grid, "JPEG" if kind == "JPEG" else "PNG")
    raise not_imitated(f"The file format {kind}")
