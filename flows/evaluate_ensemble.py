"""A trained ensemble on cases that have an inventory."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from prefect import flow

from flows.prepare_cases import References, prepare_cases
from flows.ui import show_scores
from landslide.artifacts.store import file_digest
from landslide.cases.case import Case
from landslide.datasets.normalisation import Normalisation
from landslide.ensembles.ensemble import Ensemble
from landslide.ensembles.select import Choice
from landslide.ensembles.selectors import effective
from landslide.evaluation.results import evaluate_request
from landslide.models.member import TrainedMember
from landslide.training.devices import choose_device
from tasks.evaluate import evaluate_members
from tasks.predict import Shelf, predict_case
from tasks.stage import path, submit


@flow(name="evaluate-ensemble", flow_run_name="evaluate {ensemble}")
def evaluate_ensemble(ensemble: Path, cases: list[Case], store: Path) -> Path:
    """Scores of the ensemble as it is, and at every size; the folder of `metrics.json`, `curve.csv` and figures."""
    opened = Ensemble.open(ensemble)
    info = opened.info
    prepared = prepare_cases(cases, store)
    members = [
        TrainedMember(file_digest(ensemble / voter.file), voter.spec, voter.validation_f1, ensemble / voter.file)
        for voter in info.members
    ]
    shelves = predict_cases(prepared, members, info.bands, info.normalisation, choose_device("auto"), store)
    folder = score(info.name, members, shelves, [as_delivered(opened, members)], store)
    show_scores("evaluation", info.name, folder)
    return folder


def as_delivered(ensemble: Ensemble, members: Sequence[TrainedMember]) -> Choice:
    """What an ensemble's folder says, as a choice of its members."""
    info = ensemble.info
    weights = np.array([voter.weight for voter in info.members])
    weights = weights / weights.sum()
    keys = [member.key for member in members]
    return Choice(
        selector=info.selector, scale=info.scale, weights=dict(zip(keys, weights.tolist(), strict=True)),
        calibration=info.calibration, threshold=info.threshold, confidence=info.confidence,
        effective=effective(weights),
    )  # fmt: skip


def predict_cases(
    cases: References,
    members: Sequence[TrainedMember],
    bands: tuple[str, ...],
    normalisation: Normalisation,
    device: str,
    store: Path,
) -> dict[str, Shelf]:
    """The library of prepared cases: each member's probabilities, in the order of rank. Within a flow."""
    return {
        case: predict_case(case, reference, members, bands, normalisation, device, store)
        for case, reference in cases.items()
    }


def score(
    title: str, members: Sequence[TrainedMember], shelves: Mapping[str, Shelf], choices: Sequence[Choice], store: Path
) -> Path:
    """Every size of these members, best first, and some choices, on the cases of a library; the artifact's folder."""
    request = evaluate_request(
        title,
        {case: shelf.stack["key"] for case, shelf in shelves.items()},
        {case: shelf.prediction_keys for case, shelf in shelves.items()},
        choices,
    )
    future = submit(
        evaluate_members, request, store, title=title, members=list(members), shelves=dict(shelves),
        choices=list(choices),
    )  # fmt: skip
    return path(future.result(), store)
