"""Scenes to stack and label."""

import shutil
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from landslide.artifacts.store import Request, Store
from landslide.cases.case import Case
from landslide.datasets.stack import prepare
from landslide.progress import also_reporting
from landslide.sources.registry import open_source
from tasks.progress import in_ui
from tasks.stage import obtain, stage

HERE = threading.BoundedSemaphore(2)  # cases whose bands are computed on this machine, at once


@stage(name="prepare", task_run_name="prepare {case.id}")
def prepare_case(request: Request, store: Path, case: Case) -> dict[str, str]:
    """The prepared case of one event."""
    workspace = Store(store).workspace(request)
    with _turn(case), also_reporting(in_ui(f"progress-{case.id}")):
        reference = obtain(request, store, lambda folder: prepare(case, open_source(case), folder, workspace))
    shutil.rmtree(workspace, ignore_errors=True)
    return reference


def _turn(case: Case) -> AbstractContextManager[object]:
    """Cases that a service computes wait for it, not for this machine's cores, and share its limit of requests."""
    return nullcontext() if case.source.kind == "earthengine" else HERE
