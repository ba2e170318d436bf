"""An experiment: its cases to tiles, the grid of members of each band set, ensembles and their scores.

What a person takes away lies in `<store>/results/<experiment>/`: `report.html`, and for each band set a folder of
`metrics.json`, `curve.csv`, the figures and the folder `ensemble`.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Annotated, Any

import yaml
from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from pydantic import Field

from flows.evaluate_ensemble import predict_cases, score
from flows.prepare_cases import References, prepare_cases
from flows.training.grid import Engine, check_engine, train_grid
from flows.training.shards import MAX_SHARDS
from flows.ui import show_scores
from landslide.artifacts.publish import deliver, published
from landslide.cases.case import Case
from landslide.datasets.leakage import Audit, audit_request, refuse_duplicates
from landslide.datasets.training_store import Tiles, tile_request
from landslide.ensembles.ensemble import SCORES_FILE, EnsembleInfo, assemble_request, ensemble_members, rank
from landslide.ensembles.select import FEWEST_VALIDATION_CASES, PAPER, Rules, Selection, decided, select_request
from landslide.evaluation.ablation import sizes, write_answer
from landslide.evaluation.report import html, model_card
from landslide.evaluation.report.study_figures import draw_sizes_of_all
from landslide.evaluation.results import METRICS
from landslide.experiment import Experiment, load_experiment
from landslide.models.architectures import check_encoder
from landslide.models.member import TrainedMember
from landslide.training.devices import choose_device
from landslide.training.records import candidate
from tasks.assemble import assemble_ensemble
from tasks.audit import audit_cases
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
    shards: Annotated[int, Field(ge=1, le=MAX_SHARDS)] | None = None,
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
    if choice.selector != PAPER and len(groups["validation"]) < FEWEST_VALIDATION_CASES:
        get_run_logger().warning(
            "%s: weights, calibration and threshold come from %d validation case(s) and may not hold on other events. "
            "Let %d or more validate, or choose `selection: paper`", name, len(groups["validation"]), FEWEST_VALIDATION_CASES,
        )  # fmt: skip
    chosen = [member for member in ranked if member.key in choice.weights]
    info = EnsembleInfo(
        name=name,
        band_set=band_set,
        bands=bands,
        normalisation=normalisation,
        selector=choice.selector,
        scale=choice.scale,
        calibration=choice.calibration,
        threshold=choice.threshold,
        confidence=choice.confidence,
        crop=settings.crop,
        members=ensemble_members(chosen, [choice.weights[member.key] for member in chosen]),
        cases={role: [case.id for case in group] for role, group in groups.items()},
    )
    ensemble = submit(
        assemble_ensemble,
        assemble_request(info, chosen),
        store,
        info=info,
        members=[{"stage": "train", "key": member.key} for member in chosen],
    ).result()
    choices = [choice, *(other for other in selection.choices if other.selector != choice.selector)]
    scores = score(name, ranked, predicted("test"), choices, store) if groups["test"] else None
    folder = store / "results" / settings.id / band_set
    _publish(folder, info, path(ensemble, store), scores)
    if scores:
        show_scores(f"scores-{info.name}", info.name, folder)
    return folder


def _select(
    settings: Experiment, title: str, ranked: list[TrainedMember], shelves: dict[str, Shelf], store: Path
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
            shutil.copy2(scores / METRICS, draft / "ensemble" / SCORES_FILE)
        metrics = json.loads((scores / METRICS).read_text()) if scores else None
        model_card.write(draft / "ensemble", info.model_dump(mode="json"), metrics)


def _table(ranked: list[TrainedMember]) -> list[dict[str, Any]]:
    return [
        {"rank": place, "member": member.spec.name, "validation F1": round(member.validation_f1 or 0.0, 3)}
        for place, member in enumerate(ranked, 1)
    ]


def refuse_leakage(settings: Experiment, groups: dict[str, list[Case]], prepared: References, store: Path) -> Audit:
    """The audit of the prepared cases by role; InputError where pixels of one role are repeated in another.

    The audit stays in the store either way. To be called within a flow.
    """
    cases = {role: [prepared[case.id] for case in group] for role, group in groups.items()}
    keys = {role: {case.id: prepared[case.id]["key"] for case in group} for role, group in groups.items()}
    request = audit_request(settings.all_bands, keys)
    reference = submit(audit_cases, request, store, bands=list(settings.all_bands), cases=cases).result()
    audit = refuse_duplicates(path(reference, store))
    get_run_logger().info("leakage audit: %s", audit.summary())
    return audit


REPORT, SIZES = "report.html", "sizes"


def write_report(settings: Experiment, results: dict[str, Path], store: Path) -> None:
    """Both into the experiment's folder of results, from the folder of each band set; nothing without test cases."""
    found = {name: folder for name, folder in results.items() if (folder / METRICS).exists()}
    if not found:
        return
    folder, title = store / "results" / settings.id, settings.title or settings.id
    documents = {name: json.loads((one / METRICS).read_text()) for name, one in found.items()}
    figures = {name: {picture.name: picture for picture in one.glob("*.png")} for name, one in found.items()}
    answers, picture = sizes(documents), folder / f"{SIZES}.png"
    write_answer(answers, SIZES, folder)
    draw_sizes_of_all(answers, title, picture)
    draft = folder / f".{REPORT}"
    html.write(draft, title, documents, figures, _reproduce(settings), picture)
    os.replace(draft, folder / REPORT)


def _reproduce(settings: Experiment) -> str:
    """The experiment's file and the command."""
    stated = yaml.safe_dump(settings.model_dump(mode="json", exclude_defaults=True), sort_keys=False)
    return f"# experiment.yaml\n{stated}\nlandslide train experiment.yaml --store STORE"
