"""Small cloud-optimised GeoTIFFs whose bytes depend on their pixels alone."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.transform import Affine


def write_cog(
    path: Path, pixels: npt.NDArray[np.generic], epsg: int, transform: Affine, nodata: float | None, description: str
) -> None:
    """One band (rows, columns) of the array's dtype; deflate, blocks of 512, overviews where the image is larger than
    one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    predictor = 3 if pixels.dtype.kind == "f" else 2
    with rasterio.open(
        path,
        "w",
        driver="COG",
        height=pixels.shape[0],
        width=pixels.shape[1],
        count=1,
        dtype=pixels.dtype,
        crs=f"EPSG:{epsg}",
        transform=transform,
        nodata=nodata,
        compress="DEFLATE",
        level=1,
        predictor=predictor,
        blocksize=512,
        overview_resampling="NEAREST",
    ) as raster:
        raster.write(pixels, 1)
        raster.set_band_description(1, description)
