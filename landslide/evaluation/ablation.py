"""Answers to questions about the method, from the `metrics.json` of finished evaluations, and pictures of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Metrics = Mapping[str, Any]
CLOSE = 0.01  # of F1: sizes that no user could tell apart


def options(found: Mapping[str, Metrics]) -> dict[str, Any]:
    """Of each option: the delivered ensemble's F1 with its interval over landslides, and F1 on each event."""
    return {
        name: {
            **{score: metrics["pooled"][score] for score in ("f1", "precision", "recall")},
            "interval": metrics["intervals"]["f1"]["landslides"],
            "average_precision": metrics["average_precision"],
            "events": {case: scores["f1"] for case, scores in metrics["cases"].items()},
            "observed": metrics["observed"],
        }
        for name, metrics in found.items()
    }


def sizes(found: Mapping[str, Metrics]) -> dict[str, Any]:
    """Of each band set: F1 over the number of members, best first, the size at which it is highest, and the same for
    each event; `alike` are the sizes whose F1 is within 0.01 of the highest.
    """
    return {
        name: {
            "curve": [row["pooled"]["f1"] for row in metrics["curve"]],
            "intervals": {row["k"]: row["interval"] for row in metrics["curve"] if row["interval"] is not None},
            **_best([row["pooled"]["f1"] for row in metrics["curve"]]),
            "events": {
                case: _best([row["cases"][case]["f1"] for row in metrics["curve"]]) for case in metrics["cases"]
            },
        }
        for name, metrics in found.items()
    }


def _best(curve: Sequence[float | None]) -> dict[str, Any]:
    values = np.array([value or 0.0 for value in curve])
    alike = np.flatnonzero(values >= values.max() - CLOSE) + 1
    return {"best_size": int(values.argmax()) + 1, "best_f1": float(values.max()), "alike": alike.tolist()}


def clouds(found: Mapping[float, Metrics], landslide_pixels: Mapping[float, Mapping[str, int]]) -> list[dict[str, Any]]:
    """A row for each cloudiness: F1 where the map says anything, F1 where a landslide that was not observed counts as
    missed, and the observed share. `landslide_pixels` are those of each case's label, observed or not.
    """
    rows = []
    for cloudiness, metrics in sorted(found.items()):
        pooled, all_ = metrics["pooled"], sum(landslide_pixels[cloudiness].values())
        shares = list(metrics["observed"].values())
        rows.append({
            "cloudiness": cloudiness,
            "f1_observed": pooled["f1"],
            "interval": metrics["intervals"]["f1"]["landslides"],
            "f1_all": 2 * pooled["tp"] / max(pooled["tp"] + pooled["fp"] + all_, 1),
            "recall_all": pooled["tp"] / all_ if all_ else None,
            "observed": sum(shares) / len(shares),
        })  # fmt: skip
    return rows


def write_answer(answer: Any, name: str, folder: Path) -> None:
    """`<name>.json`."""
    (folder / f"{name}.json").write_text(json.dumps(answer, indent=1))
