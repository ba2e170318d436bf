"""The tiles that one export still has to request, and those that have been delivered."""

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from landslide.geo.grid import Roi

REPORT_SECONDS = 0.2


@dataclass(order=True)
class TileRequest:
    """A tile to request, not before `due` (monotonic). Of those that are due the one that waited longest goes first."""

    due: float
    order: int
    roi: Roi = field(compare=False)
    tries: int = field(default=0, compare=False)


@dataclass
class DeliveredTile:
    """A tile (band, y, x) that is on disk. Closing `memory` returns its bytes to the limiter."""

    roi: Roi
    values: NDArray[np.float32]
    memory: ExitStack


class TileQueue:
    """Requests and delivered tiles of one export; shared by its threads and its one consumer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._request_ready = threading.Condition(self._lock)
        self._tile_ready = threading.Condition(self._lock)
        self._new: deque[TileRequest] = deque()
        self._retries: list[TileRequest] = []
        self._delivered: deque[DeliveredTile] = deque()
        self._pending = 0
        self._order = itertools.count()
        self._error: BaseException | None = None
        self.stopped = False

    def add(self, rois: list[Roi]) -> None:
        """Tiles that have not been requested yet."""
        with self._lock:
            self._new.extend(TileRequest(0.0, next(self._order), roi) for roi in rois)
            self._pending += len(rois)
            self._request_ready.notify(len(rois))

    def retry(self, request: TileRequest, delay: float) -> None:
        """Request a tile once more, after `delay` seconds."""
        due = time.monotonic() + delay
        with self._lock:
            heapq.heappush(self._retries, TileRequest(due, next(self._order), request.roi, request.tries))
            self._request_ready.notify()

    def replace(self, parts: list[Roi]) -> None:
        """Request the parts of a tile instead of the tile."""
        self.add(parts)
        with self._lock:
            self._pending -= 1

    def take(self) -> TileRequest | None:
        """The next tile that is due; None when all have been delivered or the export has been stopped."""
        with self._lock:
            while self._pending and not self.stopped:
                wait = self._retries[0].due - time.monotonic() if self._retries else None
                # retries go first: were they last, a service that is down would be asked for every tile there is
                request = heapq.heappop(self._retries) if wait is not None and wait <= 0 else None
                request = self._new.popleft() if request is None and self._new else request
                if request is not None:
                    self._request_ready.notify()  # another thread waits for the next one that is due
                    return request
                self._request_ready.wait(wait)
            return None

    def deliver(self, tile: DeliveredTile) -> None:
        """Hand a tile to the consumer, or drop it where the export has been stopped."""
        with self._lock:
            if not self.stopped:
                self._delivered.append(tile)
                self._pending -= 1
                self._tile_ready.notify()
                if not self._pending:
                    self._request_ready.notify_all()
                return
        tile.memory.close()

    def next_delivered(self, report: Callable[[], None]) -> DeliveredTile | None:
        """The next tile, or None when all have been delivered.

        Calls `report` every `REPORT_SECONDS` while it waits. Raises what `fail` was given.
        """
        while True:
            report()
            with self._lock:
                if not self._delivered and self._pending and self._error is None:
                    self._tile_ready.wait(REPORT_SECONDS)
                if self._error is not None:
                    raise self._error
                if self._delivered:
                    return self._delivered.popleft()
                if not self._pending:
                    return None

    def fail(self, error: BaseException) -> None:
        """End the export with an error, the first one if there are several."""
        with self._lock:
            self._error = self._error or error
            self._tile_ready.notify()
        self.stop()

    def stop(self) -> None:
        """Request nothing more and drop the tiles that the consumer has not taken."""
        with self._lock:
            self.stopped = True
            dropped, self._delivered = list(self._delivered), deque()
            self._request_ready.notify_all()
        for tile in dropped:
            tile.memory.close()
