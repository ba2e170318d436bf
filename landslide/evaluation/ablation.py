"""Tables of ablation studies, from the reports of finished evaluations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from landslide.artifacts.atomic import write_text
from landslide.evaluation.results import EvaluationReport

TOLERANCE = 0.01  # of F1: a difference between sizes that does not matter


def options(reports: Mapping[str, EvaluationReport]) -> dict[str, Any]:
    """Of each option: the delivered ensemble's F1 with its interval over landslides, and F1 on each event."""
    return {
        name: {
            "f1": report.pooled.f1,
            "precision": report.pooled.precision,
            "recall": report.pooled.recall,
            "interval": report.intervals.f1.landslides,
            "average_precision": report.average_precision,
            "events": {case: scores.f1 for case, scores in report.cases.items()},
            "observed": report.observed,
        }
        for name, report in reports.items()
    }


def sizes(reports: Mapping[str, EvaluationReport]) -> dict[str, Any]:
    """Of each band set: F1 over the number of members, best first, the size at which it is highest, and the same for
    each event; `alike` are the sizes whose F1 is within 0.01 of the highest.
    """
    return {
        name: {
            "curve": [row.pooled.f1 for row in report.curve],
            "intervals": {row.k: row.interval for row in report.curve if row.interval is not None},
            **_best([row.pooled.f1 for row in report.curve]),
            "events": {case: _best([row.cases[case].f1 for row in report.curve]) for case in report.cases},
        }
        for name, report in reports.items()
    }


def _best(curve: Sequence[float | None]) -> dict[str, Any]:
    values = np.array([value or 0.0 for value in curve])
    alike = np.flatnonzero(values >= values.max() - TOLERANCE) + 1
    return {"best_size": int(values.argmax()) + 1, "best_f1": float(values.max()), "alike": alike.tolist()}


def clouds(
    reports: Mapping[float, EvaluationReport], landslide_pixels: Mapping[float, Mapping[str, int]]
) -> list[dict[str, Any]]:
    """A row for each cloudiness: F1 where the map says anything, F1 where a landslide that was not observed counts as
    missed, and the observed share. `landslide_pixels` are those of each case's label, observed or not.
    """
    rows = []
    for cloudiness, report in sorted(reports.items()):
        pooled, landslides = report.pooled, sum(landslide_pixels[cloudiness].values())
        shares = list(report.observed.values())
        rows.append({
            "cloudiness": cloudiness,
            "f1_observed": pooled.f1,
            "interval": report.intervals.f1.landslides,
            "f1_all": 2 * pooled.tp / max(pooled.tp + pooled.fp + landslides, 1),
            "recall_all": pooled.tp / landslides if landslides else None,
            "observed": sum(shares) / len(shares),
        })  # fmt: skip
    return rows


def write_answer(answer: Any, name: str, folder: Path) -> None:
    """Write `<name>.json`."""
    write_text(folder / f"{name}.json", json.dumps(answer, indent=1), durable=False)
