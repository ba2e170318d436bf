"""An experiment: its cases to tiles, the grid of members of each band set, ensembles and their scores.

What a person takes away lies in `<store>/results/<experiment>/<band set>/`: `metrics.json`, `curve.csv`, `curve.png`,
`performance.png`, `sizes.png` and the folder `ensemble`.
"""

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from pydantic import Field

from flows.evaluate_ensemble import score
from flows.prepare_cases import References, prepare_cases
from flows.publish import deliver, published
from flows.train_grid import Engine, check_engine, train_grid
from flows.train_shards import MOST
from landslide.cases import Case
from landslide.ensemble import SCORES, Candidate, EnsembleInfo, assemble_request, rank, voters
from landslide.evaluation.results import METRICS
from landslide.experiment import Experiment, load_experiment
from landslide.models import check_encoder
from landslide.tiles import Tiles, tile_request
from landslide.training.devices import choose_device
from landslide.training.records import candidate
from tasks.assemble import assemble_ensemble
from tasks.stage import path, submit
from tasks.tile import tile_cases


@flow(name="train-ensemble", flow_run_name="train {experiment}")
def train_ensemble(
    experiment: Path,
    store: Path,
    dask: str | None = None,
    workers: Annotated[int, Field(ge=1)] | None = None,
    shards: Annotated[int, Field(ge=1, le=MOST)] | None = None,
) -> dict[str, Path]:
    """Train an experiment's grid; the folder of results of each band set.

    The members train here; on a Dask cluster, given its address, or its class and how many workers it is asked for; or
    in `shards` runs of the deployment `train-shard`.
    """
    settings, roles = load_experiment(experiment)
    check_encoder(settings.encoder)
    check_engine(settings, engine := Engine(dask, workers, shards))
    prepared = prepare_cases([case for group in roles.values() for case in group], store)
    groups = {str(role): group for role, group in roles.items()}
    tiles = _tiles(settings, groups, prepared, store)
    test = {case.id: prepared[case.id] for case in groups["test"]}
    members = train_grid(settings, tiles, store, engine)
    return {name: rank_band_set(settings, name, tiles, members[name], test, groups, store) for name in members}


def _tiles(settings: Experiment, groups: dict[str, list[Case]], prepared: References, store: Path) -> dict[str, str]:
    cases = {role: [prepared[case.id] for case in groups[role]] for role in ("train", "validation")}
    keys = {role: {case.id: prepared[case.id]["key"] for case in groups[role]} for role in cases}
    request = tile_request(settings.all_bands, keys)
    reference: dict[str, str] = submit(tile_cases, request, store, bands=list(settings.all_bands), cases=cases).result()
    return reference


@flow(name="rank-band-set", flow_run_name="rank {band_set}")
def rank_band_set(
    settings: Experiment,
    band_set: str,
    tiles: dict[str, str],
    members: list[dict[str, str]],
    test: References,
    groups: dict[str, list[Case]],
    store: Path,
) -> Path:
    """The ensemble of one band set's members, and its scores where the experiment has test cases."""
    ranked = rank([candidate(reference["key"], path(reference, store)) for reference in members])
    create_table_artifact(
        key=f"members-{settings.id}-{band_set}", table=_table(ranked), description="Members, ranked on validation"
    )
    normalisation = Tiles(path(tiles, store)).normalisation(settings.band_sets[band_set])
    chosen = ranked[: settings.ensemble_size]
    info = EnsembleInfo(
        name=f"{settings.id}-{band_set}",
        band_set=band_set,
        bands=settings.band_sets[band_set],
        normalisation=normalisation,
        threshold=settings.threshold,
        crop=settings.crop,
        members=voters(chosen),
        cases={role: [case.id for case in group] for role, group in groups.items()},
    )
    ensemble = submit(
        assemble_ensemble,
        assemble_request(info, chosen),
        store,
        info=info,
        members=[{"stage": "train", "key": member.key} for member in chosen],
    ).result()
    voting = [(member.key, member.spec, member.validation_f1 or 0.0, member.weights) for member in ranked]
    scores = score(info, voting, test, store, choose_device(settings.device)) if test else None
    folder = store / "results" / settings.id / band_set
    _publish(folder, path(ensemble, store), scores)
    if scores:
        _report(folder, info.name)
    return folder


def _publish(folder: Path, ensemble: Path, scores: Path | None) -> None:
    with published(folder) as draft:
        deliver(ensemble, draft / "ensemble")
        if scores:
            deliver(scores, draft)
            shutil.copy2(scores / METRICS, draft / "ensemble" / SCORES)


def _table(ranked: list[Candidate]) -> list[dict[str, Any]]:
    return [
        {"rank": place, "member": member.spec.name, "validation F1": round(member.validation_f1 or 0.0, 3)}
        for place, member in enumerate(ranked, 1)
    ]


def _report(folder: Path, name: str) -> None:
    metrics = json.loads((folder / METRICS).read_text())
    lines = [
        f"## {name}: ensemble of {metrics['size']} on the test cases",
        "",
        "| case | F1 | precision | recall |",
    ]
    lines += ["|---|---|---|---|"]
    for case, row in {"pooled": metrics["pooled"], **metrics["cases"]}.items():
        lines.append(f"| {case} | {_number(row['f1'])} | {_number(row['precision'])} | {_number(row['recall'])} |")
    lines += ["", f"Median member: F1 {_number(metrics['median_member_f1'])}.", f"Files: `{folder}`"]
    f1 = f"F1 {_number(metrics['pooled']['f1'])} on test cases"
    create_markdown_artifact(key=f"scores-{name}", markdown="\n".join(lines), description=f1)


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
