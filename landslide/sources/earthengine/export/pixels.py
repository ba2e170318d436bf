"""Pixels of an expression on exactly the case's grid: by CRS, affine transform and shape, not by scale and region."""

import io
import json
from functools import cached_property, lru_cache
from typing import Any

import ee
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from landslide.errors import SourceError
from landslide.geo.grid import Roi
from landslide.sources.earthengine.session import Session

SHARD = 256  # pixels a side of what Google computes at once in a batch; files are multiples of it


class Pixels:
    """An image on a grid, from which tiles are requested; one for a whole export, used by many threads."""

    def __init__(self, image: ee.Image, geobox: GeoBox, bands: tuple[str, ...], tag: str, session: Session) -> None:
        self._image, self._geobox, self._bands, self._tag, self._session = image, geobox, bands, tag, session

    def fetch(self, roi: Roi) -> NDArray[np.float32]:
        """(band, y, x) float32 at row and column slices, as the service computes them; raises as the session does."""
        return decode(self._session.compute_pixels(self.request(roi)), self._bands)

    def request(self, roi: Roi) -> bytes:
        """The JSON body of `computePixels` for a tile: what all tiles have in common, and the tile's grid."""
        return self._common[:-1] + b', "grid": ' + json.dumps(grid_of(self._geobox[roi])).encode() + b"}"

    @cached_property
    def _common(self) -> bytes:
        common = {
            "expression": ee.serializer.encode(self._image), "fileFormat": "NPY", "bandIds": self._bands,
            "workloadTag": self._tag,
        }  # fmt: skip
        return json.dumps(common).encode()

    def export(self, bucket: str, prefix: str, file_side: int, nodata: float) -> dict[str, Any]:
        """The parameters of a batch export of the whole grid to Cloud Storage.

        With CRS, transform and both dimensions and without a region, the client asks for exactly that rectangle.
        """
        affine, (height, width) = self._geobox.affine, self._geobox.shape
        task = ee.batch.Export.image.toCloudStorage(
            self._image.select(list(self._bands)),
            description=self._tag,
            bucket=bucket,
            fileNamePrefix=prefix,
            crs=str(self._geobox.crs),
            crsTransform=list(affine)[:6],
            dimensions=f"{width}x{height}",
            maxPixels=height * width,
            shardSize=min(SHARD, file_side),
            fileDimensions=file_side,
            fileFormat="GeoTIFF",
            formatOptions={"noData": nodata},
        )
        return {**(task.config or {}), "workloadTag": self._tag}


def grid_of(geobox: GeoBox) -> dict[str, Any]:
    """A grid in the form of the REST interface."""
    affine = geobox.affine
    return {
        "crsCode": str(geobox.crs),
        "dimensions": {"width": geobox.shape.x, "height": geobox.shape.y},
        "affineTransform": {
            "scaleX": affine.a, "shearX": affine.b, "translateX": affine.c,
            "shearY": affine.d, "scaleY": affine.e, "translateY": affine.f,
        },
    }  # fmt: skip


def decode(reply: bytes, bands: tuple[str, ...]) -> NDArray[np.float32]:
    """(band, y, x) float32 of a NumPy file with one field a band.

    Raises ValueError where it is cut short, SourceError where it holds something else than was asked for.
    """
    start = 10 + int.from_bytes(reply[8:10], "little")
    dtype, (height, width) = _layout(reply[:start])
    if dtype.names != bands or {dtype[name] for name in bands} != {np.dtype("float32")}:
        raise SourceError(f"Earth Engine sent {dtype} for float32 bands {list(bands)}. Please report this")
    if len(reply) - start != height * width * dtype.itemsize:
        raise ValueError(f"truncated reply: {len(reply)} bytes")
    by_pixel = np.frombuffer(reply, np.float32, offset=start).reshape(height, width, len(bands))
    return np.moveaxis(by_pixel, -1, 0).copy(order="C")


@lru_cache(maxsize=64)
def _layout(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """dtype and shape by the header of a NumPy file of version 1, which tiles of one size share."""
    stream = io.BytesIO(header)
    np.lib.format.read_magic(stream)
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    return dtype, shape


def one_pixel(session: Session) -> None:
    """Request a pixel of a constant; raises what the client raises."""
    box = GeoBox.from_bbox((0, 0, 10, 10), "EPSG:32631", resolution=10)
    image = ee.Image.constant(1).toFloat().rename("one")
    Pixels(image, box, ("one",), "landslide-doctor", session).fetch((slice(0, 1), slice(0, 1)))
