"""How far a piece of work is, in Prefect's UI."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from landslide.progress import Reporter, Update

EVERY = 2.0  # seconds between two updates of what the UI shows


def in_ui(key: str) -> Reporter:
    """A progress artifact under a key, with a word on how it goes."""

    @contextmanager
    def report(description: str, total: float) -> Iterator[Update]:
        artifact = create_progress_artifact(progress=0.0, key=key, description=description)
        told = monotonic()

        def update(done: float, note: str) -> None:
            nonlocal told
            if done >= total or monotonic() - told > EVERY:
                told = monotonic()
                words = f"{description}: {done:.0f} of {total:.0f}{f', {note}' if note else ''}"
                update_progress_artifact(artifact, progress=100 * done / max(total, 1), description=words)  # type: ignore[arg-type]

        yield update

    return report
