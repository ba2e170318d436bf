"""The second way out: Google writes files into a Cloud Storage bucket, and they are read back from there.

A batch task is not bound by the limits of a single reply, tells what it cost, and goes on when this process dies: its
request id is kept beside the files, and asking with the same id again finds the same task.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ee
import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError

from landslide.errors import ServiceError, SourceError
from landslide.geo.grid import Roi, blocks
from landslide.geo.raster import BLOCK_SIDE, window_of
from landslide.sources.earthengine.export.pixels import Pixels
from landslide.sources.earthengine.image import NODATA
from landslide.sources.earthengine.query import patiently
from landslide.sources.earthengine.session import Session

FILE_SIDE = 8192  # pixels of one file; larger exports come in several
POLL_SECONDS = 10.0
FINISHED = ("SUCCEEDED", "FAILED", "CANCELLED")
RECORD = "operation.json"
Planes = NDArray[np.float32]


@dataclass
class Task:
    """One batch export of a case: where to, under which request id, and what the service says of it."""

    pixels: Pixels
    session: Session
    bucket: str
    prefix: str
    workspace: Path

    def finished(self, watch: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """The metadata of the task once it has succeeded, started here or by an earlier process.

        `watch` is given the metadata at every look, and may raise to stop the task. SourceError with Google's words
        where the task failed or was cancelled.
        """
        operation = self._started()
        name = str(operation["name"])
        while (state := _state(operation)) not in FINISHED:
            try:
                watch(operation.get("metadata", {}))
            except SourceError:
                patiently(lambda: ee.data.cancelOperation(name))
                self._record.unlink()  # the next run starts a new task
                raise
            time.sleep(POLL_SECONDS)
            operation = patiently(lambda: ee.data.getOperation(name))
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

    def _started(self) -> dict[str, Any]:
        """The operation, under a request id that is on disk before it is sent."""
        if not self._record.exists():
            draft = self._record.with_suffix(".draft")
            draft.write_text(json.dumps({"request": uuid.uuid4().hex, "bucket": self.bucket, "prefix": self.prefix}))
            draft.replace(self._record)
        request = json.loads(self._record.read_text())["request"]
        config = self.pixels.export(self.bucket, self.prefix, FILE_SIDE, NODATA)
        operation: dict[str, Any] = patiently(lambda: ee.data.exportImage(request, config))
        return operation

    def files(self) -> list[Path]:
        """The task's files, downloaded into the workspace; those that are there whole are not fetched again."""
        from google.cloud import storage  # 0.5 s that only this way needs

        options = {"api_endpoint": self.session.url} if self.session.loopback else None
        client = storage.Client(self.session.project, self.session.credentials, client_options=options)
        paths = []
        for blob in patiently(lambda: list(client.list_blobs(self.bucket, prefix=self.prefix))):
            path = self.workspace / Path(blob.name).name
            if not (path.exists() and path.stat().st_size == blob.size):
                draft = path.with_suffix(".draft")
                patiently(lambda blob=blob, draft=draft: blob.download_to_filename(str(draft)))  # type: ignore[misc]
                draft.replace(path)
            paths.append(path)
        if not paths:
            raise ServiceError(f"Earth Engine's task succeeded, but gs://{self.bucket}/{self.prefix} holds no file. "
                               "Look at the bucket's lifecycle rules, and run again")  # fmt: skip
        return sorted(paths)


def _state(operation: Mapping[str, Any]) -> str:
    return str(operation.get("metadata", {}).get("state", "PENDING"))


def hours(metadata: Mapping[str, Any]) -> float:
    """EECU-hours that a task has used so far, by its own report."""
    return float(metadata.get("batchEecuUsageSeconds", 0)) / 3600


def charged(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a finished task reports of itself, for the manifest."""
    kept = ("name", "createTime", "startTime", "endTime", "attempt", "destinationUris")
    return {"eecu_hours": hours(metadata), **{key: metadata[key] for key in kept if key in metadata}}


def read(path: Path, geobox: GeoBox) -> Iterator[tuple[Roi, Planes]]:
    """(band, y, x) float32 of a file in blocks, each with its place in the case's grid.

    SourceError where the file does not lie on that grid to a thousandth of a pixel, or does not read.
    """
    try:
        with rasterio.open(path) as raster:
            row, column = _place(raster, geobox, path)
            for rows, columns in blocks(raster.shape, BLOCK_SIDE):
                values = raster.read(window=window_of((rows, columns))).astype("float32", copy=False)
                yield (_moved(rows, row), _moved(columns, column)), values
    except RasterioError as error:
        raise SourceError(
            f"cannot read {path}, downloaded from the bucket: {error}. Remove it and run again"
        ) from error


def _place(raster: Any, geobox: GeoBox, path: Path) -> tuple[int, int]:
    """Row and column of the file's first pixel in the grid."""
    step = ~geobox.affine * raster.transform
    row, column = round(step.f), round(step.c)
    off = max(abs(step.f - row), abs(step.c - column), abs(step.a - 1) * raster.width, abs(step.e - 1) * raster.height)
    inside = 0 <= row <= geobox.shape.y - raster.height and 0 <= column <= geobox.shape.x - raster.width
    if raster.crs is None or raster.crs.to_epsg() != geobox.crs.epsg or off > 1e-3 or not inside:  # type: ignore[union-attr]
        raise SourceError(f"{path} lies on {raster.crs} {tuple(raster.transform)[:6]}, not on the case's grid "
                          f"{geobox.crs} {tuple(geobox.affine)[:6]}. Remove it and run again")  # fmt: skip
    return row, column


def _moved(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)
