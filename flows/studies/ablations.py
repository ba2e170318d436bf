"""Ablation studies: flows that train variants of an experiment and write a table and a figure to `<store>/results/`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

from prefect import flow
from pydantic import Field

from flows.evaluate_ensemble import evaluate_ensemble
from flows.prepare_cases import prepare_cases
from flows.training.grid import LOCAL
from flows.training.train_ensemble import train_groups
from flows.ui import show_answer
from landslide.artifacts.publish import published
from landslide.artifacts.store import ArtifactStore
from landslide.bands import BAND_SETS
from landslide.cases.case import Case, load_case
from landslide.cases.fields import Direction
from landslide.datasets.stack import open_stack
from landslide.ensembles.ensemble import Ensemble
from landslide.errors import InputError
from landslide.evaluation.ablation import clouds, options, write_answer
from landslide.evaluation.report.study_figures import draw_clouds, draw_options
from landslide.evaluation.results import METRICS, EvaluationReport
from landslide.experiment import Experiment, load_experiment
from landslide.simulation.world import simulate_world

CLOUDINESS = (0.0, 0.2, 0.4, 0.6, 0.8)
RADAR = BAND_SETS["s1"]
POLARISATIONS = {
    "vv": tuple(band for band in RADAR if band.startswith("vv")),
    "vh": tuple(band for band in RADAR if band.startswith("vh")),
    "both": RADAR,
}


@flow(name="ablation-polarisation", flow_run_name="VV, VH or both, {experiment.stem}")
def ablate_polarisation(experiment: Path, store: Path) -> Path:
    """Train an experiment's grid on VV alone, VH alone, and both with their ratio."""
    settings, roles = load_experiment(experiment)
    study = settings.under("polarisation", band_sets=POLARISATIONS)
    results = train_groups(study, {str(role): group for role, group in roles.items()}, store, LOCAL)
    return _publish(results, study, "VV, VH or both", store)


@flow(name="ablation-orbits", flow_run_name="ascending, descending or both, {experiment.stem}")
def ablate_orbits(experiment: Path, store: Path) -> Path:
    """Train an experiment's grid on radar scenes of ascending, of descending, and of both orbits."""
    settings, roles = load_experiment(experiment)
    results = {}
    for direction in (*get_args(Direction), None):
        name = direction or "both"
        groups = {str(role): [_with_direction(case, direction) for case in group] for role, group in roles.items()}
        study = settings.under(f"orbits-{name}", band_sets={"s1": RADAR})
        results[name] = train_groups(study, groups, store, LOCAL)["s1"]
    return _publish(results, settings.under("orbits"), "Ascending, descending or both", store)


@flow(name="ablation-clouds", flow_run_name="{ensemble} under clouds")
def ablate_clouds(
    ensemble: Path, world: Path, store: Path, rates: Annotated[Sequence[float], Field(min_length=2)] = CLOUDINESS
) -> Path:
    """Score an ensemble on its test events of a simulated world, simulated again with different cloudiness.

    Args:
        ensemble: The folder of the ensemble.
        world: The simulated world that it was trained on.
        store: The folder of artifacts.
        rates: Mean cloud cover of the scenes, 0 to 1.
    """
    opened = Ensemble.open(ensemble)
    names = opened.info.cases.get("test", [])
    parameters, metrics, pixels = _parameters(world), {}, {}
    for rate in rates:
        made = simulate_world(store / "worlds" / f"{world.name}-cloud-{rate:g}", **parameters, cloudiness=rate)
        cases = [load_case(case) for case in made.cases if case.stem in names]
        if not cases:
            raise InputError(f"{world} has none of {opened.info.name}'s test cases {names}. Give the world it is from")
        pixels[rate] = _landslide_pixels(cases, store)
        metrics[rate] = EvaluationReport.read(evaluate_ensemble(ensemble, cases, store))
    rows = clouds(metrics, pixels)
    folder = store / "results" / f"{opened.info.name}-clouds"
    with published(folder) as draft:
        write_answer(rows, "clouds", draft)
        draw_clouds(rows, f"{opened.info.name} under cloud", draft / "clouds.png")
    show_answer(f"clouds-{opened.info.name}", "Skill over cloudiness", folder / "clouds.png", rows)
    return folder


def _parameters(world: Path) -> dict[str, int]:
    try:
        stated = json.loads((world / "world.json").read_text())["parameters"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{world} is no simulated world ({error}). Give the folder that `landslide simulate` made"
        ) from error
    return {name: stated[name] for name in ("events", "size", "seed")}


def _with_direction(case: Case, direction: Direction | None) -> Case:
    """The case restricted to radar scenes of one orbit direction."""
    source = case.source
    radar = getattr(source, "sentinel1", None)
    if source.kind not in ("stac", "earthengine") or radar is None:
        raise InputError(
            f"case {case.id}: its {source.kind} source has no Sentinel-1 scenes to take one orbit direction of. Leave "
            "it out, or give it a catalogue"
        )
    restricted = source.model_copy(update={"sentinel1": radar.model_copy(update={"direction": direction})})
    return case.model_copy(update={"source": restricted})


def _landslide_pixels(cases: list[Case], store: Path) -> dict[str, int]:
    artifacts = ArtifactStore.at(store)
    stacks = {name: open_stack(artifact, artifacts) for name, artifact in prepare_cases(cases, store).items()}
    return {name: sum(part.landslide_pixels or 0 for part in stack.info.parts) for name, stack in stacks.items()}


def _publish(results: dict[str, Path], study: Experiment, title: str, store: Path) -> Path:
    """Write the comparison as JSON and a figure, and show it in Prefect's UI."""
    missing = [name for name, folder in results.items() if not (folder / METRICS).exists()]
    if missing:
        raise InputError(f"experiment {study.id} has no test case, so {missing} have no score. Give it one")
    answers = options({name: EvaluationReport.read(folder) for name, folder in results.items()})
    folder = store / "results" / study.id / "answer"
    with published(folder) as draft:
        write_answer(answers, "answer", draft)
        draw_options(answers, title, draft / "answer.png")
    columns = ("f1", "precision", "recall", "interval", "average_precision")
    table = [{"option": name, **{k: one[k] for k in columns}} for name, one in answers.items()]
    show_answer(f"answer-{study.id}", title, folder / "answer.png", table)
    return folder
