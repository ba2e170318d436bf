"""Scenes to stack and label."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from time import monotonic

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from landslide.cases import Case
from landslide.progress import Reporter, Update, also_reporting
from landslide.sources import open_source
from landslide.stack import prepare
from landslide.store import Request, Store
from tasks.stage import obtain, stage

HERE = threading.BoundedSemaphore(2)  # cases whose bands are computed on this machine, at once
EVERY = 2.0  # seconds between two updates of what the UI shows


@stage(name="prepare", task_run_name="prepare {case.id}")
def prepare_case(request: Request, store: Path, case: Case) -> dict[str, str]:
    """The prepared case of one event."""
    workspace = Store(store).workspace(request)
    with _turn(case), also_reporting(_artifact(case)):
        reference = obtain(request, store, lambda folder: prepare(case, open_source(case), folder, workspace))
    shutil.rmtree(workspace, ignore_errors=True)
    return reference


def _turn(case: Case) -> AbstractContextManager[object]:
    """Cases that a service computes wait for it, not for this machine's cores, and share its limit of requests."""
    return nullcontext() if case.source.kind == "earthengine" else HERE


def _artifact(case: Case) -> Reporter:
    """The progress of a case in Prefect's UI, with a word on how it goes."""

    @contextmanager
    def report(description: str, total: float) -> Iterator[Update]:
        artifact = create_progress_artifact(progress=0.0, key=f"progress-{case.id}", description=description)
        told = monotonic()

        def update(done: float, note: str) -> None:
            nonlocal told
            if done >= total or monotonic() - told > EVERY:
                told = monotonic()
                words = f"{description}: {done:.0f} of {total:.0f}{f', {note}' if note else ''}"
                update_progress_artifact(artifact, progress=100 * done / max(total, 1), description=words)  # type: ignore[arg-type]

        yield update

    return report
