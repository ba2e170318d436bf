"""The demo: simulate a world, train an ensemble on some of its events, and map an event of the test split.

With `earthengine` the scenes come from a simulated Earth Engine on loopback, through the unmodified client.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from prefect import flow

from flows.map_event import map_event
from flows.training.train_ensemble import train_ensemble
from landslide.cases.case import Case, load_case
from landslide.evaluation.results import EvaluationReport
from landslide.mapping.summary import SUMMARY, MapSummary
from landslide.simulation.world import World, simulate_world

EVENTS, SIZE, SEED = 6, 320, 7


def run_demo(out: Path, source: str = "stac") -> dict[str, Any]:
    """Run the demo into `out` and return its main figures. A second run takes all results from the store."""
    out.mkdir(parents=True, exist_ok=True)
    world = simulate_world(out / "world", EVENTS, SIZE, SEED)
    if source == "stac":
        return _run(world, out)
    with earth_engine(world) as simulated:
        return _run(simulated, out / "earthengine")


def _run(world: World, out: Path) -> dict[str, Any]:
    event = load_case(world.cases[-1])
    folders = scenes_to_maps(world.experiment, [event], out / "store", out / "map")
    report = EvaluationReport.read(folders["results"])
    summary = MapSummary.model_validate_json((folders[event.id] / SUMMARY).read_text())
    return {
        "event": event.title,
        "test F1 of the ensemble": report.pooled.f1,
        "test F1 of its median member": report.median_member_f1,
        "test F1 of the best dNDVI threshold": report.baseline_dndvi and report.baseline_dndvi.pooled.f1,
        "members": report.size,
        "landslides mapped": summary.landslides,
        "results": folders["results"],
        "map": folders[event.id],
        "report of the experiment": folders["results"].parent / "report.html",
        "report": folders[event.id] / "report.html",
    }


@contextmanager
def earth_engine(world: World) -> Iterator[World]:
    """Serve the world's scenes from a simulated Earth Engine; yields the world with `source: earthengine`."""
    from landslide.simulation.earthengine import serve
    from landslide.sources.earthengine.session import URL

    before = os.environ.get(URL)
    with serve(world.folder) as service:
        os.environ[URL] = service.url
        try:
            yield service_cases(world)
        finally:
            os.environ.pop(URL)
            if before is not None:
                os.environ[URL] = before


def service_cases(world: World) -> World:
    """Copy the world's cases and experiment, with `source: earthengine`."""
    folder = world.folder.parent / "earthengine"
    shutil.rmtree(folder / "cases", ignore_errors=True)
    (folder / "cases").mkdir(parents=True)
    cases = []
    for path in world.cases:
        case = yaml.safe_load(path.read_text()) | {"source": "earthengine"}
        for name in ("inventory", "cover"):
            case[name]["path"] = str((path.parent / case[name]["path"]).resolve())
        cases.append(folder / "cases" / path.name)
        cases[-1].write_text(yaml.safe_dump(case, sort_keys=False))
    experiment = folder / world.experiment.name
    shutil.copy(world.experiment, experiment)
    return World(folder, world.catalog, cases, experiment)


@flow(name="scenes-to-maps", flow_run_name="scenes to maps, {experiment.stem}")
def scenes_to_maps(experiment: Path, events: list[Case], store: Path, out: Path) -> dict[str, Path]:
    """Train an experiment and map events with its last band set's ensemble.

    Args:
        experiment: The experiment file.
        events: The cases to map.
        store: The folder of artifacts.
        out: The folder for the maps.

    Returns:
        The folder of results as `results`, and the folder of each map by case id.
    """
    results = train_ensemble(experiment, store)
    last = list(results)[-1]
    maps = {case.id: map_event(case, results[last] / "ensemble", out / case.id, store) for case in events}
    return {"results": results[last], **maps}
