"""An experiment: its cases to tiles, the grid of members of each band set, ensembles and their scores.

What a person takes away lies in `<store>/results/<experiment>/`: `report.html`, and for each band set a folder of
`metrics.json`, `curve.csv`, the figures and the folder `ensemble`.
"""

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from pydantic import Field

from flows.audit import refuse_leakage
from flows.evaluate_ensemble import predict_cases, score
from flows.pictures import show_scores
from flows.prepare_cases import References, prepare_cases
from flows.publish import deliver, published
from flows.report import write_report
from flows.train_grid import Engine, check_engine, train_grid
from flows.train_shards import MOST
from landslide.cases import Case
from landslide.ensemble import SCORES, Candidate, EnsembleInfo, assemble_request, rank, voters
from landslide.evaluation import card
from landslide.evaluation.choosing import FEWEST, PAPER, Rules, Selection, decided, select_request
from landslide.evaluation.results import METRICS
from landslide.experiment import Experiment, load_experiment
from landslide.models import check_encoder
from landslide.tiles import Tiles, tile_request
from landslide.training.devices import choose_device
from landslide.training.records import candidate
from tasks.assemble import assemble_ensemble
from tasks.predict import Shelf
from tasks.select import select_members
from tasks.stage import path, submit
from tasks.tile import tile_cases


@flow(name="train-ensemble", flow_run_name="train {experiment.stem}")
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
    return train_groups(
        settings, {str(role): group for role, group in roles.items()}, store, Engine(dask, workers, shards)
    )


def train_groups(settings: Experiment, groups: dict[str, list[Case]], store: Path, engine: Engine) -> dict[str, Path]:
    """Train an experiment on cases by role; the folder of results of each band set. Within a flow."""
    check_encoder(settings.encoder)
    check_engine(settings, engine)
    prepared = prepare_cases([case for group in groups.values() for case in group], store)
    refuse_leakage(settings, groups, prepared, store)
    tiles = _tiles(settings, groups, prepared, store)
    members = train_grid(settings, tiles, store, engine)
    results = {name: rank_band_set(settings, name, tiles, members[name], prepared, groups, store) for name in members}
    write_report(settings, results, store)
    return results


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
    prepared: References,
    groups: dict[str, list[Case]],
    store: Path,
) -> Path:
    """The ensemble of one band set's members, chosen on validation cases, and its scores where there are test cases."""
    ranked = rank([candidate(reference["key"], path(reference, store)) for reference in members])
    create_table_artifact(
        key=f"members-{settings.id}-{band_set}", table=_table(ranked), description="Members, ranked on validation"
    )
    name, bands, device = f"{settings.id}-{band_set}", settings.band_sets[band_set], choose_device(settings.device)
    normalisation = Tiles(path(tiles, store)).normalisation(bands)

    def predicted(role: str) -> dict[str, Shelf]:
        cases = {case.id: prepared[case.id] for case in groups[role]}
        return predict_cases(cases, ranked, bands, normalisation, device, store)

    selection = _select(settings, name, ranked, predicted("validation"), store)
    choice = selection.of(decided(settings.selection, len(groups["validation"])))
    if choice.way != PAPER and len(groups["validation"]) < FEWEST:
        get_run_logger().warning(
            "%s: weights, calibration and threshold come from %d validation case(s) and may not hold on other events. "
            "Let %d or more validate, or choose `selection: paper`", name, len(groups["validation"]), FEWEST,
        )  # fmt: skip
    chosen = [member for member in ranked if member.key in choice.weights]
    info = EnsembleInfo(
        name=name,
        band_set=band_set,
        bands=bands,
        normalisation=normalisation,
        way=choice.way,
        scale=choice.scale,
        calibration=choice.calibration,
        threshold=choice.threshold,
        confidence=choice.confidence,
        crop=settings.crop,
        members=voters(chosen, [choice.weights[member.key] for member in chosen]),
        cases={role: [case.id for case in group] for role, group in groups.items()},
    )
    ensemble = submit(
        assemble_ensemble,
        assemble_request(info, chosen),
        store,
        info=info,
        members=[{"stage": "train", "key": member.key} for member in chosen],
    ).result()
    choices = [choice, *(other for other in selection.choices if other.way != choice.way)]
    scores = score(name, ranked, predicted("test"), choices, store) if groups["test"] else None
    folder = store / "results" / settings.id / band_set
    _publish(folder, info, path(ensemble, store), scores)
    if scores:
        show_scores(f"scores-{info.name}", info.name, folder)
    return folder


def _select(
    settings: Experiment, title: str, ranked: list[Candidate], shelves: dict[str, Shelf], store: Path
) -> Selection:
    """What each way makes of the validation cases."""
    rules = Rules(
        size=settings.ensemble_size, calibration=settings.calibration, threshold=settings.threshold, seed=settings.seed
    )
    request = select_request({case: shelf.prediction_keys for case, shelf in shelves.items()}, rules)
    keys = [member.key for member in ranked]
    future = submit(select_members, request, store, title=title, members=keys, shelves=shelves, rules=rules)
    return Selection.read(path(future.result(), store))


def _publish(folder: Path, info: EnsembleInfo, ensemble: Path, scores: Path | None) -> None:
    with published(folder) as draft:
        deliver(ensemble, draft / "ensemble")
        if scores:
            deliver(scores, draft)
            shutil.copy2(scores / METRICS, draft / "ensemble" / SCORES)
        metrics = json.loads((scores / METRICS).read_text()) if scores else None
        card.write(draft / "ensemble", info.model_dump(mode="json"), metrics)


def _table(ranked: list[Candidate]) -> list[dict[str, Any]]:
    return [
        {"rank": place, "member": member.spec.name, "validation F1": round(member.validation_f1 or 0.0, 3)}
        for place, member in enumerate(ranked, 1)
    ]
