"""Exports: operations that compute an image in the background and write it to Cloud Storage as GeoTIFFs."""

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
from .replies import ApiError, not_imitated
from .storage import BucketService
from .values import Band, Image

SLOTS = 2
MOST_PIXELS = 10**8
FILE_SIDE = 16_384
SHARD = 256
DONE = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass
class Operation:
    """One export and what is told of it."""

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
        """As `operations.get` tells it."""
        metadata: dict[str, Any] = {
            "@type": "type.googleapis.com/google.earthengine.v1.OperationMetadata", "state": self.state,
            "description": self.description, "type": "EXPORT_IMAGE", "priority": 100,
            "createTime": _told(self.created), "updateTime": _told(self.ended or self.started or self.created),
            "attempt": 1, "progress": round(self.progress, 4), "batchEecuUsageSeconds": round(self.seconds, 6),
        }  # fmt: skip
        if self.started is not None:
            metadata["startTime"] = _told(self.started)
        if self.ended is not None:
            metadata["endTime"] = _told(self.ended)
        if self.uris:
            metadata["destinationUris"] = self.uris
        told: dict[str, Any] = {"name": self.name, "metadata": metadata, "done": self.state in DONE}
        if self.error is not None:
            told["error"] = self.error
        elif self.state == "SUCCEEDED":
            told["response"] = {"@type": "type.googleapis.com/google.protobuf.Empty"}
        return told


class Exports:
    """All operations of a server; at most two run at a time, as many as Google runs of a project on average.

    `delay` is how long one is pending, and how long it still runs after each file, in seconds.
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
            raise not_imitated("An export to anything but GeoTIFFs in Cloud Storage")
        for extra in set(options.get("geoTiffOptions", {})) - {"noData", "tileDimensions", "tileSize"}:
            raise not_imitated(f"The option {extra} of an export")
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
        """Let nothing go on."""
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
            except Exception as error:  # an operation must end, whatever the loopback's own fault
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
        pixels, most = grid.shape[0] * grid.shape[1], int(body.get("maxPixels", {}).get("value", MOST_PIXELS))
        if pixels > most:
            raise ApiError(
                f"Export too large: specified {pixels} pixels (max: {most}). Specify higher maxPixels value if you "
                "intend to export a large area."
            )
        geotiff = options.get("geoTiffOptions", {})
        fill = geotiff.get("noData", {}).get("floatValue")
        parts = files(grid, geotiff)
        meter()
        for place, (suffix, part) in enumerate(parts):
            path = self._storage.path(bucket, f"{prefix}{suffix}.tif")
            _write_file(path, bands, part, fill, meter)
            operation.progress = (place + 1) / len(parts)
            operation.cancelled.wait(self._delay)
            meter()
        folder = prefix.rpartition("/")[0]
        operation.uris = [f"https://console.developers.google.com/storage/browser/{bucket}/{folder}"]


class _CancelledError(Exception):
    """The operation was asked to stop."""


class _Meter:
    """Called after each piece of an operation's work, in its thread: charges the time it took."""

    def __init__(self, operation: Operation) -> None:
        self._operation, self._begun = operation, time.thread_time()

    def __call__(self) -> None:
        self._operation.seconds = time.thread_time() - self._begun
        if self._operation.cancelled.is_set():
            raise _CancelledError


def files(grid: Grid, options: Mapping[str, Any]) -> list[tuple[str, Grid]]:
    """The files of an export: what their names add to the prefix (row and column of their corner where there are
    several) and their grids; ApiError where the dimensions are no multiple of the shard size."""
    told = options.get("tileDimensions") or {}
    shard = int((options.get("tileSize") or {}).get("value", SHARD))
    height, width = int(told.get("height", FILE_SIDE)), int(told.get("width", FILE_SIDE))
    if told and (height % shard or width % shard):
        raise ApiError(f"fileDimensions ({width}x{height}) must be a multiple of shardSize ({shard}).")
    if grid.shape[0] <= height and grid.shape[1] <= width:
        return [("", grid)]
    return [
        (f"{row:010d}-{column:010d}", grid.part(row, column, _size(grid, row, column, height, width)))
        for row in range(0, grid.shape[0], height)
        for column in range(0, grid.shape[1], width)
    ]


def _size(grid: Grid, row: int, column: int, height: int, width: int) -> tuple[int, int]:
    return min(height, grid.shape[0] - row), min(width, grid.shape[1] - column)


def _write_file(
    path: Path, bands: Sequence[Band], grid: Grid, fill: float | None, after_block: Callable[[], None]
) -> None:
    """One file, published whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        write_geotiff(scratch, bands, grid, fill, after_block)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _told(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
