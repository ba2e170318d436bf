"""Exports: operations that compute an image in the background and write it to Cloud Storage as GeoTIFF files."""

import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .encode import write_geotiff
from .grids import Grid
from .replies import ApiError, unsupported
from .storage import BucketService
from .values import Image, ImageBand

SLOTS = 2  # concurrent exports
DEFAULT_MAX_PIXELS = 10**8
FILE_SIDE = 16_384
SHARD = 256
FINAL_STATES = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass
class Operation:
    """One export and its state; `seconds` is the CPU time it is charged."""

    name: str
    description: str
    created: datetime
    state: str = "PENDING"
    started: datetime | None = None
    ended: datetime | None = None
    progress: float = 0.0
    seconds: float = 0.0
    uris: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)

    def describe(self) -> dict[str, Any]:
        """The resource that `operations.get` returns."""
        metadata: dict[str, Any] = {
            "@type": "type.googleapis.com/google.earthengine.v1.OperationMetadata", "state": self.state,
            "description": self.description, "type": "EXPORT_IMAGE", "priority": 100,
            "createTime": _timestamp(self.created),
            "updateTime": _timestamp(self.ended or self.started or self.created),
            "attempt": 1, "progress": round(self.progress, 4), "batchEecuUsageSeconds": round(self.seconds, 6),
        }  # fmt: skip
        if self.started is not None:
            metadata["startTime"] = _timestamp(self.started)
        if self.ended is not None:
            metadata["endTime"] = _timestamp(self.ended)
        if self.uris:
            metadata["destinationUris"] = self.uris
        resource: dict[str, Any] = {"name": self.name, "metadata": metadata, "done": self.state in FINAL_STATES}
        if self.error is not None:
            resource["error"] = self.error
        elif self.state == "SUCCEEDED":
            resource["response"] = {"@type": "type.googleapis.com/google.protobuf.Empty"}
        return resource


class Exports:
    """All export operations of a server. At most two run at a time, the average of Earth Engine for a project.

    `delay` is the time in seconds that an operation is pending, and that it waits after each file. The first `failing`
    operations fail.
    """

    def __init__(
        self, storage: BucketService, evaluate: Callable[[Mapping[str, Any]], Image], delay: float, failing: int
    ) -> None:
        self._storage, self._evaluate, self._delay, self._failing = storage, evaluate, delay, failing
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(SLOTS)
        self._operations: dict[str, Operation] = {}
        self._requests: dict[str, Operation] = {}
        self._stopped = threading.Event()

    def start(self, project: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A new operation, or the one that was started under the same request id."""
        options = body.get("fileExportOptions", {})
        if "cloudStorageDestination" not in options or options.get("fileFormat") != "GEO_TIFF":
            raise unsupported("An export to anything but GeoTIFFs in Cloud Storage")
        for extra in set(options.get("geoTiffOptions", {})) - {"noData", "tileDimensions", "tileSize"}:
            raise unsupported(f"The option {extra} of an export")
        request = str(body.get("requestId", ""))
        with self._lock:
            if request and request in self._requests:
                return self._requests[request].describe()
            number = len(self._operations) + 1
            name = f"projects/{project}/operations/{uuid.uuid4().hex[:24].upper()}"
            operation = Operation(name, str(body.get("description", "")), datetime.now(UTC))
            self._operations[name] = operation
            if request:
                self._requests[request] = operation
        threading.Thread(target=self._run, args=(operation, body, number), daemon=True).start()
        return operation.describe()

    def get(self, name: str) -> dict[str, Any]:
        """An operation; ApiError 404 if there is none."""
        return self._find(name).describe()

    def cancel(self, name: str) -> dict[str, Any]:
        """Ask an operation to stop."""
        self._find(name).cancelled.set()
        return {}

    def stop(self) -> None:
        """Cancel all operations."""
        self._stopped.set()
        for operation in self._operations.values():
            operation.cancelled.set()

    def _find(self, name: str) -> Operation:
        with self._lock:
            if name not in self._operations:
                raise ApiError(f"Operation '{name}' not found.", 404)
            return self._operations[name]

    def _run(self, operation: Operation, body: Mapping[str, Any], number: int) -> None:
        with self._slots:
            self._stopped.wait(self._delay)
            operation.started, operation.state = datetime.now(UTC), "RUNNING"
            try:
                if number <= self._failing:
                    raise ApiError("An internal server error has occurred (loopback).", 500)
                self._write(operation, body, _Meter(operation))
                operation.progress, final = 1.0, "SUCCEEDED"
            except _CancelledError:
                operation.error, final = {"code": 1, "message": "Cancelled."}, "CANCELLED"
            except ApiError as error:
                operation.error, final = {"code": 3, "message": error.message}, "FAILED"
            except Exception as error:  # an operation must end even after an error of the loopback itself
                operation.error, final = {"code": 13, "message": f"Loopback: {error!r}"}, "FAILED"
            operation.ended = datetime.now(UTC)
            operation.state = final

    def _write(self, operation: Operation, body: Mapping[str, Any], meter: "_Meter") -> None:
        options = body["fileExportOptions"]
        bucket = options["cloudStorageDestination"]["bucket"]
        prefix = options["cloudStorageDestination"].get("filenamePrefix") or operation.description or "export"
        self._storage.path(bucket, "-")
        bands = self._evaluate(body["expression"]).bands
        grid = bands[0].grid
        if grid is None:
            raise ApiError("Unable to export unbounded image.")
        pixels, limit = grid.shape[0] * grid.shape[1], int(body.get("maxPixels", {}).get("value", DEFAULT_MAX_PIXELS))
        if pixels > limit:
            raise ApiError(
                f"Export too large: specified {pixels} pixels (max: {limit}). Specify higher maxPixels value if you "
                "intend to export a large area."
            )
        geotiff = options.get("geoTiffOptions", {})
        fill = geotiff.get("noData", {}).get("floatValue")
        parts = export_files(grid, geotiff)
        meter()
        for index, (suffix, part) in enumerate(parts):
            path = self._storage.path(bucket, f"{prefix}{suffix}.tif")
            _write_file(path, bands, part, fill, meter)
            operation.progress = (index + 1) / len(parts)
            operation.cancelled.wait(self._delay)
            meter()
        folder = prefix.rpartition("/")[0]
        operation.uris = [f"https://console.developers.google.com/storage/browser/{bucket}/{folder}"]


class _CancelledError(Exception):
    """The operation was cancelled."""


class _Meter:
    """Updates an operation's CPU time; called in its thread after each block. Raises if the operation was cancelled."""

    def __init__(self, operation: Operation) -> None:
        self._operation, self._started = operation, time.thread_time()

    def __call__(self) -> None:
        self._operation.seconds = time.thread_time() - self._started
        if self._operation.cancelled.is_set():
            raise _CancelledError


def export_files(grid: Grid, options: Mapping[str, Any]) -> list[tuple[str, Grid]]:
    """The files of an export: name suffix and grid of each.

    The suffix is the row and column of the file's first pixel, or empty for a single file. ApiError if the file's
    dimensions are not a multiple of the shard size.
    """
    dimensions = options.get("tileDimensions") or {}
    shard = int((options.get("tileSize") or {}).get("value", SHARD))
    height, width = int(dimensions.get("height", FILE_SIDE)), int(dimensions.get("width", FILE_SIDE))
    if dimensions and (height % shard or width % shard):
        raise ApiError(f"fileDimensions ({width}x{height}) must be a multiple of shardSize ({shard}).")
    if grid.shape[0] <= height and grid.shape[1] <= width:
        return [("", grid)]
    return [
        (f"{row:010d}-{column:010d}", grid.window(row, column, _file_shape(grid, row, column, height, width)))
        for row in range(0, grid.shape[0], height)
        for column in range(0, grid.shape[1], width)
    ]


def _file_shape(grid: Grid, row: int, column: int, height: int, width: int) -> tuple[int, int]:
    return min(height, grid.shape[0] - row), min(width, grid.shape[1] - column)


def _write_file(
    path: Path, bands: Sequence[ImageBand], grid: Grid, fill: float | None, after_block: Callable[[], None]
) -> None:
    """Write one file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        write_geotiff(scratch, bands, grid, fill, after_block)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _timestamp(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
