"""Progress in Prefect's UI."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from time import monotonic

from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate

from landslide.cases.case import Case
from landslide.progress import Reporter, Update, also_reporting

UPDATE_SECONDS = 2.0  # minimum time between updates of the UI
LOCAL_EXPORTS = threading.BoundedSemaphore(2)  # layers computed on this machine at the same time


@contextmanager
def exporting(case: Case, layer: str) -> Iterator[None]:
    """Show a layer's progress in the UI, and limit concurrent exports that this machine computes.

    Exports of Earth Engine are limited by its number of concurrent requests instead.
    """
    limit = nullcontext() if case.source.kind == "earthengine" else LOCAL_EXPORTS
    with limit, also_reporting(in_ui(f"progress-{case.id}-{layer}")):
        yield


def in_ui(key: str) -> Reporter:
    """A reporter that updates a progress artifact."""

    @contextmanager
    def report(description: str, total: float) -> Iterator[Update]:
        artifact = create_progress_artifact(progress=0.0, key=key, description=description)
        updated = monotonic()

        def update(done: float, note: str) -> None:
            nonlocal updated
            if done >= total or monotonic() - updated > UPDATE_SECONDS:
                updated = monotonic()
                text = f"{description}: {done:.0f} of {total:.0f}{f', {note}' if note else ''}"
                update_progress_artifact(artifact, progress=100 * done / max(total, 1), description=text)  # type: ignore[arg-type]

        yield update

    return report


@contextmanager
def live_page(key: str, description: str) -> Iterator[Callable[[str], None]]:
    """A Markdown artifact to update while work runs, at most every `UPDATE_SECONDS`."""
    artifact, written, latest = create_markdown_artifact(markdown="", key=key, description=description), 0.0, ""

    def write() -> None:
        nonlocal written
        written = monotonic()
        client.update_artifact(artifact, ArtifactUpdate(data=latest))  # type: ignore[arg-type]

    def show(markdown: str) -> None:
        nonlocal latest
        latest = markdown
        if monotonic() - written > UPDATE_SECONDS:
            write()

    with get_client(sync_client=True) as client:
        try:
            yield show
        finally:
            write()
