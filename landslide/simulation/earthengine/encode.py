"""Encode pixels as NPY, GeoTIFF or PNG. Grids are computed in blocks, which bounds the memory of intermediate tiles."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image as Picture
from rasterio.io import MemoryFile

from .functions.arithmetic import cast_values
from .grids import Grid
from .pixels import Array, RenderContext
from .pixeltypes import PixelType, union
from .replies import ApiError, Reply, unsupported
from .values import ImageBand

BLOCK, TILE = 256, 256


def blocks(grid: Grid) -> Iterator[tuple[slice, slice, Grid]]:
    """Rows, columns and grid of each block of at most `BLOCK` x `BLOCK` pixels, in row-major order."""
    height, width = grid.shape
    for row in range(0, height, BLOCK):
        for column in range(0, width, BLOCK):
            shape = min(BLOCK, height - row), min(BLOCK, width - column)
            yield slice(row, row + shape[0]), slice(column, column + shape[1]), grid.window(row, column, shape)


def compute_blocks(bands: Sequence[ImageBand], grid: Grid) -> Iterator[tuple[slice, slice, list[tuple[Array, Array]]]]:
    """Each block of the grid with the values (in the band's type) and mask of every band, both (rows, columns)."""
    for rows, columns, part in blocks(grid):
        render = RenderContext()
        tiles = []
        for band in bands:
            tile = band.tile(render, part)
            with np.errstate(all="ignore"):
                values = cast_values(np.asarray(tile.values), band.type)
            tiles.append((np.broadcast_to(values, part.shape), np.broadcast_to(tile.mask, part.shape)))
        yield rows, columns, tiles


def request_bytes(bands: Sequence[ImageBand], grid: Grid) -> int:
    """Uncompressed size of a request in bytes."""
    return grid.shape[0] * grid.shape[1] * sum(band.type.dtype.itemsize for band in bands)


def npy(bands: Sequence[ImageBand], grid: Grid) -> bytes | bytearray:
    """An NPY file: a structured array (height, width) with a field for each band; masked pixels are 0."""
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
    for rows, columns, tiles in compute_blocks(bands, grid):
        part = out[rows, columns]
        for band, (values, mask) in zip(bands, tiles, strict=True):
            part[band.name] = values if mask.all() else np.where(mask, values, values.dtype.type(0))
    return reply


def nodata(kind: PixelType) -> float:
    """The default value of masked pixels in a GeoTIFF: -inf, the minimum signed integer, or 0 for unsigned integers."""
    dtype = kind.dtype
    if dtype.kind == "f":
        return -np.inf
    return 0 if dtype.kind == "u" else int(np.iinfo(dtype).min)


def _do_nothing() -> None:
    """Nothing to do between blocks."""


def write_geotiff(
    path: Path | str,
    bands: Sequence[ImageBand],
    grid: Grid,
    fill: float | None,
    after_block: Callable[[], None] = _do_nothing,
) -> None:
    """Write the bands on the grid to one GeoTIFF of their common type.

    Args:
        path: The file.
        bands: The bands in order.
        grid: The grid of the file.
        fill: Value of masked pixels and nodata of the file. None: masked pixels are `nodata` of the type, and the file
            states none.
        after_block: Called after each block; an exception that it raises ends the writing.
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
        for index, band in enumerate(bands, 1):
            raster.set_band_description(index, band.name)
        for rows, columns, tiles in compute_blocks(bands, grid):
            window = rasterio.windows.Window.from_slices(rows, columns)
            stack = [np.where(mask, values, missing).astype(dtype) for values, mask in tiles]
            raster.write(np.stack(stack), window=window)
            after_block()


def geotiff(bands: Sequence[ImageBand], grid: Grid) -> bytes:
    """A GeoTIFF file."""
    with MemoryFile() as memory:
        write_geotiff(memory.name, bands, grid, None)
        return bytes(memory.read())


def png(bands: Sequence[ImageBand], grid: Grid) -> bytes:
    """A PNG file of three uint8 bands, transparent where one is masked; ApiError for other bands."""
    if len(bands) != 3 or any(band.type.dtype != np.dtype("u1") for band in bands):
        raise ApiError("Expected an image of 3 bands of bytes for a picture; use Image.visualize.")
    picture = np.zeros((*grid.shape, 4), np.uint8)
    for rows, columns, tiles in compute_blocks(bands, grid):
        part = picture[rows, columns]
        for channel, (values, _) in enumerate(tiles):
            part[..., channel] = values
        part[..., 3] = np.where(np.logical_and.reduce([mask for _, mask in tiles]), 255, 0)
    out = io.BytesIO()
    Picture.fromarray(picture).save(out, "PNG")
    return out.getvalue()


FORMATS: Mapping[str, tuple[Callable[[Sequence[ImageBand], Grid], bytes | bytearray], str]] = {
    "NPY": (npy, "application/octet-stream"), "GEO_TIFF": (geotiff, "image/tiff"), "PNG": (png, "image/png"),
    "AUTO_JPEG_PNG": (png, "image/png"),
}  # fmt: skip


def encode_pixels(bands: Sequence[ImageBand], grid: Grid, kind: str) -> Reply:
    """The pixels in one of the service's file formats."""
    if kind not in FORMATS:
        raise unsupported(f"The file format {kind}")
    encode, mime = FORMATS[kind]
    return Reply(encode(bands, grid), mime)
