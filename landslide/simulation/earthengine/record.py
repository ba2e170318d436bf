"""What was asked of the loopback: counts, concurrency, tiles."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Asked:
    """A computePixels request: its number, where its grid lies (x and y of the corner), its width and height, workload
    tag, and the status it was answered with (0: the connection was cut; None: under way)."""

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
    """Counters of a server, safe to read while it runs: requests by route, `computes` so far that took computing, and
    `most` that ever computed at once."""

    routes: Counter[str] = field(default_factory=Counter)
    computes: int = 0
    most: int = 0
    _current: int = 0
    _pixels: list[Asked] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, route: str) -> None:
        with self._lock:
            self.routes[route] += 1

    def asked(self, request: Asked) -> None:
        with self._lock:
            self._pixels.append(request)

    def tiles(self) -> list[Asked]:
        """The computePixels requests so far, in order of arrival."""
        with self._lock:
            return list(self._pixels)

    @contextmanager
    def computing(self) -> Iterator[tuple[int, int]]:
        """While a request computes: its number (from 1) and how many compute with it."""
        with self._lock:
            self.computes += 1
            self._current += 1
            self.most = max(self.most, self._current)
            number, current = self.computes, self._current
        try:
            yield number, current
        finally:
            with self._lock:
                self._current -= 1
