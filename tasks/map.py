"""A prepared case and an ensemble to the map's products."""

from pathlib import Path

from landslide.ensemble import Ensemble
from landslide.mapping import MapOptions, map_event
from landslide.stack import Stack
from landslide.store import Request
from tasks.stage import obtain, path, stage


@stage(name="map", task_run_name="map with {ensemble.name}")
def map_case(
    request: Request, store: Path, case: dict[str, str], ensemble: Path, options: MapOptions, device: str
) -> dict[str, str]:
    """The map of a prepared case."""
    stack = Stack.open(path(case, store))
    return obtain(request, store, lambda folder: map_event(stack, Ensemble.open(ensemble), folder, options, device))
