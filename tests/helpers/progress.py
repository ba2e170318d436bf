"""A reporter of progress for tests."""

from collections.abc import Iterator
from contextlib import contextmanager

from landslide.progress import Update


class ProgressRecorder:
    """Keeps the total of each piece of work and the notes on it."""

    def __init__(self) -> None:
        self.totals: dict[str, float] = {}
        self.notes: dict[str, list[str]] = {}

    @contextmanager
    def __call__(self, description: str, total: float) -> Iterator[Update]:
        self.totals[description] = total
        notes = self.notes.setdefault(description, [])
        yield lambda done, note: notes.append(note)
