"""From a grid to its pixels, tile by tile: asked for in parallel, asked again or in halves, kept, handed over.

Threads of an export take tiles from its `TileQueue`. A tile waits for room in memory and for a slot of the gate, is
fetched, written to the journal and handed to the one consumer; its memory is free again when the consumer asks for the
next. So a slow consumer stalls the requests, and the bytes alive stay within the gate's bound (and the tile that the
consumer still holds while it waits). Exports that share a gate are to be consumed in threads of their own, or one after
the other: tiles that one of them has handed over and nobody takes are room that the others lack.

The threads are daemons and nobody joins them: a request that hangs must not keep an error, or Ctrl-C, from coming out.
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

SMALLEST = 32
FLOAT, MASK = 4, 1  # bytes that the service counts for a float32 pixel of a band, and for its mask
SPARE = 5  # threads beyond the slots, which write to disk while all slots are busy
Fetch = Callable[[Roi], NDArray[np.float32]]
Tile = tuple[Roi, NDArray[np.float32]]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """When a tile whose request failed in passing is asked for again, and when no more.

    The wait is random between 0 and `base` seconds, twice that after every try, `cap` at most ("full jitter", Brooker
    2015), or as long as the service asks. An export gives up when nothing has been delivered for `silence` seconds,
    counted from the first failure after the last delivery, and `tries` requests or more have failed meanwhile. Tries of
    a tile alone would not do: of 10,000 tiles at a service that drops every other request, forty fail eight times in a
    row. So a service that is down ends a run after about ten minutes, one that drops half of the requests ends none;
    and a tile that always fails stops the run last, when all others are kept.
    """

    tries: int = 8
    silence: float = 600.0
    base: float = 1.0
    cap: float = 60.0

    def delay(self, tries: int) -> float:
        """Seconds to wait after so many tries, 1 or more."""
        return random.uniform(0, min(self.cap, self.base * 2.0 ** min(tries - 1, 30)))


def tile_side(bands: int, limit_bytes: int = 32 * 2**20, largest: int = 2048) -> int:
    """Pixels a side of the largest square tile under the limit, `largest` at most: a multiple of 256, or below that a
    power of two; 32 at least. A pixel of a band counts 5 bytes, as the service counts a float32 and its mask.
    """
    side = min(math.isqrt(limit_bytes // (bands * (FLOAT + MASK))), largest)
    return side // 256 * 256 if side >= 256 else max(SMALLEST, 2 ** (side.bit_length() - 1))


def deliver(
    fetch: Fetch,
    shape: tuple[int, int],
    bands: int,
    journal: Journal,
    gate: RequestLimiter,
    *,
    side: int,
    figures: ExportStats,
    patience: Patience = Patience(),
    progress: Callable[[ExportProgress], None] | None = None,
) -> Iterator[Tile]:
    """All pixels of a (height, width) grid as tiles of `side` pixels or less: row and column slices, and
    (band, y, x) float32.

    First what the journal has, then the rest in the order in which it arrives. `fetch(roi)` is called in threads and
    may raise anything; see `verdict` for what is then done. `progress` is called in the consumer's thread, five times a
    second at most.

    Raises SourceError where the service refuses a tile for good or finds even the smallest too heavy, ServiceError
    where it does not deliver in spite of all retries, StoreError where a tile cannot be written. Closing the iterator
    ends the export at once; requests in flight are not waited for and what they bring is dropped.
    """
    export = _Export(fetch, bands, journal, gate, figures, patience)
    tiles = blocks(shape, side)
    meter = ProgressMeter(shape, len(tiles), figures, progress)
    started = time.monotonic()
    try:
        yield from _resumed(journal, gate, bands, meter)
        export.start(journal.missing(tiles))
        yield from _arriving(export.agenda, meter)
    finally:
        export.agenda.stop()
        figures.add(seconds=time.monotonic() - started)
        meter.report(last=True)


def _resumed(journal: Journal, gate: RequestLimiter, bands: int, meter: ProgressMeter) -> Iterator[Tile]:
    for roi in journal.kept():
        with gate.memory(_nbytes(roi, bands)):
            values = journal.read(roi)
            if values is not None:
                meter.resumed(math.prod(_size(roi)))
                yield roi, values
            del values


def _arriving(agenda: TileQueue, meter: ProgressMeter) -> Iterator[Tile]:
    while (arrival := agenda.arrival(meter.report)) is not None:
        meter.delivered(math.prod(_size(arrival.roi)))
        with arrival.room:
            yield arrival.roi, arrival.values
        del arrival  # the room is given back: so must the pixels be, while we wait for the next


class _Export:
    """The threads of one export."""

    def __init__(
        self, fetch: Fetch, bands: int, journal: Journal, gate: RequestLimiter, figures: ExportStats, patience: Patience
    ) -> None:
        self._fetch, self._bands, self._journal = fetch, bands, journal
        self._gate, self._figures, self._patience = gate, figures, patience
        self._failures, self._failing_since = 0, math.inf
        self._lock = threading.Lock()
        self.agenda = TileQueue()

    def start(self, rois: list[Roi]) -> None:
        """Begin to ask for tiles."""
        self.agenda.add(rois)
        for _ in range(self._gate.limit + SPARE if rois else 0):
            threading.Thread(target=self._work, name="tiler", daemon=True).start()

    def _work(self) -> None:
        while (ask := self.agenda.take()) is not None:
            try:
                self._serve(ask)
            except BaseException as error:  # it would end this thread unseen
                self.agenda.fail(error)

    def _serve(self, ask: TileRequest) -> None:
        with ExitStack() as room:
            room.enter_context(self._gate.memory(_nbytes(ask.roi, self._bands)))
            values = self._request(ask)
            if values is not None and self._journal.keep(ask.roi, values):
                self._figures.add(tiles=1, bytes=values.nbytes)
                self.agenda.arrive(DeliveredTile(ask.roi, values, room.pop_all()))

    def _request(self, ask: TileRequest) -> NDArray[np.float32] | None:
        """The pixels; None where there are none now, and the agenda knows what comes next."""
        with self._gate.request() as started:
            if self.agenda.stopped:
                return None
            self._figures.add(requests=1)
            try:
                values = self._fetch(ask.roi)
            except LandslideError:
                raise
            except Exception as error:
                self._mend(ask, error, started)
                return None
            self._answered()
        return _checked(values, ask.roi, self._bands)

    def _answered(self) -> None:
        with self._lock:
            self._failures, self._failing_since = 0, math.inf
        self._gate.succeeded()

    def _mend(self, ask: TileRequest, error: Exception, started: float) -> None:
        judgement = classify(error)
        if judgement.verdict is ErrorKind.PERMANENT:
            raise SourceError(
                f"Earth Engine refuses {_name(ask.roi)}: {redact(error)}. Mend that and run the same command again: the "
                "tiles that have been delivered are kept"
            ) from error
        if judgement.verdict is ErrorKind.TOO_LARGE:
            self._answered()  # it is up, and not overrun
            self._halve(ask.roi, error)
        else:
            self._retry(ask, judgement, error, started)

    def _halve(self, roi: Roi, error: Exception) -> None:
        if max(_size(roi)) // 2 < SMALLEST:
            raise SourceError(
                f"Earth Engine finds even {_name(roi)} too heavy: {redact(error)}. Export by way of a bucket (`export: "
                "{method: bucket}`), where Google computes without these limits, or shorten the case's windows"
            ) from error
        log.info("%s is too heavy and is asked for in halves: %s", _name(roi), redact(error))
        self._figures.add(splits=1)
        self._journal.split(roi)
        self.agenda.replace(list(halves(roi)))

    def _retry(self, ask: TileRequest, judgement: Classification, error: Exception, started: float) -> None:
        ask.tries += 1
        self._figures.retry(judgement.kind)
        self._give_up_in_time(ask, judgement, error)
        delay = self._patience.delay(ask.tries) if judgement.wait is None else judgement.wait
        rounds = self._gate.failed(started, judgement.overload)
        if judgement.wait is not None:
            self._gate.pause(judgement.wait)
        elif rounds:  # as many failures in a row as there are slots: it is not this tile, it is the service
            self._gate.pause(self._patience.delay(rounds))
        log.info("%s again in %.1f s, after %d tries: %s", _name(ask.roi), delay, ask.tries, redact(error))
        self.agenda.again(ask, delay)

    def _give_up_in_time(self, ask: TileRequest, judgement: Classification, error: Exception) -> None:
        with self._lock:
            self._failures += 1
            self._failing_since = min(self._failing_since, time.monotonic())
            silent = time.monotonic() - self._failing_since
            hopeless = silent >= self._patience.silence and self._failures >= self._patience.tries
        if hopeless or (judgement.wait or 0.0) > self._patience.silence:
            asks = f" and asks to wait {judgement.wait:.0f} s" if judgement.wait else ""
            raise ServiceError(
                f"Earth Engine has delivered nothing for {silent:.0f} s{asks}; {_name(ask.roi)} failed "
                f"{ask.tries} times: {redact(error)}. Run the same command later: it goes on from here"
            ) from error


def _checked(values: NDArray[np.float32], roi: Roi, bands: int) -> NDArray[np.float32]:
    """The fetched pixels; SourceError if they are not what was asked for, as the grid would be filled with nonsense."""
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
    return 2 * bands * math.prod(_size(roi)) * FLOAT


def _name(roi: Roi) -> str:
    rows, columns = roi
    return f"the tile of rows {rows.start}–{rows.stop} and columns {columns.start}–{columns.stop}"
