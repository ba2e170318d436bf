"""Predictions of validation cases to ways of choosing members."""

from pathlib import Path

from landslide.artifacts.store import Request
from landslide.ensembles.select import Rules, select
from tasks.predict import Shelf, open_library
from tasks.stage import obtain, stage


@stage(name="select", task_run_name="select {title}")
def select_members(
    request: Request, store: Path, title: str, members: list[str], shelves: dict[str, Shelf], rules: Rules
) -> dict[str, str]:
    """Weights, calibration, threshold of every way; `members` are keys in the order of rank."""
    return obtain(request, store, lambda folder: select(open_library(members, shelves, store), rules, folder))
