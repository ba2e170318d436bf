"""The flow that trains and scores an experiment.

Results are in `<store>/results/<experiment>/`: `report.html`, and for each band set a folder with `metrics.json`,
`curve.csv`, figures and the folder `ensemble`.
"""

import shutil
from pathlib import Path
from typing import Annotated

import yaml
from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from pydantic import Field

from flows.evaluate_ensemble import predict_cases
from flows.prepare_cases import Stacks, prepare_cases
from flows.training.grid import Engine, check_engine, train_grid
from flows.training.shards import MAX_SHARDS
from flows.ui import show_scores
from landslide.artifacts.atomic import atomic_file
from landslide.artifacts.publish import deliver, published
from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.cases.case import Case
from landslide.datasets.leakage import AuditCases, refuse_duplicates
from landslide.datasets.normalisation import Normalisation
from landslide.datasets.stack import open_stack
from landslide.datasets.training_store import TileCases, Tiles
from landslide.ensembles.ensemble import SCORES_FILE, AssembleEnsemble, EnsembleInfo, ensemble_members, rank
from landslide.ensembles.predictions import CasePredictions
from landslide.ensembles.select import (
    MIN_VALIDATION_CASES,
    PAPER,
    Choice,
    Rules,
    Selection,
    SelectMembers,
    resolve_selector,
)
from landslide.errors import InputError
from landslide.evaluation.ablation import sizes, write_answer
from landslide.evaluation.report import html, model_card
from landslide.evaluation.report.study_figures import draw_sizes_of_all
from landslide.evaluation.results import METRICS, EvaluateEnsemble, EvaluationReport
from landslide.experiment import Experiment, load_experiment
from landslide.models.architectures import check_encoder
from landslide.models.member import TrainedMember
from landslide.sources.base import layer_of
from landslide.training.devices import choose_device
from landslide.training.records import trained_member
from tasks.assemble import assemble_ensemble
from tasks.audit import audit_cases
from tasks.evaluate import evaluate_members
from tasks.select import select_members
from tasks.stage import run
from tasks.tile import tile_cases

REPORT, SIZES = "report.html", "sizes"
Roles = dict[str, list[Case]]


@flow(name="train-ensemble", flow_run_name="train {experiment.stem}")
def train_ensemble(
    experiment: Path,
    store: Path,
    dask: str | None = None,
    workers: Annotated[int, Field(ge=1)] | None = None,
    shards: Annotated[int, Field(ge=1, le=MAX_SHARDS)] | None = None,
) -> dict[str, Path]:
    """Train and score an experiment, on this machine, a Dask cluster, or in runs of the deployment `train-shard`.

    Args:
        experiment: The experiment file.
        store: The folder of artifacts.
        dask: The address of a Dask scheduler, or the full name of a cluster class.
        workers: The number of workers of such a class.
        shards: The number of runs of the deployment.

    Returns:
        The folder of results of each band set.
    """
    settings, roles = load_experiment(experiment)
    return train_groups(
        settings, {str(role): group for role, group in roles.items()}, store, Engine(dask, workers, shards)
    )


def train_groups(settings: Experiment, groups: Roles, store: Path, engine: Engine) -> dict[str, Path]:
    """Train and score an experiment within a flow.

    Args:
        settings: The experiment.
        groups: Its cases by role.
        store: The folder of artifacts.
        engine: Where members train.

    Returns:
        The folder of results of each band set.
    """
    check_encoder(settings.encoder)
    artifacts = ArtifactStore.at(store)
    check_engine(settings, engine, artifacts)
    prepared = prepare_cases([case for group in groups.values() for case in group], store)
    stacks = {role: {case.id: prepared[case.id] for case in group} for role, group in groups.items()}
    refuse_missing_layers(settings, prepared, artifacts)
    refuse_leakage(settings, stacks, artifacts)
    learning = {role: stacks[role] for role in ("train", "validation")}
    tiles = run(tile_cases, TileCases(bands=settings.all_bands, stacks=learning), artifacts)
    members = train_grid(settings, tiles, artifacts, engine)
    results = {name: rank_band_set(settings, name, tiles, members[name], stacks, store) for name in members}
    write_report(settings, results, store)
    return results


def refuse_missing_layers(settings: Experiment, prepared: Stacks, store: ArtifactStore) -> None:
    """InputError with the first case that lacks a band of a band set, and the reason."""
    for case, artifact in prepared.items():
        info = open_stack(artifact, store).info
        for band_set, bands in settings.band_sets.items():
            if lacking := [band for band in bands if band not in info.bands]:
                why = info.missing.get(layer_of(lacking[0]), "its source has none")
                raise InputError(
                    f"experiment {settings.id}: the band set {band_set} needs {lacking}, which case {case} lacks "
                    f"({why}). Leave out the case or the band set, or give the case a source with these bands"
                )


def refuse_leakage(settings: Experiment, stacks: dict[str, Stacks], store: ArtifactStore) -> None:
    """Run the leakage audit within a flow; InputError if pixels of one role are repeated in another."""
    artifact = run(audit_cases, AuditCases(bands=settings.all_bands, stacks=stacks), store)
    audit = refuse_duplicates(store.path(artifact))
    get_run_logger().info("leakage audit: %s", audit.summary())


@flow(name="rank-band-set", flow_run_name="rank {band_set}")
def rank_band_set(
    settings: Experiment,
    band_set: str,
    tiles: Artifact,
    members: list[Artifact],
    stacks: dict[str, Stacks],
    store: Path,
) -> Path:
    """Assemble the ensemble of a band set on the validation cases and score it on the test cases, if there are any.

    Args:
        settings: The experiment.
        band_set: The name of the band set.
        tiles: The training store.
        members: The finished members.
        stacks: The stacks of each role, by case id.
        store: The folder of artifacts.

    Returns:
        The folder of results.
    """
    artifacts = ArtifactStore.at(store)
    ranked = rank([trained_member(member.key, artifacts.path(member)) for member in members])
    _show_ranking(f"members-{settings.id}-{band_set}", ranked)
    name, bands, device = f"{settings.id}-{band_set}", settings.band_sets[band_set], choose_device(settings.device)
    normalisation = Tiles(artifacts.path(tiles)).normalisation(bands)

    def predicted(role: str) -> dict[str, CasePredictions]:
        return predict_cases(stacks[role], ranked, bands, normalisation, device, artifacts)

    selection = _select(settings, name, ranked, predicted("validation"), artifacts)
    choice = selection.of(resolve_selector(settings.selection, len(stacks["validation"])))
    _warn_of_few(name, choice, len(stacks["validation"]))
    info, chosen = _describe(settings, band_set, normalisation, choice, ranked, stacks)
    ensemble = run(assemble_ensemble, AssembleEnsemble(info=info, members=tuple(chosen)), artifacts)
    scores = None
    if stacks["test"]:
        choices = (choice, *(other for other in selection.choices if other.selector != choice.selector))
        stage = EvaluateEnsemble(ensemble=name, members=tuple(ranked), cases=predicted("test"), choices=choices)
        scores = artifacts.path(run(evaluate_members, stage, artifacts))
    folder = store / "results" / settings.id / band_set
    _publish(folder, info, artifacts.path(ensemble), scores)
    if scores:
        show_scores(f"scores-{info.name}", info.name, folder)
    return folder


def _show_ranking(key: str, ranked: list[TrainedMember]) -> None:
    table = [
        {"rank": number, "member": member.spec.name, "validation F1": round(member.validation_f1 or 0.0, 3)}
        for number, member in enumerate(ranked, 1)
    ]
    create_table_artifact(key=key, table=table, description="Members, ranked on validation")


def _select(
    settings: Experiment,
    name: str,
    ranked: list[TrainedMember],
    validation: dict[str, CasePredictions],
    store: ArtifactStore,
) -> Selection:
    rules = Rules(
        size=settings.ensemble_size, calibration=settings.calibration, threshold=settings.threshold, seed=settings.seed
    )
    keys = tuple(member.key for member in ranked)
    stage = SelectMembers(experiment=name, members=keys, cases=validation, rules=rules)
    return Selection.read(store.path(run(select_members, stage, store)))


def _warn_of_few(name: str, choice: Choice, validating: int) -> None:
    if choice.selector != PAPER and validating < MIN_VALIDATION_CASES:
        get_run_logger().warning(
            "%s: weights, calibration and threshold come from %d validation case(s) and may not hold on other events. "
            "Let %d or more validate, or choose `selection: paper`", name, validating, MIN_VALIDATION_CASES,
        )  # fmt: skip


def _describe(
    settings: Experiment,
    band_set: str,
    normalisation: Normalisation,
    choice: Choice,
    ranked: list[TrainedMember],
    stacks: dict[str, Stacks],
) -> tuple[EnsembleInfo, list[TrainedMember]]:
    """The ensemble's description, and its members in the order of rank."""
    chosen = [member for member in ranked if member.key in choice.weights]
    info = EnsembleInfo(
        name=f"{settings.id}-{band_set}", band_set=band_set, bands=settings.band_sets[band_set],
        normalisation=normalisation, selector=choice.selector, scale=choice.scale, calibration=choice.calibration,
        threshold=choice.threshold, confidence=choice.confidence, crop=settings.crop,
        members=ensemble_members(chosen, [choice.weights[member.key] for member in chosen]),
        cases={role: list(cases) for role, cases in stacks.items()},
    )  # fmt: skip
    return info, chosen


def _publish(folder: Path, info: EnsembleInfo, ensemble: Path, scores: Path | None) -> None:
    with published(folder) as draft:
        deliver(ensemble, draft / "ensemble")
        if scores:
            deliver(scores, draft)
            shutil.copy2(scores / METRICS, draft / "ensemble" / SCORES_FILE)
        model_card.write(draft / "ensemble", info, EvaluationReport.read(scores) if scores else None)


def write_report(settings: Experiment, results: dict[str, Path], store: Path) -> None:
    """Write `report.html` and the best ensemble sizes over all band sets; nothing without test cases."""
    found = {name: folder for name, folder in results.items() if (folder / METRICS).exists()}
    if not found:
        return
    folder, title = store / "results" / settings.id, settings.title or settings.id
    reports = {name: EvaluationReport.read(results) for name, results in found.items()}
    figures = {name: {figure.name: figure for figure in results.glob("*.png")} for name, results in found.items()}
    answers, picture = sizes(reports), folder / f"{SIZES}.png"
    write_answer(answers, SIZES, folder)
    draw_sizes_of_all(answers, title, picture)
    with atomic_file(folder / REPORT) as draft:
        html.write(draft, title, reports, figures, _reproduce(settings), picture)


def _reproduce(settings: Experiment) -> str:
    stated = yaml.safe_dump(settings.model_dump(mode="json", exclude_defaults=True), sort_keys=False)
    return f"# experiment.yaml\n{stated}\nlandslide train experiment.yaml --store STORE"
