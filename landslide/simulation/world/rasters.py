"""Cloud-optimised GeoTIFFs whose bytes depend only on their content."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.transform import Affine


def write_cog(
    path: Path, pixels: npt.NDArray[np.generic], epsg: int, transform: Affine, nodata: float | None, description: str
) -> None:
    """Write one band as a COG: DEFLATE, blocks of 512 pixels, overviews if the image is larger than a block.

    Args:
        path: The file; its folder is created.
        pixels: (rows, columns); the file gets its dtype.
        epsg: EPSG code of the CRS.
        transform: Affine transform from pixels to the CRS.
        nodata: The file's nodata value, if any.
        description: The band's description.
    """
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
