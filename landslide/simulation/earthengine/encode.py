"""Pixels as files: NPY, GeoTIFF, PNG. Large grids are computed in blocks, so that memory does not grow with them."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image as Picture
from rasterio.io import MemoryFile

from .functions.arithmetic import stored
from .grids import Grid
from .pixels import Array, Render
from .pixeltypes import PixelType, union
from .replies import ApiError, Reply, not_imitated
from .values import Band

BLOCK, TILE = 256, 256


def blocks(grid: Grid) -> Iterator[tuple[slice, slice, Grid]]:
    """Rows, columns and grid of blocks of at most `BLOCK` pixels a side, in reading order."""
    height, width = grid.shape
    for row in range(0, height, BLOCK):
        for column in range(0, width, BLOCK):
            shape = min(BLOCK, height - row), min(BLOCK, width - column)
            yield slice(row, row + shape[0]), slice(column, column + shape[1]), grid.part(row, column, shape)


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


def _go_on() -> None:
    """Nothing to do between blocks."""


def write_geotiff(
    path: Path | str, bands: Sequence[Band], grid: Grid, fill: float | None, after_block: Callable[[], None] = _go_on
) -> None:
    """The bands on the grid as one file of their common type; masked pixels are `fill` or the type's own nodata.

    Where `fill` is stated it is the file's nodata; otherwise the file states none. What `after_block` raises ends it.
    """
    kind = union(*(band.type for band in bands))
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


def png(bands: Sequence[Band], grid: Grid) -> bytes:
    """A picture of three bands of bytes, transparent where one is masked; ApiError for others."""
    if len(bands) != 3 or any(band.type.dtype != np.dtype("u1") for band in bands):
        raise ApiError("Expected an image of 3 bands of bytes for a picture; use Image.visualize.")
    picture = np.zeros((*grid.shape, 4), np.uint8)
    for rows, columns, tiles in compute(bands, grid):
        part = picture[rows, columns]
        for channel, (values, _) in enumerate(tiles):
            part[..., channel] = values
        part[..., 3] = np.where(np.logical_and.reduce([mask for _, mask in tiles]), 255, 0)
    out = io.BytesIO()
    Picture.fromarray(picture).save(out, "PNG")
    return out.getvalue()


FORMATS: Mapping[str, tuple[Callable[[Sequence[Band], Grid], bytes | bytearray], str]] = {
    "NPY": (npy, "application/octet-stream"), "GEO_TIFF": (geotiff, "image/tiff"), "PNG": (png, "image/png"),
    "AUTO_JPEG_PNG": (png, "image/png"),
}  # fmt: skip


def encoded(bands: Sequence[Band], grid: Grid, kind: str) -> Reply:
    """The pixels in one of the service's file formats."""
    if kind not in FORMATS:
        raise not_imitated(f"The file format {kind}")
    encode, mime = FORMATS[kind]
    return Reply(encode(bands, grid), mime)
