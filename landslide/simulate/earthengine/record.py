"""What was asked of the loopback: counts, concurrency, tiles."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Asked:
    """A computePixels request: its number, where its grid lies (x and y of the corner), its width and height, workload
    tag, and the status it was answered with (0: the connection was cut; None: under way)."""

    number: int
    translate: tuple[float, float]
    dimensions: tuple[int, int]
    crs: str
    tag: str | None
    bands: tuple[str, ...] | None
    status: int | None = None
    message: str | None = None
    started: float = 0.0
    ended: float | None = None


@dataclass(frozen=True)
class Moment:
    """The state at a time (seconds of `time.monotonic`): `busy` is the integral of concurrency up to it, in seconds."""

    time: float
    busy: float
    current: int
    most: int
    computes: int


@dataclass
class Record:
    """Counters of a server, safe to read while it runs."""

    routes: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    pixels: list[Asked] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _current: int = 0
    _most: int = 0
    _computes: int = 0
    _busy: float = 0.0
    _since: float = field(default_factory=time.monotonic)

    def count(self, route: str) -> None:
        with self._lock:
            self.routes[route] += 1

    def answered(self, status: int) -> None:
        with self._lock:
            self.statuses[status] += 1

    def asked(self, request: Asked) -> None:
        with self._lock:
            self.pixels.append(request)

    def tiles(self) -> list[Asked]:
        """The computePixels requests so far, in order of arrival."""
        with self._lock:
            return list(self.pixels)

    @contextmanager
    def computing(self) -> Iterator[tuple[int, int]]:
        """While a request computes: its number (from 1) and how many compute with it."""
        with self._lock:
            self._advance(1)
            self._computes += 1
            self._most = max(self._most, self._current)
            number, current = self._computes, self._current
        try:
            yield number, current
        finally:
            with self._lock:
                self._advance(-1)

    @property
    def current(self) -> int:
        """Requests that compute now."""
        return self._current

    @property
    def most(self) -> int:
        """The most that ever computed at once."""
        return self._most

    @property
    def computes(self) -> int:
        """Requests that compute, so far."""
        return self._computes

    def moment(self) -> Moment:
        """The state now; two of them give the mean concurrency between (`mean_busy`)."""
        with self._lock:
            self._advance(0)
            return Moment(self._since, self._busy, self._current, self._most, self._computes)

    def reset_most(self) -> None:
        """Count the most from now on."""
        with self._lock:
            self._most = self._current

    def summary(self) -> dict[str, Any]:
        """Everything but the tiles, as plain values."""
        with self._lock:
            return {"routes": dict(self.routes), "statuses": dict(self.statuses), "most": self._most,
                    "current": self._current, "computes": self._computes}  # fmt: skip

    def _advance(self, step: int) -> None:
        now = time.monotonic()
        self._busy += self._current * (now - self._since)
        self._since = now
        self._current += step


def mean_busy(before: Moment, after: Moment) -> float:
    """How many requests computed at once between two moments, on average."""
    elapsed = after.time - before.time
    return (after.busy - before.busy) / elapsed if elapsed > 0 else float(after.current)
