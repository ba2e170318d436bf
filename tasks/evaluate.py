"""Predictions of test cases to scores."""

from pathlib import Path

from landslide.ensemble import Candidate
from landslide.evaluation.choosing import Choice
from landslide.evaluation.curves import evaluate
from landslide.evaluation.results import write_results
from landslide.stack import Stack
from landslide.store import Request
from tasks.predict import Shelf, open_library
from tasks.stage import obtain, path, stage


@stage(name="evaluate", task_run_name="evaluate {title}")
def evaluate_members(
    request: Request,
    store: Path,
    title: str,
    members: list[Candidate],
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
