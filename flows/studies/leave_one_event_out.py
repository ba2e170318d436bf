"""Leave one event out: every event that has an inventory is tested once, by an ensemble that never saw it.

The cases are prepared once; tiles, members and ensembles are a fold's own. The folder `leave-one-out` of the
experiment's results holds `events.json`, `events.csv` and `events.png`; each fold's results lie under its own name.
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
FEWEST_EVENTS = 3  # events: one to test, one to validate, one to teach


@flow(name="leave-one-event-out", flow_run_name="leave one event of {experiment.stem} out")
def leave_one_out(experiment: Path, store: Path) -> Path:
    """Train and score an experiment as often as it has events; the folder of the table.

    As many of the other events validate as the experiment has validation cases: those that follow in the list.
    """
    settings, roles = load_experiment(experiment)
    cases = [case for group in roles.values() for case in group if case.inventory is not None]
    if len(cases) < FEWEST_EVENTS:
        raise InputError(
            f"{experiment}: leaving one event out takes {FEWEST_EVENTS} with an inventory, it has {len(cases)}"
        )
    folds = [_fold(settings, cases, place, len(roles["validation"])) for place in range(len(cases))]
    for _, groups in folds:
        refuse_dependent(groups, settings, experiment)  # cases of one role may stand on two sides of a fold
    results: dict[str, dict[str, Path]] = {}
    for case, (fold, groups) in zip(cases, track(folds, "Leaving out"), strict=True):
        results[case.id] = train_groups(fold, groups, store, LOCAL)
    folder = store / "results" / settings.id / FOLDER
    held_out = {band_set: _held_out(band_set, results) for band_set in settings.band_sets}
    table = rows(held_out)
    with published(folder) as draft:
        write(held_out, table, settings.title or settings.id, draft)
    show_answer(f"{FOLDER}-{settings.id}", "Each event, left out", folder / "events.png", table)
    return folder


def _fold(
    settings: Experiment, cases: list[Case], place: int, validating: int
) -> tuple[Experiment, dict[str, list[Case]]]:
    """The experiment that tests one case."""
    following = [*cases[place + 1 :], *cases[:place]]
    validating = min(validating, len(following) - 1)
    groups = {"train": following[validating:], "validation": following[:validating], "test": [cases[place]]}
    return settings.under(f"{FOLDER}-{cases[place].id}", split=None), groups


def _held_out(band_set: str, results: dict[str, dict[str, Path]]) -> CrossValidation:
    folds = {event: EvaluationReport.read(folders[band_set]) for event, folders in results.items()}
    return CrossValidation.of(folds)


def write(held_out: dict[str, CrossValidation], table: list[dict[str, object]], title: str, folder: Path) -> None:
    """The table as JSON and CSV, and its picture."""
    document = {band_set: one.document() for band_set, one in held_out.items()}
    (folder / "events.json").write_text(json.dumps(document, indent=1))
    with (folder / "events.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    draw_events(held_out, f"{title}: each event left out", folder / "events.png")


def rows(held_out: dict[str, CrossValidation]) -> list[dict[str, object]]:
    """A row for each band set and event, and one for all events of a band set pooled."""
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
