"""Rasters with named bands, written and read by block: memory is bounded by the block, not by the scene."""

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

from landslide.bands import positions
from landslide.errors import InputError
from landslide.geo.grid import Roi

BLOCK_SIDE = 512
GDAL_CACHE_MB = 128


def window_of(roi: Roi) -> Window:
    """rasterio's window of row and column slices."""
    rows, columns = roi
    return Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)


class Writer:
    """Blocks of all bands into a raster; see `cog`."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def write(self, values: NDArray[Any], roi: Roi) -> None:
        """Write (band, y, x) values at the row and column slices."""
        self._dataset.write(values, window=window_of(roi))


@contextmanager
def cog(
    path: Path, geobox: GeoBox, bands: Sequence[str], dtype: str, nodata: float | None, units: Sequence[str] = ()
) -> Iterator[Writer]:
    """Write a cloud-optimised GeoTIFF with named bands and overviews, block by block in any order.

    Bands are stored in the order of `bands`; `nodata` may be NaN. The file appears whole at the end of the block.
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
        with quiet(), rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_MB * 2**20):
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
    """Halve a raster until it fits into a block, band by band; the COG driver halves all bands at once, in memory."""
    with (
        rasterio.Env(COMPRESS_OVERVIEW="ZSTD", BIGTIFF_OVERVIEW="IF_SAFER"),
        rasterio.open(path, "r+") as dataset,
    ):
        halvings = math.ceil(math.log2(max(dataset.shape) / BLOCK_SIDE))
        if halvings > 0:
            dataset.build_overviews([2**n for n in range(1, halvings + 1)], resampling)


@contextmanager
def quiet() -> Iterator[None]:
    """Chips and archives without georeference are a normal input here, not a reason to warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


class Reader:
    """A raster whose bands are asked for by name. Not shared between threads; close it, or use it as a context."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with quiet():
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
        """(band, y, x) of the named bands in the order asked; BandError if one is missing, InputError if damaged."""
        indices = [i + 1 for i in positions(bands, self.bands, str(self.path))]
        try:
            return np.asarray(self._dataset.read(indices, window=None if roi is None else window_of(roi)))
        except RasterioError as error:
            raise InputError(f"{self.path} is damaged: {error}. Replace the file") from error

    def resized(self, bands: Sequence[str], shape: tuple[int, int], resampling: str) -> NDArray[Any]:
        """(band, height, width) of the whole raster at another size, from its overviews; `resampling` is rasterio's.

        Memory is that of the result. Missing pixels take no part in an average.
        """
        indices = [i + 1 for i in positions(bands, self.bands, str(self.path))]
        try:
            return np.asarray(
                self._dataset.read(indices, out_shape=(len(indices), *shape), resampling=Resampling[resampling])
            )
        except RasterioError as error:
            raise InputError(f"{self.path} is damaged: {error}. Replace the file") from error

    @property
    def geobox(self) -> GeoBox:
        """The raster's grid; its CRS is None where the file has no georeference."""
        crs = self._dataset.crs
        return GeoBox(self.shape, self._dataset.transform, str(crs) if crs else None)
