"""Rasters with named bands, read and written in blocks, so memory depends on the block size and not on the scene."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from landslide.bands import band_indices
from landslide.errors import InputError
from landslide.geo.grid import Roi

BLOCK_SIDE = 512
GDAL_CACHE_MB = 128  # MiB


def window_of(roi: Roi) -> Window:
    """The rasterio window of row and column slices."""
    rows, columns = roi
    return Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)


class Writer:
    """Writes blocks of all bands to a raster; created by `cog`."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def write(self, values: NDArray[Any], roi: Roi) -> None:
        """Write values (band, y, x) at the row and column slices."""
        self._dataset.write(values, window=window_of(roi))


@contextmanager
def cog(
    path: Path, geobox: GeoBox, bands: Sequence[str], dtype: str, nodata: float | None, units: Sequence[str] = ()
) -> Iterator[Writer]:
    """Write a cloud-optimised GeoTIFF with named bands and overviews, in blocks in any order.

    The file is written to its path when the `with` block ends, so a partial file never appears there.

    Args:
        path: Where the file is written. `<stem>.scratch.tif` beside it is used in the meantime.
        geobox: The grid. Without a CRS the file has no georeference.
        bands: Band names, in the order in which bands are stored.
        dtype: numpy's name of the pixel type. Overviews of float32 are averages, of other types nearest pixels.
        nodata: The value of missing pixels; may be NaN.
        units: One unit for each band; empty for none.

    Yields:
        The writer of the blocks.
    """
    scratch = path.with_suffix(".scratch.tif")
    profile = {
        "driver": "GTiff", "height": geobox.shape.y, "width": geobox.shape.x, "count": len(bands), "dtype": dtype,
        "nodata": nodata, "tiled": True, "blockxsize": BLOCK_SIDE, "blockysize": BLOCK_SIDE, "BIGTIFF": "IF_SAFER",
        "compress": "ZSTD", "zstd_level": 1, "interleave": "band", "SPARSE_OK": True,
    }  # fmt: skip
    if geobox.crs is not None:
        profile |= {"crs": geobox.crs.to_wkt(), "transform": geobox.affine}
    try:
        with allow_no_georeference(), rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_MB * 2**20):
            with rasterio.open(scratch, "w", **profile) as dataset:
                for index, band in enumerate(bands, start=1):
                    dataset.set_band_description(index, band)
                    if units:
                        dataset.set_band_unit(index, units[index - 1])
                yield Writer(dataset)
            _add_overviews(scratch, Resampling.average if dtype == "float32" else Resampling.nearest)
            predictor = {"predictor": "YES"} if np.dtype(dtype).itemsize > 1 else {}
            rasterio.shutil.copy(
                scratch, path, driver="COG", compress="DEFLATE", level=1, blocksize=BLOCK_SIDE, BIGTIFF="IF_SAFER",
                **predictor,
            )  # fmt: skip
    finally:
        scratch.unlink(missing_ok=True)


def _add_overviews(path: Path, resampling: Resampling) -> None:
    """Add overviews down to one block, band by band. The COG driver would hold all bands in memory at once."""
    with (
        rasterio.Env(COMPRESS_OVERVIEW="ZSTD", BIGTIFF_OVERVIEW="IF_SAFER"),
        rasterio.open(path, "r+") as dataset,
    ):
        halvings = math.ceil(math.log2(max(dataset.shape) / BLOCK_SIDE))
        if halvings > 0:
            dataset.build_overviews([2**n for n in range(1, halvings + 1)], resampling)


@contextmanager
def allow_no_georeference() -> Iterator[None]:
    """Suppress rasterio's warning about files without a georeference: image chips and archives often have none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


class Reader:
    """A raster read by band name. Not thread-safe. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with allow_no_georeference():
                self._dataset = rasterio.open(path)
        except RasterioError as error:
            raise InputError(f"cannot read {path} as a raster: {error}. Replace the file") from error
        self.bands: tuple[str, ...] = tuple(name or str(i) for i, name in enumerate(self._dataset.descriptions, 1))
        self.shape: tuple[int, int] = self._dataset.shape

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._dataset.close()

    def read(self, bands: Sequence[str], roi: Roi | None = None) -> NDArray[Any]:
        """The named bands, (band, y, x) in the requested order. BandError if one is missing, InputError if damaged."""
        indices = [i + 1 for i in band_indices(bands, self.bands, str(self.path))]
        try:
            return np.asarray(self._dataset.read(indices, window=None if roi is None else window_of(roi)))
        except RasterioError as error:
            raise InputError(f"{self.path} is damaged: {error}. Replace the file") from error

    def resized(self, bands: Sequence[str], shape: tuple[int, int], resampling: str) -> NDArray[Any]:
        """The whole raster resampled to a shape, (band, height, width), read from its overviews.

        `resampling` is a name of `rasterio.enums.Resampling`. Nodata pixels are excluded from averages. Memory is that
        of the result. Raises BandError if a band is missing, InputError if the file is damaged.
        """
        indices = [i + 1 for i in band_indices(bands, self.bands, str(self.path))]
        try:
            return np.asarray(
                self._dataset.read(indices, out_shape=(len(indices), *shape), resampling=Resampling[resampling])
            )
        except RasterioError as error:
            raise InputError(f"{self.path} is damaged: {error}. Replace the file") from error

    @property
    def geobox(self) -> GeoBox:
        """The raster's grid; its CRS is None if the file has no georeference."""
        crs = self._dataset.crs
        return GeoBox(self.shape, self._dataset.transform, str(crs) if crs else None)
