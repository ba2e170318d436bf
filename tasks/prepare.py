"""Scenes to stack and label."""

from pathlib import Path

from landslide.cases import Case
from landslide.sources import open_source
from landslide.stack import prepare
from landslide.store import Request
from tasks.stage import obtain, stage


@stage(name="prepare", task_run_name="prepare {case.id}")
def prepare_case(request: Request, store: Path, case: Case) -> dict[str, str]:
    """The prepared case of one event."""
    return obtain(request, store, lambda folder: prepare(case, open_source(case), folder))
