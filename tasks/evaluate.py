"""Predictions of test cases to scores."""

from pathlib import Path

from landslide.artifacts.store import Request
from landslide.datasets.stack import Stack
from landslide.ensembles.select import Choice
from landslide.evaluation.evaluate import evaluate
from landslide.evaluation.report.files import write_results
from landslide.models.member import TrainedMember
from tasks.predict import Shelf, open_library
from tasks.stage import obtain, path, stage


@stage(name="evaluate", task_run_name="evaluate {title}")
def evaluate_members(
    request: Request,
    store: Path,
    title: str,
    members: list[TrainedMember],
    shelves: dict[str, Shelf],
    choices: list[Choice],
) -> dict[str, str]:
    """Scores of every ensemble size and of some choices, the first of which is delivered; `members` are in the order of
    rank.
    """

    def build(folder: Path) -> None:
        library = open_library([member.key for member in members], shelves, store)
        stacks = {case: Stack.open(path(shelf.stack, store)) for case, shelf in shelves.items()}
        write_results(evaluate(library, stacks, choices), members, title, folder)

    return obtain(request, store, build)
