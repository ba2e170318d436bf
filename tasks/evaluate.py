"""Ranked members and labelled cases to scores."""

from pathlib import Path

from landslide.ensemble import Normalisation
from landslide.evaluation.curves import Ranked, evaluate
from landslide.evaluation.results import write_results
from landslide.models import MemberSpec
from landslide.stack import Stack
from landslide.store import Request
from tasks.stage import obtain, path, stage


@stage(name="evaluate", task_run_name="evaluate {title}")
def evaluate_members(
    request: Request,
    store: Path,
    title: str,
    members: list[tuple[MemberSpec, float, Path]],
    cases: list[dict[str, str]],
    normalisation: Normalisation,
    threshold: float,
    size: int,
    device: str,
) -> dict[str, str]:
    """Scores of every ensemble size on prepared cases. `members` are spec, validation F1 and weights, best first."""

    def build(folder: Path) -> None:
        ranked = [Ranked.from_weights(*member, device) for member in members]
        stacks = [Stack.open(path(case, store)) for case in cases]
        evaluation = evaluate(ranked, stacks, members[0][0].bands, normalisation, threshold, size)
        write_results(evaluation, ranked, title, folder)

    return obtain(request, store, build)
