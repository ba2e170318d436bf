"""Leave-one-event-out cross-validation: every event with an inventory is the test case of one fold.

The cases are prepared once; each fold has its own tiles, members and ensembles. The folder `leave-one-out` of the
experiment's results has `events.json`, `events.csv` and `events.png`; each fold has a folder of results.
"""

import csv
import json
from pathlib import Path

from prefect import flow

from flows.training.grid import LOCAL
from flows.training.train_ensemble import train_groups
from flows.ui import show_answer
from landslide.artifacts.publish import published
from landslide.cases.case import Case
from landslide.errors import InputError
from landslide.evaluation.cross_validation import CrossValidation
from landslide.evaluation.report.study_figures import draw_events
from landslide.evaluation.results import Bounds, EvaluationReport, Scores
from landslide.experiment import Experiment, load_experiment, refuse_dependent
from landslide.progress import track

FOLDER = "leave-one-out"
MIN_EVENTS = 3  # one each for training, validation and testing


@flow(name="leave-one-event-out", flow_run_name="leave one event of {experiment.stem} out")
def leave_one_out(experiment: Path, store: Path) -> Path:
    """Train and score one fold per event; returns the folder of the table.

    The next events in the list are for validation, as many as the experiment has validation cases.
    """
    settings, roles = load_experiment(experiment)
    cases = [case for group in roles.values() for case in group if case.inventory is not None]
    if len(cases) < MIN_EVENTS:
        raise InputError(
            f"{experiment}: leaving one event out takes {MIN_EVENTS} with an inventory, it has {len(cases)}"
        )
    folds = [_fold(settings, cases, index, len(roles["validation"])) for index in range(len(cases))]
    for _, groups in folds:
        refuse_dependent(groups, settings, experiment)  # cases of one role may be in two roles of a fold
    results: dict[str, dict[str, Path]] = {}
    for case, (fold, groups) in zip(cases, track(folds, "Leaving out"), strict=True):
        results[case.id] = train_groups(fold, groups, store, LOCAL)
    folder = store / "results" / settings.id / FOLDER
    held_out = {
        band_set: CrossValidation.of({event: EvaluationReport.read(fold[band_set]) for event, fold in results.items()})
        for band_set in settings.band_sets
    }
    table = _rows(held_out)
    with published(folder) as draft:
        _write(held_out, table, settings.title or settings.id, draft)
    show_answer(f"{FOLDER}-{settings.id}", "Each event, left out", folder / "events.png", table)
    return folder


def _fold(
    settings: Experiment, cases: list[Case], index: int, validating: int
) -> tuple[Experiment, dict[str, list[Case]]]:
    """The experiment and the cases by role of the fold that tests one case."""
    following = [*cases[index + 1 :], *cases[:index]]
    validating = min(validating, len(following) - 1)
    groups = {"train": following[validating:], "validation": following[:validating], "test": [cases[index]]}
    return settings.under(f"{FOLDER}-{cases[index].id}", split=None), groups


def _write(held_out: dict[str, CrossValidation], table: list[dict[str, object]], title: str, folder: Path) -> None:
    document = {band_set: one.document() for band_set, one in held_out.items()}
    (folder / "events.json").write_text(json.dumps(document, indent=1))
    with (folder / "events.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    draw_events(held_out, f"{title}: each event left out", folder / "events.png")


def _rows(held_out: dict[str, CrossValidation]) -> list[dict[str, object]]:
    """One row for each band set and event, and one for all events of a band set pooled."""
    found: list[dict[str, object]] = []
    for band_set, folds in held_out.items():
        found += [
            _row(band_set, name, event.scores, event.paper, event.interval) | {"observed": event.observed}
            for name, event in folds.events.items()
        ]
        found.append(_row(band_set, "pooled", folds.pooled, folds.paper, folds.events_interval) | {"observed": None})
    return found


def _row(band_set: str, event: str, scores: Scores, paper: Scores, interval: Bounds | None) -> dict[str, object]:
    low, high = interval or (None, None)
    return {
        "band set": band_set, "event": event, "F1": scores.f1, "low": low, "high": high,
        "precision": scores.precision, "recall": scores.recall, "published selector F1": paper.f1,
    }  # fmt: skip
