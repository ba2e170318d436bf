"""How far a piece of work is, in Prefect's UI."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from time import monotonic

from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate

from landslide.cases.case import Case
from landslide.progress import Reporter, Update, also_reporting

EVERY = 2.0  # seconds between two updates of what the UI shows
LOCAL = threading.BoundedSemaphore(2)  # layers that are computed on this machine at once


@contextmanager
def exporting(case: Case, layer: str) -> Iterator[None]:
    """Show a layer's progress in the UI, and wait for one of two turns where this machine computes it.

    Layers that a service computes wait for the service, and share its limit of requests instead.
    """
    turn = nullcontext() if case.source.kind == "earthengine" else LOCAL
    with turn, also_reporting(in_ui(f"progress-{case.id}-{layer}")):
        yield


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


@contextmanager
def board(key: str, description: str) -> Iterator[Callable[[str], None]]:
    """A page of Markdown under a key that is written anew while work goes on, as often as people look."""
    artifact, written, latest = create_markdown_artifact(markdown="", key=key, description=description), 0.0, ""

    def write() -> None:
        nonlocal written
        written = monotonic()
        client.update_artifact(artifact, ArtifactUpdate(data=latest))  # type: ignore[arg-type]

    def show(markdown: str) -> None:
        nonlocal latest
        latest = markdown
        if monotonic() - written > EVERY:
            write()

    with get_client(sync_client=True) as client:
        try:
            yield show
        finally:
            write()
