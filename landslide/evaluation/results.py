"""The evaluate stage: scores of ranked members on labelled cases, as `metrics.json`, `curve.csv` and three figures."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landslide.evaluation.figures import draw_curve, draw_performance, draw_sizes
from landslide.store import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from landslide.evaluation.curves import Evaluation, Ranked, Scored

VERSION = 2
METRICS, CURVE = "metrics.json", "curve.csv"


def evaluate_request(
    members: Sequence[str], bands: Sequence[str], normalisation: Mapping[str, Any], threshold: float, size: int,
    cases: Mapping[str, str],
) -> Request:  # fmt: skip
    """What an evaluation depends on: the members' keys in order, and the prepared cases' keys by id."""
    inputs = {f"member-{rank:02d}": key for rank, key in enumerate(members, 1)}
    inputs |= {f"case/{name}": key for name, key in cases.items()}
    parameters = {"bands": list(bands), "normalisation": dict(normalisation), "threshold": threshold, "size": size}
    return Request(stage="evaluate", version=VERSION, parameters=parameters, inputs=inputs)


def write_results(evaluation: Evaluation, members: Sequence[Ranked], title: str, folder: Path) -> None:
    """Write the five files into a folder."""
    (folder / METRICS).write_text(json.dumps(document(evaluation, members), indent=1))
    with (folder / CURVE).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["kind", "k", "member", "case", "precision", "recall", "f1", "iou", "mcc", "tp", "fp", "fn", "tn"]
        )
        for kind, rows in (("ensemble", evaluation.curve), ("member", evaluation.members)):
            for k, (row, member) in enumerate(zip(rows, members, strict=True), 1):
                writer.writerows([kind, k, member.name, *line] for line in _lines(row))
    draw_curve(evaluation, title, folder / "curve.png")
    draw_performance(evaluation, title, folder / "performance.png")
    draw_sizes(evaluation, title, folder / "sizes.png")


def _lines(scored: Scored) -> list[list[Any]]:
    pooled = ["pooled", *scored.pooled.scores().values()]
    return [pooled, *([name, *counts.scores().values()] for name, counts in scored.cases.items())]


def document(evaluation: Evaluation, members: Sequence[Ranked]) -> dict[str, Any]:
    """`metrics.json`: the delivered ensemble first, then what it stands beside."""
    baseline = evaluation.baseline
    return {
        "size": evaluation.size,
        **evaluation.curve[evaluation.size - 1].document(),
        **evaluation.delivered.document(),
        "observed": evaluation.observed,
        "median_member_f1": evaluation.median_member_f1(),
        "baseline_dndvi": baseline
        and {"threshold": baseline[0], "f1": baseline[1].pooled.f1, **baseline[1].document()},
        "curve": [{"k": k, **row.document()} for k, row in enumerate(evaluation.curve, 1)],
        "members": [
            {
                "rank": rank,
                "name": member.name,
                "validation_f1": member.validation_f1,
                "f1": row.pooled.f1,
                **row.document(),
            }
            for rank, (member, row) in enumerate(zip(members, evaluation.members, strict=True), 1)
        ],
    }
