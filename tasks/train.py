"""Tiles to one member."""

from pathlib import Path

from landslide.member_process import Job, run
from landslide.models import MemberSpec
from landslide.store import Request
from landslide.training import Schedule
from tasks.stage import obtain, path, stage


@stage(name="train", task_run_name="train {spec.name}")
def train_member(
    request: Request, store: Path, spec: MemberSpec, schedule: Schedule, tiles: dict[str, str], device: str
) -> dict[str, str]:
    """One member of the grid, in a process of its own."""

    def build(folder: Path) -> None:
        run(Job(spec=spec, schedule=schedule, tiles=path(tiles, store), device=device, folder=folder))

    return obtain(request, store, build)
