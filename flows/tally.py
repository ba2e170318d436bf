"""How far a grid is, for people: members done, failed, the best so far, the time left."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic

from flows.entries import Entry
from landslide.store import Store
from landslide.training.records import candidate


class Tally:
    """What is known of a grid on its way."""

    def __init__(self, entries: Sequence[Entry], store: Path) -> None:
        self._store = Store(store)
        self._started = monotonic()
        self._there = {entry.name for entry in entries if self._store.path(entry.request).exists()}
        self._left = sum(entry.member.cost for entry in entries if entry.name not in self._there)
        self._done = 0.0  # cost of the members trained in this run
        self._failed = 0
        self._best = (0.0, "")

    def add(self, entry: Entry, finished: bool) -> None:
        """A member has ended."""
        if entry.name not in self._there:
            self._done += entry.member.cost
            self._left -= entry.member.cost
        if not finished:
            self._failed += 1
            return
        score = candidate(entry.request.key, self._store.path(entry.request)).validation_f1
        self._best = max(self._best, (score or 0.0, entry.name))

    def __str__(self) -> str:
        words = [f"{self._failed} failed"] if self._failed else []
        if self._best[1]:
            words.append(f"best F1 {self._best[0]:.3f} {self._best[1]}")
        if self._done and self._left > 0:
            seconds = round((monotonic() - self._started) * self._left / self._done)
            words.append(f"about {timedelta(seconds=seconds)} left")
        return ", ".join(words)
