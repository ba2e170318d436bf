"""A listener to progress."""

from collections.abc import Iterator
from contextlib import contextmanager

from landslide.progress import Update


class Heard:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.totals: dict[str, float] = {}
        self.last: tuple[float, str] | None = None

    @contextmanager
    def __call__(self, description: str, total: float) -> Iterator[Update]:
        self.totals[description] = total
        yield self._update

    def _update(self, done: float, note: str) -> None:
        self.last = done, note
