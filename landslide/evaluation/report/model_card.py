"""The model card of an ensemble, inside its folder: for people as `card.md`, for machines as `card.json`.

What it says follows from the ensemble's description and its scores alone, so the same ensemble has the same card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from landslide.bands import BANDS
from landslide.evaluation.report import html
from landslide.plotting.html import environment
from landslide.plotting.text import number

TEXT, DATA, TEMPLATE = "card.md", "card.json", "card.md"
METHOD = "heterogeneous ensembles of segmentation models, arXiv:2310.05959"
USE = (
    "Map landslides that an event has triggered, from Sentinel-1, Sentinel-2 or terrain before and after it, for "
    "people who then check the places on better images or on the ground."
)
NOT_FOR = (
    "Forecasts, hazard or susceptibility: it sees changes that have happened.",
    "Telling that a place is safe: what was not observed, is small or looks like something else is not on its map.",
    "Depth, volume or the cause of a slide; slow movements that leave the ground's cover as it was.",
    "Decisions about people or property without a check by someone who knows the ground.",
)
LIMITS = (
    "Small and narrow landslides are missed most: a pixel is 10 m wide.",
    "Clearings, harvested fields, floods and melting snow can look like landslides.",
    "Other regions, seasons, triggers or sensor geometries than those it was trained on may be mapped worse.",
    "Probabilities that are true on these events need not be where landslides are rarer.",
)
DESCRIBED = {
    "name", "band_set", "bands", "normalisation", "threshold", "crop", "members", "cases",
    "way", "scale", "calibration", "confidence",
}  # fmt: skip


def write(folder: Path, info: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> None:
    """Write both files into an ensemble's folder.

    `info` is `EnsembleInfo.model_dump()`; fields that are unknown here are kept as they are. `metrics` is the band
    set's `metrics.json`, None before an evaluation.
    """
    content = card(info, metrics)
    (folder / DATA).write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    template = environment(Path(__file__).parent, autoescape=False).get_template(TEMPLATE)
    (folder / TEXT).write_text(template.render(card=content).strip() + "\n", "utf-8")


def card(info: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    """What both files say, as JSON."""
    scored = metrics if metrics is not None and metrics.get("pooled") else None
    cases = info.get("cases") or {}
    return {
        "name": info.get("name"),
        "licence": licence(),
        "method": METHOD,
        "intended_use": USE,
        "not_for": list(NOT_FOR),
        "band_set": info.get("band_set"),
        "bands": _bands(info),
        "members": _members(info),
        "cases": {
            role: sorted(cases.get(role) or []) for role in dict.fromkeys(("train", "validation", "test", *cases))
        },
        "crop": info.get("crop"),
        "selection": {"way": info.get("way"), "scale": info.get("scale")},
        "calibration": _plain(info.get("calibration")),
        "threshold": info.get("threshold"),
        "confidence_from": _plain(info.get("confidence")),
        "scores": scored and _scores(scored),
        "limits": {"known": list(LIMITS), "measured": _measured(scored or {})},
        "other": {name: _plain(value) for name, value in info.items() if name not in DESCRIBED},
    }


def licence() -> str | None:
    """The software's, as its package says it; None where it is not installed."""
    try:
        fields = metadata("landslide")
    except PackageNotFoundError:
        return None
    return fields["License-Expression"] or fields["License"]


def _bands(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each band with its unit, how it is made, and the mean and deviation that it is normalised by."""
    names, by = info.get("bands") or [], info.get("normalisation") or {}
    means, deviations = (_padded(by.get(key), len(names)) for key in ("mean", "std"))
    rows = []
    for name, mean, deviation in zip(names, means, deviations, strict=True):
        known = BANDS.get(name)
        unit, how = (known.unit, known.how) if known else ("", "")
        rows.append({"name": name, "unit": unit, "how": how, "mean": number(mean), "std": number(deviation)})
    return rows


def _padded(values: Any, length: int) -> list[Any]:
    return [*(values or []), *[None] * length][:length]


def _members(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for rank, voter in enumerate(info.get("members") or [], 1):
        spec = voter.get("spec") or {}
        kept = {name: spec.get(name) for name in ("architecture", "loss", "learning_rate", "encoder", "seed")}
        known = {name: number(voter.get(name)) for name in ("weight", "validation_f1")}
        rows.append({"rank": rank} | kept | known)
    return rows


def _scores(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Scores on the test cases, with intervals where there are any."""
    pooled, intervals = metrics["pooled"], metrics.get("intervals")
    return {
        "cases": sorted(metrics.get("cases") or {}),
        "pixels": {
            name: {
                "value": number(pooled.get(name)),
                **{over: html.interval(intervals, name, over) for over in ("events", "landslides")},
            }
            for name in ("f1", "precision", "recall", "iou", "mcc")
        },
        "average_precision": number(metrics.get("average_precision")),
        "objects": [_objects(row) for row in metrics.get("objects") or []],
        "calibration_error": {
            when: number(((metrics.get("reliability") or {}).get(when) or {}).get("ece"))
            for when in ("before", "after")
        },
        "confidence": [
            {name: row.get(name) for name in ("name", "least", "patches", "real")}
            for row in metrics.get("confidence") or []
        ],
        "baseline_dndvi_f1": number((metrics.get("baseline_dndvi") or {}).get("f1")),
    }


def _objects(row: Mapping[str, Any]) -> dict[str, Any]:
    """Landslides found and false alarms at one share, with the interval of the rate over events or landslides."""
    names = ("share", "landslides", "found", "detection_rate", "patches", "false_alarms", "false_alarm_ratio",
             "half_detected_m2", "area_bias")  # fmt: skip
    rate = {over: html.interval(row.get("intervals"), "detection_rate", over) for over in ("events", "landslides")}
    return {name: row.get(name) for name in names} | {"detection_rate_intervals": rate}


def _measured(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What was not observed, and false alarms by ground; empty where it was not measured."""
    cases, observed = metrics.get("cases") or {}, metrics.get("observed") or {}
    cover = html.false_alarms((metrics.get("slices") or {}).get(html.COVER))
    return {
        "observed": html.seen_share(cases, observed),
        "observed_by_case": {name: observed[name] for name in sorted(observed)},
        "false_alarms_m2_per_km2": {row["label"]: round(row["per_km2"], 1) for row in cover},
    }


def _plain(value: Any) -> Any:
    """A value as JSON has it: no tuples, no paths, None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(name): _plain(some) for name, some in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(some) for some in value]
    if isinstance(value, float):
        return number(value)
    return value if isinstance(value, str | int | None) else str(value)
