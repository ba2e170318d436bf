"""Prepared cases to the training store."""

from pathlib import Path

from landslide.artifacts.store import Request
from landslide.datasets.stack import Stack
from landslide.datasets.training_store import tile
from tasks.stage import obtain, path, stage


@stage(name="tile", task_run_name="tile")
def tile_cases(
    request: Request, store: Path, bands: list[str], cases: dict[str, list[dict[str, str]]]
) -> dict[str, str]:
    """The tiles of the prepared cases of each role."""
    stacks = {role: [Stack.open(path(case, store)) for case in group] for role, group in cases.items()}
    return obtain(request, store, lambda folder: tile(bands, stacks, folder))
