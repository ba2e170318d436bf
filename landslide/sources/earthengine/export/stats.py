"""The cost of an export, for the layer's record, and its progress."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, PrivateAttr

REPORT_SECONDS = 0.2


class ExportStats(BaseModel):
    """What an export took.

    `retries` counts by the label of the error: the status, `connection`, `timeout`, …; `resumed` are tiles of an
    earlier, interrupted run, which are not among `tiles`; `bytes` are those of the pixels delivered.
    """

    tiles: int = 0
    requests: int = 0
    bytes: int = 0
    retries: dict[str, int] = {}
    splits: int = 0
    resumed: int = 0
    seconds: float = 0.0
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    def as_json(self) -> dict[str, Any]:
        """For the layer's record of its export."""
        with self._lock:
            return self.model_dump(mode="json")

    def add(self, **amounts: float) -> None:
        """Add to the named totals, from any thread."""
        with self._lock:
            for name, amount in amounts.items():
                setattr(self, name, getattr(self, name) + amount)

    @property
    def total_retries(self) -> int:
        """Retries of any kind."""
        with self._lock:
            return sum(self.retries.values())

    def retry(self, label: str) -> None:
        """Count one retry, from any thread."""
        with self._lock:
            self.retries[label] = self.retries.get(label, 0) + 1


@dataclass(frozen=True)
class ExportProgress:
    """How far an export is. `done` of `total`: in tiles as first planned, so that halves count for less than one.

    `rate`: requests a second since the export began.
    """

    done: float
    total: int
    bytes: int
    rate: float
    retries: int

    def __str__(self) -> str:
        words = f"{self.bytes / 1e6:.0f} MB, {self.rate:.1f} requests/s"
        return f"{words}, {self.retries} retries" if self.retries else words


class ProgressMeter:
    """Counts what the consumer has been given and reports it, every `REPORT_SECONDS` at most."""

    def __init__(
        self,
        shape: tuple[int, int],
        tiles: int,
        stats: ExportStats,
        progress: Callable[[ExportProgress], None] | None,
    ) -> None:
        self._pixels, self._tiles = shape[0] * shape[1], tiles
        self._stats, self._progress = stats, progress
        self._done = self._reported = 0.0
        self._started = time.monotonic()

    def delivered(self, pixels: int) -> None:
        """The consumer is given so many pixels."""
        self._done += pixels
        self.report()

    def resumed(self, pixels: int) -> None:
        """The consumer is given a tile of so many pixels, from an earlier run."""
        self._stats.add(resumed=1)
        self.delivered(pixels)

    def report(self, last: bool = False) -> None:
        """Report, if it is time to or `last`."""
        now = time.monotonic()
        if self._progress is None or (now - self._reported < REPORT_SECONDS and not last):
            return
        self._reported = now
        self._progress(
            ExportProgress(
                done=self._done / self._pixels * self._tiles,
                total=self._tiles,
                bytes=self._stats.bytes,
                rate=self._stats.requests / max(now - self._started, REPORT_SECONDS),
                retries=self._stats.total_retries,
            )
        )
