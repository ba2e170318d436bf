"""A trained ensemble on cases that have an inventory."""

from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.prepare_cases import References, prepare_cases
from landslide.cases import Case
from landslide.ensemble import Ensemble, EnsembleInfo
from landslide.evaluation.results import evaluate_request
from landslide.models import MemberSpec
from landslide.store import file_digest
from landslide.training.devices import choose_device
from tasks.evaluate import evaluate_members
from tasks.stage import path, submit

Member = tuple[str, MemberSpec, float, Path]  # key, spec, validation F1, weights


@flow(name="evaluate-ensemble", flow_run_name="evaluate {ensemble}")
def evaluate_ensemble(ensemble: Path, cases: list[Case], store: Path) -> Path:
    """Scores of the ensemble at every size; the folder with `metrics.json`, `curve.csv` and the figures."""
    info = Ensemble.open(ensemble).info
    prepared = prepare_cases(cases, store)
    members = [
        (file_digest(ensemble / voter.file), voter.spec, voter.validation_f1, ensemble / voter.file)
        for voter in info.members
    ]
    folder = score(info, members, prepared, store, choose_device("auto"))
    create_markdown_artifact(
        key="evaluation", markdown=f"{info.name} on {', '.join(prepared)}: `{folder}`", description="Evaluation"
    )
    return folder


def score(info: EnsembleInfo, members: list[Member], cases: References, store: Path, device: str) -> Path:
    """Every size of an ensemble of these members, best first, on prepared cases; the artifact's folder.

    All members are scored, also those beyond the ensemble's own.
    """
    keys, specs, validation, weights = zip(*members, strict=True)
    size = len(info.members)
    request = evaluate_request(
        keys,
        info.bands,
        info.normalisation.model_dump(mode="json"),
        info.threshold,
        size,
        {name: reference["key"] for name, reference in cases.items()},
    )
    future = submit(
        evaluate_members,
        request,
        store,
        title=info.name,
        members=list(zip(specs, validation, weights, strict=True)),
        cases=list(cases.values()),
        normalisation=info.normalisation,
        threshold=info.threshold,
        size=size,
        device=device,
    )
    return path(future.result(), store)
