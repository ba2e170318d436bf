"""The record of requests: counts, concurrency, tiles."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class TileRecord:
    """One computePixels request.

    `translate` is (x, y) of the grid's upper left corner, `dimensions` its (width, height) in pixels, `tag` the
    workload tag; `started` and `ended` are monotonic seconds. `status` is that of the reply: 0 if the connection was
    closed, None while the request runs.
    """

    number: int
    translate: tuple[float, float]
    dimensions: tuple[int, int]
    tag: str | None
    started: float
    ended: float | None = None
    status: int | None = None
    message: str | None = None


@dataclass
class Record:
    """Thread-safe counters of a server.

    `routes` counts the requests by route, `computations` those that were computed, `max_concurrent` the most that were
    computed at the same time.
    """

    routes: Counter[str] = field(default_factory=Counter)
    computations: int = 0
    max_concurrent: int = 0
    _current: int = 0
    _tiles: list[TileRecord] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, route: str) -> None:
        with self._lock:
            self.routes[route] += 1

    def add_tile(self, request: TileRecord) -> None:
        with self._lock:
            self._tiles.append(request)

    def tiles(self) -> list[TileRecord]:
        """The computePixels requests so far, in the order of their arrival."""
        with self._lock:
            return list(self._tiles)

    @contextmanager
    def computing(self) -> Iterator[tuple[int, int]]:
        """Count a request as computed during the context: yields its number (from 1) and the number running now."""
        with self._lock:
            self.computations += 1
            self._current += 1
            self.max_concurrent = max(self.max_concurrent, self._current)
            number, current = self.computations, self._current
        try:
            yield number, current
        finally:
            with self._lock:
                self._current -= 1
