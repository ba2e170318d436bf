"""Tiles to one member."""

import shutil
from pathlib import Path
from typing import Any

from prefect import get_run_logger

from landslide.errors import CrashError
from landslide.models import MemberSpec
from landslide.store import Request, Store
from landslide.training.process import Job, run
from landslide.training.records import Schedule
from tasks.stage import obtain, path, stage


def _crashed(_: Any, __: Any, state: Any) -> bool:
    """Whether another attempt may come through: after a crash, and not after a refusal."""
    return isinstance(state.result(raise_on_failure=False), CrashError)


@stage(name="train", task_run_name="train {spec.name}", retries=2, retry_condition_fn=_crashed)
def train_member(
    request: Request, store: Path, spec: MemberSpec, schedule: Schedule, tiles: dict[str, str], device: str
) -> dict[str, str]:
    """One member of the grid, in a process of its own, from its last checkpoint where an attempt was cut off."""
    workspace = Store(store).workspace(request)

    def build(folder: Path) -> None:
        job = Job(
            spec=spec, schedule=schedule, tiles=path(tiles, store), device=device, folder=folder, workspace=workspace
        )
        run(job, get_run_logger().info)

    reference = obtain(request, store, build)
    shutil.rmtree(workspace, ignore_errors=True)
    return reference
