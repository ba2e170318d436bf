"""A prepared case and an ensemble to the map's products."""

from pathlib import Path

from landslide.artifacts.store import Request
from landslide.cases.case import Case
from landslide.datasets.stack import Stack
from landslide.ensembles.ensemble import Ensemble
from landslide.mapping.map_event import map_event
from landslide.mapping.summary import MapOptions
from tasks.stage import obtain, path, stage


@stage(name="map", task_run_name="map {case.id}")
def map_case(
    request: Request, store: Path, case: Case, stack: dict[str, str], ensemble: Path, options: MapOptions, device: str
) -> dict[str, str]:
    """The map of a prepared case, under the title that the case has today."""
    prepared = Stack.open(path(stack, store)).of(case)
    return obtain(request, store, lambda folder: map_event(prepared, Ensemble.open(ensemble), folder, options, device))
