"""The files of an evaluation: the report, the table of its curve, figures and pictures of scenes."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landslide.evaluation.report.figures import draw_curve, draw_performance, draw_reliability, draw_sizes
from landslide.evaluation.report.gallery import best_and_worst, draw_scene
from landslide.evaluation.results import CURVE, EvaluationReport, Scores
from landslide.metrics.pixel import Counts

if TYPE_CHECKING:
    from landslide.evaluation.evaluate import EvaluatedScene

MAX_SCENES = 6  # of which every one is drawn
COLUMNS = ("precision", "recall", "f1", "iou", "mcc", "tp", "fp", "fn", "tn")


def write_results(report: EvaluationReport, scenes: Sequence[EvaluatedScene], title: str, folder: Path) -> None:
    """Write the files into a folder; `title` is that of the figures."""
    report.write(folder)
    _write_curve(report, folder / CURVE)
    draw_curve(report, title, folder / "curve.png")
    draw_performance(report, title, folder / "performance.png")
    draw_sizes(report, title, folder / "sizes.png")
    if report.reliability is not None:
        before = None if report.calibration is None else report.reliability.before
        draw_reliability(before, report.reliability.after, title, folder / "reliability.png")
    _draw_gallery(scenes, report.threshold, folder)


def _write_curve(report: EvaluationReport, path: Path) -> None:
    """A row for each ensemble size and each member alone, pooled and by case."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["kind", "k", "member", "case", *COLUMNS])
        for kind, rows in (("ensemble", report.curve), ("member", report.members)):
            for row, member in zip(rows, report.members, strict=True):
                for case, scores in {"pooled": row.pooled, **row.cases}.items():
                    writer.writerow([kind, member.rank, member.name, case, *_values(scores)])


def _values(scores: Scores) -> Iterator[Any]:
    return (getattr(scores, name) for name in COLUMNS)


def _draw_gallery(scenes: Sequence[EvaluatedScene], threshold: float, folder: Path) -> None:
    """Every scene if they are few, else the best and the worst by F1."""
    if len(scenes) <= MAX_SCENES:
        for scene in scenes:
            draw_scene(scene, threshold, scene.case, folder / f"gallery-{scene.case}-{scene.part}.png")
        return
    by_name = {f"{scene.case}, {scene.part}": scene for scene in scenes}
    scores = {name: _f1(scene, threshold) for name, scene in by_name.items()}
    for kind, names in zip(("best", "worst"), best_and_worst(scores, MAX_SCENES // 2), strict=True):
        for place, name in enumerate(names, 1):
            caption = f"{name}: F1 {scores[name]:.2f}"
            draw_scene(by_name[name], threshold, caption, folder / f"gallery-{kind}-{place}.png")


def _f1(scene: EvaluatedScene, threshold: float) -> float | None:
    return Counts.of(scene.probability > np.float32(threshold), scene.truth, scene.valid).f1
