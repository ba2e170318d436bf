"""The evaluate stage: scores of ranked members on labelled cases, as `metrics.json`, `curve.csv` and figures."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landslide.evaluation.counts import Counts
from landslide.evaluation.figures import draw_curve, draw_performance, draw_sizes
from landslide.evaluation.gallery import choose, draw
from landslide.evaluation.reliable import draw_reliability
from landslide.store import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from landslide.ensemble import Candidate
    from landslide.evaluation.choosing import Choice
    from landslide.evaluation.curves import Evaluation, Scene, Scored

VERSION = 4
METRICS, CURVE = "metrics.json", "curve.csv"
FEW = 6  # scenes that are all drawn


def evaluate_request(
    title: str, stacks: Mapping[str, str], predictions: Mapping[str, Sequence[str]], choices: Sequence[Choice]
) -> Request:
    """What an evaluation depends on: of each case the prepared case's key and those of the predictions, in the order of
    the members' rank; the choices, of which the first is delivered.
    """
    inputs = {f"case/{name}": key for name, key in stacks.items()}
    inputs |= {f"{case}/{rank:03d}": key for case, keys in predictions.items() for rank, key in enumerate(keys, 1)}
    parameters = {"title": title, "choices": [choice.model_dump(mode="json") for choice in choices]}
    return Request(stage="evaluate", version=VERSION, parameters=parameters, inputs=inputs)


def write_results(evaluation: Evaluation, members: Sequence[Candidate], title: str, folder: Path) -> None:
    """Write the files into a folder; `members` are in the order of rank."""
    (folder / METRICS).write_text(json.dumps(document(evaluation, members), indent=1))
    with (folder / CURVE).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["kind", "k", "member", "case", "precision", "recall", "f1", "iou", "mcc", "tp", "fp", "fn", "tn"]
        )
        for kind, rows in (("ensemble", evaluation.curve), ("member", evaluation.members)):
            for k, (row, member) in enumerate(zip(rows, members, strict=True), 1):
                writer.writerows([kind, k, member.spec.name, *line] for line in _lines(row))
    draw_curve(evaluation, title, folder / "curve.png")
    draw_performance(evaluation, title, folder / "performance.png")
    draw_sizes(evaluation, title, folder / "sizes.png")
    if (reliable := evaluation.delivered.reliability()) is not None:
        before = reliable["before"] if evaluation.chosen.calibration else None
        draw_reliability(before, reliable["after"], title, folder / "reliability.png")
    _draw_gallery(evaluation, folder)


def _draw_gallery(evaluation: Evaluation, folder: Path) -> None:
    """Every scene where there are few, else the best and the worst."""
    scenes = {f"{scene.case}, {scene.part}": scene for scene in evaluation.scenes}
    if len(scenes) <= FEW:
        for scene in evaluation.scenes:
            _draw_scene(evaluation, scene, scene.case, folder / f"gallery-{scene.case}-{scene.part}.png")
        return
    cut = np.float32(evaluation.chosen.threshold)
    scores = {name: Counts.of(one.probability > cut, one.truth, one.valid).f1 for name, one in scenes.items()}
    for kind, names in zip(("best", "worst"), choose(scores, FEW // 2), strict=True):
        for place, name in enumerate(names, 1):
            caption = f"{name}: F1 {scores[name]:.2f}"
            _draw_scene(evaluation, scenes[name], caption, folder / f"gallery-{kind}-{place}.png")


def _draw_scene(evaluation: Evaluation, scene: Scene, caption: str, path: Path) -> None:
    draw(path, scene.image, scene.probability, scene.truth, scene.valid, evaluation.chosen.threshold, caption)


def _lines(scored: Scored) -> list[list[Any]]:
    pooled = ["pooled", *scored.pooled.scores().values()]
    return [pooled, *([name, *counts.scores().values()] for name, counts in scored.cases.items())]


def document(evaluation: Evaluation, members: Sequence[Candidate]) -> dict[str, Any]:
    """`metrics.json`: the delivered ensemble first, then what it stands beside."""
    baseline, chosen = evaluation.baseline, evaluation.chosen
    return {
        "size": evaluation.size,
        "way": chosen.way,
        "scale": chosen.scale,
        "calibration": chosen.calibration and chosen.calibration.model_dump(mode="json"),
        "threshold": chosen.threshold,
        **evaluation.scored.document(),
        **evaluation.delivered.document(),
        "ways": [way.model_dump(mode="json") for way in evaluation.ways],
        "observed": evaluation.observed,
        "median_member_f1": evaluation.median_member_f1(),
        "baseline_dndvi": baseline
        and {"threshold": baseline[0], "f1": baseline[1].pooled.f1, **baseline[1].document()},
        "curve": [
            {"k": k, "interval": evaluation.intervals.get(k), **row.document()}
            for k, row in enumerate(evaluation.curve, 1)
        ],
        "members": [
            {
                "rank": rank,
                "name": member.spec.name,
                "validation_f1": member.validation_f1,
                "f1": row.pooled.f1,
                **row.document(),
            }
            for rank, (member, row) in enumerate(zip(members, evaluation.members, strict=True), 1)
        ],
    }
