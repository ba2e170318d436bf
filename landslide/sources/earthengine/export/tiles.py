"""From a grid to its pixels, tile by tile: requested in parallel, again or in halves after an error, and kept on disk.

Threads of an export take tiles from its `TileQueue`. A tile waits for memory and for a slot of the limiter, is
fetched, written to the journal and handed to the one consumer; its memory is free again when the consumer asks for the
next. So a slow consumer stalls the requests, and the bytes in use stay within the limiter's bound (and the tile that
the consumer still holds while it waits). Exports that share a limiter are to be consumed in threads of their own, or
one after the other: delivered tiles that no consumer takes are memory that the others lack.

The threads are daemons and are not joined: a request that hangs must not hold back an error, or Ctrl-C.
"""

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landslide.errors import LandslideError, ServiceError, SourceError
from landslide.geo.grid import Roi, blocks
from landslide.sources.earthengine.errors import Classification, ErrorKind, classify, redact
from landslide.sources.earthengine.export.journal import Journal, halves
from landslide.sources.earthengine.export.queue import DeliveredTile, TileQueue, TileRequest
from landslide.sources.earthengine.export.stats import ExportProgress, ExportStats, ProgressMeter
from landslide.sources.earthengine.limiter import RequestLimiter

MIN_SIDE = 32
FLOAT_BYTES, MASK_BYTES = 4, 1  # what the service counts for a float32 pixel of a band, and for its mask
WRITER_THREADS = 5  # threads beyond the slots, which write to disk while all slots are in use
Fetch = Callable[[Roi], NDArray[np.float32]]
Tile = tuple[Roi, NDArray[np.float32]]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetryPolicy:
    """When a tile whose request met a transient error is requested again, and when the export gives up.

    The wait is random between 0 and `base` seconds, twice that after every try, `cap` at most ("full jitter", Brooker
    2015), or as long as the service asks. An export gives up when nothing has been delivered for `timeout` seconds,
    counted from the first failure after the last delivery, and `min_failures` requests or more have failed meanwhile. A
    limit of tries a tile would not do: of 10,000 tiles at a service that drops every other request, forty fail eight
    times in a row. So a service that is down ends a run after about ten minutes, one that drops half of the requests
    ends none; and a tile that always fails stops the run last, when all others are kept.
    """

    min_failures: int = 8
    timeout: float = 600.0
    base: float = 1.0
    cap: float = 60.0

    def delay(self, tries: int) -> float:
        """Seconds to wait after so many tries, 1 or more."""
        return random.uniform(0, min(self.cap, self.base * 2.0 ** min(tries - 1, 30)))


def tile_side(bands: int, limit_bytes: int = 32 * 2**20, largest: int = 2048) -> int:
    """Pixels a side of the largest square tile under the limit, `largest` at most.

    A multiple of 256, or below that a power of two; 32 at least. A pixel of a band counts 5 bytes, as the service
    counts a float32 and its mask.
    """
    side = min(math.isqrt(limit_bytes // (bands * (FLOAT_BYTES + MASK_BYTES))), largest)
    return side // 256 * 256 if side >= 256 else max(MIN_SIDE, 2 ** (side.bit_length() - 1))


def deliver(
    fetch: Fetch,
    shape: tuple[int, int],
    bands: int,
    journal: Journal,
    limiter: RequestLimiter,
    *,
    side: int,
    stats: ExportStats,
    retry: RetryPolicy = RetryPolicy(),
    progress: Callable[[ExportProgress], None] | None = None,
) -> Iterator[Tile]:
    """All pixels of a grid as tiles: row and column slices, and (band, y, x) float32.

    First what the journal has, then the rest in the order in which it arrives. Closing the iterator ends the export at
    once; requests in flight are not waited for and their replies are dropped.

    Args:
        fetch: Gives the pixels of a tile. Called in threads; `errors.classify` decides what follows an error.
        shape: Of the grid, (height, width).
        bands: How many a pixel has.
        journal: Where tiles are kept.
        limiter: Bounds requests in flight and memory; exports may share it.
        side: Of a tile, in pixels, at most.
        stats: Is filled.
        retry: When to try again.
        progress: Is called in the consumer's thread, five times a second at most.

    Raises:
        SourceError: The service refuses a tile for good, or finds even the smallest too large.
        ServiceError: It does not deliver in spite of all retries.
        StoreError: A tile cannot be written.
    """
    export = _Export(fetch, bands, journal, limiter, stats, retry)
    tiles = blocks(shape, side)
    meter = ProgressMeter(shape, len(tiles), stats, progress)
    started = time.monotonic()
    try:
        yield from _resumed(journal, limiter, bands, meter)
        export.start(journal.missing(tiles))
        yield from _delivered(export.queue, meter)
    finally:
        export.queue.stop()
        stats.add(seconds=time.monotonic() - started)
        meter.report(last=True)


def _resumed(journal: Journal, limiter: RequestLimiter, bands: int, meter: ProgressMeter) -> Iterator[Tile]:
    for roi in journal.kept():
        with limiter.memory(_nbytes(roi, bands)):
            values = journal.read(roi)
            if values is not None:
                meter.resumed(math.prod(_size(roi)))
                yield roi, values
            del values


def _delivered(queue: TileQueue, meter: ProgressMeter) -> Iterator[Tile]:
    while (tile := queue.next_delivered(meter.report)) is not None:
        meter.delivered(math.prod(_size(tile.roi)))
        with tile.memory:
            yield tile.roi, tile.values
        del tile  # its memory is given back, so its pixels must not be held while we wait for the next


class _Export:
    """The threads of one export."""

    def __init__(
        self,
        fetch: Fetch,
        bands: int,
        journal: Journal,
        limiter: RequestLimiter,
        stats: ExportStats,
        policy: RetryPolicy,
    ) -> None:
        self._fetch, self._bands, self._journal = fetch, bands, journal
        self._limiter, self._stats, self._policy = limiter, stats, policy
        self._failures, self._failing_since = 0, math.inf
        self._lock = threading.Lock()
        self.queue = TileQueue()

    def start(self, rois: list[Roi]) -> None:
        """Begin to request tiles."""
        self.queue.add(rois)
        for _ in range(self._limiter.limit + WRITER_THREADS if rois else 0):
            threading.Thread(target=self._work, name="earthengine-tiles", daemon=True).start()

    def _work(self) -> None:
        while (request := self.queue.take()) is not None:
            try:
                self._process(request)
            except BaseException as error:  # else it would end this thread unseen
                self.queue.fail(error)

    def _process(self, request: TileRequest) -> None:
        with ExitStack() as memory:
            memory.enter_context(self._limiter.memory(_nbytes(request.roi, self._bands)))
            values = self._request(request)
            if values is not None and self._journal.keep(request.roi, values):
                self._stats.add(tiles=1, bytes=values.nbytes)
                self.queue.deliver(DeliveredTile(request.roi, values, memory.pop_all()))

    def _request(self, request: TileRequest) -> NDArray[np.float32] | None:
        """The pixels; None after an error, when the queue holds what is requested instead."""
        with self._limiter.request() as started:
            if self.queue.stopped:
                return None
            self._stats.add(requests=1)
            try:
                values = self._fetch(request.roi)
            except LandslideError:
                raise
            except Exception as error:
                self._handle(request, error, started)
                return None
            self._succeeded()
        return _checked(values, request.roi, self._bands)

    def _succeeded(self) -> None:
        with self._lock:
            self._failures, self._failing_since = 0, math.inf
        self._limiter.succeeded()

    def _handle(self, request: TileRequest, error: Exception, started: float) -> None:
        found = classify(error)
        if found.kind is ErrorKind.PERMANENT:
            raise SourceError(
                f"Earth Engine refuses {_name(request.roi)}: {redact(error)}. Correct that and run the same command "
                "again: the tiles that have been delivered are kept"
            ) from error
        if found.kind is ErrorKind.TOO_LARGE:
            self._succeeded()  # the service is up, and not overloaded
            self._halve(request.roi, error)
        else:
            self._retry(request, found, error, started)

    def _halve(self, roi: Roi, error: Exception) -> None:
        if max(_size(roi)) // 2 < MIN_SIDE:
            raise SourceError(
                f"Earth Engine finds even {_name(roi)} too large: {redact(error)}. Export through a bucket (`export: "
                "{method: bucket}`), where Google computes without these limits, or shorten the case's windows"
            ) from error
        log.info("%s is too large and is requested in halves: %s", _name(roi), redact(error))
        self._stats.add(splits=1)
        self._journal.split(roi)
        self.queue.replace(list(halves(roi)))

    def _retry(self, request: TileRequest, found: Classification, error: Exception, started: float) -> None:
        request.tries += 1
        self._stats.retry(found.label)
        self._raise_after_timeout(request, found, error)
        delay = self._policy.delay(request.tries) if found.wait is None else found.wait
        rounds = self._limiter.failed(started, found.overload)
        if found.wait is not None:
            self._limiter.pause(found.wait)
        elif rounds:  # as many failures in a row as there are slots: it is not this tile, it is the service
            self._limiter.pause(self._policy.delay(rounds))
        log.info("%s again in %.1f s, after %d tries: %s", _name(request.roi), delay, request.tries, redact(error))
        self.queue.retry(request, delay)

    def _raise_after_timeout(self, request: TileRequest, found: Classification, error: Exception) -> None:
        with self._lock:
            self._failures += 1
            self._failing_since = min(self._failing_since, time.monotonic())
            seconds = time.monotonic() - self._failing_since
            timed_out = seconds >= self._policy.timeout and self._failures >= self._policy.min_failures
        if timed_out or (found.wait or 0.0) > self._policy.timeout:
            asks = f" and asks to wait {found.wait:.0f} s" if found.wait else ""
            raise ServiceError(
                f"Earth Engine has delivered nothing for {seconds:.0f} s{asks}; {_name(request.roi)} failed "
                f"{request.tries} times: {redact(error)}. Run the same command later: it goes on from here"
            ) from error


def _checked(values: NDArray[np.float32], roi: Roi, bands: int) -> NDArray[np.float32]:
    """The fetched pixels; SourceError if their shape or dtype is not what was requested."""
    if values.shape != (bands, *_size(roi)) or values.dtype != np.float32:
        raise SourceError(
            f"{_name(roi)} came as {values.dtype} {values.shape} instead of float32 {(bands, *_size(roi))}: the "
            "service's reply and the request do not agree. Please report this"
        )
    return values


def _size(roi: Roi) -> tuple[int, int]:
    return roi[0].stop - roi[0].start, roi[1].stop - roi[1].start


def _nbytes(roi: Roi, bands: int) -> int:
    """What a tile takes of memory at most: its pixels, and the reply that they are taken out of."""
    return 2 * bands * math.prod(_size(roi)) * FLOAT_BYTES


def _name(roi: Roi) -> str:
    rows, columns = roi
    return f"the tile of rows {rows.start}–{rows.stop} and columns {columns.start}–{columns.stop}"
