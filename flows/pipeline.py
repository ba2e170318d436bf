"""All of it in one run: an experiment's ensembles, then maps of events with the ensemble of one band set."""

from pathlib import Path

from prefect import flow

from flows.map_event import map_event
from flows.train_ensemble import train_ensemble
from landslide.cases import Case


@flow(name="scenes-to-maps", flow_run_name="scenes to maps, {experiment.stem}")
def scenes_to_maps(experiment: Path, events: list[Case], store: Path, out: Path) -> dict[str, Path]:
    """Train an experiment and map events with its last band set's ensemble: the folder of results, and of each map."""
    results = train_ensemble(experiment, store)
    last = list(results)[-1]
    maps = {case.id: map_event(case, results[last] / "ensemble", out / case.id, store) for case in events}
    return {"results": results[last], **maps}
