"""A listener to progress."""

from collections.abc import Iterator
from contextlib import contextmanager

from landslide.progress import Update


class Heard:
    """A reporter that keeps what it is told: the total of each piece of work, and the words on it."""

    def __init__(self) -> None:
        self.totals: dict[str, float] = {}
        self.notes: dict[str, list[str]] = {}

    @contextmanager
    def __call__(self, description: str, total: float) -> Iterator[Update]:
        self.totals[description] = total
        notes = self.notes.setdefault(description, [])
        yield lambda done, note: notes.append(note)
