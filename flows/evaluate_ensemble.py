"""A trained ensemble on cases that have an inventory."""

from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.prepare_cases import prepare_cases
from landslide.cases import Case
from landslide.ensemble import Ensemble
from landslide.evaluation.results import evaluate_request
from landslide.store import file_digest
from landslide.training import choose_device
from tasks.evaluate import evaluate_members
from tasks.stage import path, submit


@flow(name="evaluate-ensemble", flow_run_name="evaluate {ensemble}")
def evaluate_ensemble(ensemble: Path, cases: list[Case], store: Path) -> Path:
    """Scores of the ensemble at every size; the folder with `metrics.json`, `curve.csv` and the figures."""
    opened = Ensemble.open(ensemble)
    info = opened.info
    prepared = prepare_cases(cases, store)
    request = evaluate_request(
        [file_digest(ensemble / voter.file) for voter in info.members],
        info.bands,
        info.normalisation.model_dump(mode="json"),
        info.threshold,
        len(info.members),
        {name: reference["key"] for name, reference in prepared.items()},
    )
    future = submit(
        evaluate_members,
        request,
        store,
        title=info.name,
        members=[(voter.spec, voter.validation_f1, ensemble / voter.file) for voter in info.members],
        cases=list(prepared.values()),
        normalisation=info.normalisation,
        threshold=info.threshold,
        size=len(info.members),
        device=choose_device("auto"),
    )
    folder = path(future.result(), store)
    create_markdown_artifact(
        key="evaluation", markdown=f"{info.name} on {', '.join(prepared)}: `{folder}`", description="Evaluation"
    )
    return folder
