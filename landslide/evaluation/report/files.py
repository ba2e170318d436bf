"""The files of an evaluation: tables and figures."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landslide.evaluation.report.figures import draw_curve, draw_performance, draw_reliability, draw_sizes
from landslide.evaluation.report.gallery import choose, draw
from landslide.metrics.pixel import Counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from landslide.evaluation.evaluate import EvaluatedScene, Evaluation, Scored
    from landslide.models.member import TrainedMember
from landslide.evaluation.results import CURVE, METRICS, document

FEW = 6  # scenes that are all drawn


def write_results(evaluation: Evaluation, members: Sequence[TrainedMember], title: str, folder: Path) -> None:
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


def _draw_scene(evaluation: Evaluation, scene: EvaluatedScene, caption: str, path: Path) -> None:
    draw(path, scene.image, scene.probability, scene.truth, scene.valid, evaluation.chosen.threshold, caption)


def _lines(scored: Scored) -> list[list[Any]]:
    pooled = ["pooled", *scored.pooled.scores().values()]
    return [pooled, *([name, *counts.scores().values()] for name, counts in scored.cases.items())]
