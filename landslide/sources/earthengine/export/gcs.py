"""Export through Cloud Storage: Google writes files into a bucket, and they are read back from there.

A batch task is not bound by the limits of a single reply, reports what it used, and goes on when this process ends: its
request id is kept beside the files, and asking with the same id again finds the same task.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import ee
import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError

from landslide.artifacts.atomic import atomic_file, write_text
from landslide.errors import ServiceError, SourceError
from landslide.geo.grid import Roi, blocks
from landslide.geo.raster import BLOCK_SIDE, window_of
from landslide.sources.earthengine.export.pixels import Pixels
from landslide.sources.earthengine.image import NODATA
from landslide.sources.earthengine.query import with_retries
from landslide.sources.earthengine.session import Session

FILE_SIDE = 8192  # pixels of one file; larger exports come in several
POLL_SECONDS = 10.0
FINISHED = ("SUCCEEDED", "FAILED", "CANCELLED")
RECORD = "operation.json"
Planes = NDArray[np.float32]


@dataclass
class BatchTask:
    """One batch export. `workspace` holds its record and its files.

    Where the record of an earlier process is there, its task goes on, in the bucket and under the prefix that it began
    with; else a task begins in `bucket` under `prefix`.
    """

    pixels: Pixels
    session: Session
    bucket: str
    prefix: str
    workspace: Path

    def finished(self, watch: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """The metadata of the task once it has succeeded.

        `watch` is given the metadata every `POLL_SECONDS`, and may raise SourceError to cancel the task. SourceError
        with Google's words where the task failed or was cancelled.
        """
        operation = self._start()
        name = str(operation["name"])
        while (state := _state(operation)) not in FINISHED:
            try:
                watch(operation.get("metadata", {}))
            except SourceError:
                with_retries(lambda: ee.data.cancelOperation(name))
                self._record.unlink()  # the next run starts a new task
                raise
            time.sleep(POLL_SECONDS)
            operation = with_retries(lambda: ee.data.getOperation(name))
        if state != "SUCCEEDED":
            self._record.unlink(missing_ok=True)  # the next run starts a new task
            why = operation.get("error", {}).get("message", state)
            raise SourceError(
                f"Earth Engine's task {name} ended as {state}: {why}. See Troubleshooting in docs/earth-engine.md"
            )
        return {**operation["metadata"], "name": name}

    @property
    def _record(self) -> Path:
        return self.workspace / RECORD

    @cached_property
    def _order(self) -> dict[str, str]:
        """Request id, bucket and prefix of the task, which are on disk before the request is sent."""
        if not self._record.exists():
            order = {"request": uuid.uuid4().hex, "bucket": self.bucket, "prefix": self.prefix}
            write_text(self._record, json.dumps(order), durable=False)
        recorded: dict[str, str] = json.loads(self._record.read_text())
        return recorded

    def _start(self) -> dict[str, Any]:
        """The operation, new or of an earlier process."""
        config = self.pixels.export(self._order["bucket"], self._order["prefix"], FILE_SIDE, NODATA)
        operation: dict[str, Any] = with_retries(lambda: ee.data.exportImage(self._order["request"], config))
        return operation

    def files(self) -> list[Path]:
        """The task's files, downloaded into the workspace; those that are there whole are not fetched again."""
        from google.cloud import storage  # takes 0.5 s

        options = {"api_endpoint": self.session.url} if self.session.loopback else None
        client = storage.Client(self.session.project, self.session.credentials, client_options=options)
        bucket, prefix = self._order["bucket"], self._order["prefix"]
        paths = []
        for blob in with_retries(lambda: list(client.list_blobs(bucket, prefix=prefix))):
            path = self.workspace / Path(blob.name).name
            if not (path.exists() and path.stat().st_size == blob.size):
                with atomic_file(path, durable=False) as draft:
                    with_retries(lambda blob=blob, draft=draft: blob.download_to_filename(str(draft)))  # type: ignore[misc]
            paths.append(path)
        if not paths:
            raise ServiceError(f"Earth Engine's task succeeded, but gs://{bucket}/{prefix} holds no file. Look at the "
                               "bucket's lifecycle rules, and run again")  # fmt: skip
        return sorted(paths)


def _state(operation: Mapping[str, Any]) -> str:
    return str(operation.get("metadata", {}).get("state", "PENDING"))


def hours(metadata: Mapping[str, Any]) -> float:
    """EECU-hours that a task has used so far, by its own report."""
    return float(metadata.get("batchEecuUsageSeconds", 0)) / 3600


def charged(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a finished task reports of itself, for the layer's record."""
    kept = ("name", "createTime", "startTime", "endTime", "attempt", "destinationUris")
    return {"eecu_hours": hours(metadata), **{key: metadata[key] for key in kept if key in metadata}}


def read(path: Path, geobox: GeoBox) -> Iterator[tuple[Roi, Planes]]:
    """(band, y, x) float32 of a file in blocks, each with its place in the case's grid.

    SourceError where the file does not lie on that grid to a thousandth of a pixel, or cannot be read.
    """
    try:
        with rasterio.open(path) as raster:
            row, column = _offset(raster, geobox, path)
            for rows, columns in blocks(raster.shape, BLOCK_SIDE):
                values = raster.read(window=window_of((rows, columns))).astype("float32", copy=False)
                yield (_shifted(rows, row), _shifted(columns, column)), values
    except RasterioError as error:
        raise SourceError(
            f"cannot read {path}, downloaded from the bucket: {error}. Remove it and run again"
        ) from error


def _offset(raster: Any, geobox: GeoBox, path: Path) -> tuple[int, int]:
    """Row and column of the file's first pixel in the grid."""
    step = ~geobox.affine * raster.transform
    row, column = round(step.f), round(step.c)
    off = max(abs(step.f - row), abs(step.c - column), abs(step.a - 1) * raster.width, abs(step.e - 1) * raster.height)
    inside = 0 <= row <= geobox.shape.y - raster.height and 0 <= column <= geobox.shape.x - raster.width
    if raster.crs is None or raster.crs.to_epsg() != geobox.crs.epsg or off > 1e-3 or not inside:  # type: ignore[union-attr]
        raise SourceError(f"{path} lies on {raster.crs} {tuple(raster.transform)[:6]}, not on the case's grid "
                          f"{geobox.crs} {tuple(geobox.affine)[:6]}. Remove it and run again")  # fmt: skip
    return row, column


def _shifted(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)
