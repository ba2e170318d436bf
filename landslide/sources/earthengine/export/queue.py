"""What one export still has to ask for and what has arrived: between its threads and its one consumer."""

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

GLANCE = 0.2


@dataclass(order=True)
class TileRequest:
    """A tile to ask for, not before `due` (monotonic). Of those that are due the one that waited longest goes first."""

    due: float
    order: int
    roi: Roi = field(compare=False)
    tries: int = field(default=0, compare=False)


@dataclass
class DeliveredTile:
    """A tile (band, y, x) that is on disk. Closing `room` gives its memory back to the gate."""

    roi: Roi
    values: NDArray[np.float32]
    room: ExitStack


class TileQueue:
    """What is still to be done in one export, and what has arrived; shared by its threads and its consumer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asks = threading.Condition(self._lock)
        self._arrivals = threading.Condition(self._lock)
        self._fresh: deque[TileRequest] = deque()
        self._again: list[TileRequest] = []
        self._arrived: deque[DeliveredTile] = deque()
        self._open = 0
        self._order = itertools.count()
        self._error: BaseException | None = None
        self.stopped = False

    def add(self, rois: list[Roi]) -> None:
        """Tiles that have not been asked for."""
        with self._lock:
            self._fresh.extend(TileRequest(0.0, next(self._order), roi) for roi in rois)
            self._open += len(rois)
            self._asks.notify(len(rois))

    def again(self, ask: TileRequest, delay: float) -> None:
        """TileRequest for a tile once more, after `delay` seconds."""
        with self._lock:
            heapq.heappush(self._again, TileRequest(time.monotonic() + delay, next(self._order), ask.roi, ask.tries))
            self._asks.notify()

    def replace(self, parts: list[Roi]) -> None:
        """TileRequest for the parts of a tile instead of it."""
        self.add(parts)
        with self._lock:
            self._open -= 1

    def take(self) -> TileRequest | None:
        """The next tile that is due; None when all have arrived or the export has been stopped."""
        with self._lock:
            while self._open and not self.stopped:
                wait = self._again[0].due - time.monotonic() if self._again else None
                # what failed goes first: were it last, a service that is down would be asked for every tile there is
                ask = heapq.heappop(self._again) if wait is not None and wait <= 0 else None
                ask = self._fresh.popleft() if ask is None and self._fresh else ask
                if ask is not None:
                    self._asks.notify()  # whoever takes over the wait for the next one due
                    return ask
                self._asks.wait(wait)
            return None

    def arrive(self, arrival: DeliveredTile) -> None:
        """Hand a tile over to the consumer, or drop it where there is none any more."""
        with self._lock:
            if not self.stopped:
                self._arrived.append(arrival)
                self._open -= 1
                self._arrivals.notify()
                if not self._open:
                    self._asks.notify_all()
                return
        arrival.room.close()

    def arrival(self, report: Callable[[], None]) -> DeliveredTile | None:
        """The next tile, or None when all have arrived. Raises what `fail` was given; calls `report` now and then."""
        while True:
            report()
            with self._lock:
                if not self._arrived and self._open and self._error is None:
                    self._arrivals.wait(GLANCE)
                if self._error is not None:
                    raise self._error
                if self._arrived:
                    return self._arrived.popleft()
                if not self._open:
                    return None

    def fail(self, error: BaseException) -> None:
        """End the export with an error, the first one if there are several."""
        with self._lock:
            self._error = self._error or error
            self._arrivals.notify()
        self.stop()

    def stop(self) -> None:
        """TileRequest for nothing more and drop what has arrived."""
        with self._lock:
            self.stopped = True
            dropped, self._arrived = list(self._arrived), deque()
            self._asks.notify_all()
        for arrival in dropped:
            arrival.room.close()
