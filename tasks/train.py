"""Tiles to one member."""

from pathlib import Path

from landslide.models import MemberSpec
from landslide.store import Request
from landslide.tiles import Tiles
from landslide.training import Schedule, train
from tasks.stage import obtain, path, stage


@stage(name="train", task_run_name="train {spec.name}")
def train_member(
    request: Request, store: Path, spec: MemberSpec, schedule: Schedule, tiles: dict[str, str], device: str
) -> dict[str, str]:
    """One member of the grid."""
    return obtain(request, store, lambda folder: train(spec, schedule, Tiles(path(tiles, store)), device, folder))
