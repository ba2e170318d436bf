"""The flow that scores a trained ensemble on cases with an inventory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from prefect import flow

from flows.prepare_cases import Stacks, prepare_cases
from flows.ui import show_scores
from landslide.artifacts.stage import file_digest
from landslide.artifacts.store import ArtifactStore
from landslide.cases.case import Case
from landslide.datasets.normalisation import Normalisation
from landslide.ensembles.ensemble import Ensemble
from landslide.ensembles.predictions import CasePredictions
from landslide.ensembles.select import Choice
from landslide.ensembles.selectors import effective_size
from landslide.evaluation.results import EvaluateEnsemble
from landslide.models.member import TrainedMember
from landslide.training.devices import choose_device
from tasks.evaluate import evaluate_members
from tasks.predict import predict_case
from tasks.stage import run


@flow(name="evaluate-ensemble", flow_run_name="evaluate {ensemble}")
def evaluate_ensemble(ensemble: Path, cases: list[Case], store: Path) -> Path:
    """Score the ensemble, also at every size. Returns the folder of `metrics.json`, `curve.csv` and figures."""
    opened, artifacts = Ensemble.open(ensemble), ArtifactStore.at(store)
    info = opened.info
    stacks = prepare_cases(cases, store)
    opened.check_stacks(stacks, artifacts)
    members = [
        TrainedMember(
            key=file_digest(ensemble / member.file), spec=member.spec, validation_f1=member.validation_f1,
            weights=ensemble / member.file,
        )
        for member in info.members
    ]  # fmt: skip
    predictions = predict_cases(stacks, members, info.bands, info.normalisation, choose_device("auto"), artifacts)
    stage = EvaluateEnsemble(
        ensemble=info.name, members=tuple(members), cases=predictions, choices=(as_choice(opened, members),)
    )
    folder = artifacts.path(run(evaluate_members, stage, artifacts))
    show_scores("evaluation", info.name, folder)
    return folder


def as_choice(ensemble: Ensemble, members: Sequence[TrainedMember]) -> Choice:
    """The ensemble's weights, calibration and threshold as a choice."""
    info = ensemble.info
    weights = np.array([member.weight for member in info.members])
    weights = weights / weights.sum()
    keys = [member.key for member in members]
    return Choice(
        selector=info.selector, scale=info.scale, weights=dict(zip(keys, weights.tolist(), strict=True)),
        calibration=info.calibration, threshold=info.threshold, confidence=info.confidence,
        effective=effective_size(weights),
    )  # fmt: skip


def predict_cases(
    stacks: Stacks,
    members: Sequence[TrainedMember],
    bands: tuple[str, ...],
    normalisation: Normalisation,
    device: str,
    store: ArtifactStore,
) -> dict[str, CasePredictions]:
    """Predict cases within a flow; returns the stored predictions by case id.

    Args:
        stacks: The stack of each case.
        members: The members in the order of rank.
        bands: The band set.
        normalisation: The normalisation of the training cases.
        device: Where the networks run.
        store: The store of the predictions.
    """
    return {
        case: predict_case(case, stack, members, bands, normalisation, device, store) for case, stack in stacks.items()
    }
