"""The model card of an ensemble, inside its folder: for people as `card.md`, for machines as `card.json`.

It is made from the ensemble's description and its evaluation alone, so the same ensemble has the same card.
"""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landslide.artifacts.atomic import write_text
from landslide.bands import BANDS
from landslide.evaluation.report.html import COVER, false_alarms
from landslide.plotting.html import environment

if TYPE_CHECKING:
    from landslide.ensembles.ensemble import EnsembleInfo
    from landslide.evaluation.results import EvaluationReport

TEXT, DATA, TEMPLATE = "card.md", "card.json", "model_card.md"
METHOD = "heterogeneous ensembles of segmentation models, arXiv:2310.05959"
USE = (
    "Map landslides that an event has triggered, from Sentinel-1, Sentinel-2 or terrain before and after it, for "
    "people who then check the places on better images or on the ground."
)
NOT_FOR = (
    "Forecasts, hazard or susceptibility: it detects changes that have happened.",
    "Showing that a place is safe: what was not observed, is small or looks like something else is not on its map.",
    "Depth, volume or the cause of a landslide; slow movements that leave the land cover as it was.",
    "Decisions about people or property without a check by someone who knows the place.",
)
LIMITS = (
    "Small and narrow landslides are missed most: a pixel is 10 m wide.",
    "Clearings, harvested fields, floods and melting snow can look like landslides.",
    "Other regions, seasons, triggers or sensor geometries than those of the training cases may be mapped worse.",
    "Probabilities that are calibrated on these events need not be where landslides are rarer.",
)
ROLES = ("train", "validation", "test")


def write(folder: Path, info: EnsembleInfo, report: EvaluationReport | None) -> None:
    """Write both files into an ensemble's folder; `report` is None before an evaluation."""
    content = card(info, report)
    write_text(folder / DATA, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", durable=False)
    template = environment(Path(__file__).parent, autoescape=False).get_template(TEMPLATE)
    write_text(folder / TEXT, template.render(card=content).strip() + "\n", durable=False)


def card(info: EnsembleInfo, report: EvaluationReport | None) -> dict[str, Any]:
    """The content of both files, as JSON."""
    return {
        "name": info.name,
        "licence": licence(),
        "method": METHOD,
        "intended_use": USE,
        "not_for": list(NOT_FOR),
        "band_set": info.band_set,
        "bands": _bands(info),
        "members": _members(info),
        "cases": {role: sorted(info.cases.get(role, [])) for role in dict.fromkeys((*ROLES, *info.cases))},
        "crop": info.crop,
        "selection": {"selector": info.selector, "scale": info.scale},
        "calibration": info.calibration and info.calibration.model_dump(mode="json"),
        "threshold": info.threshold,
        "confidence_from": info.confidence and info.confidence.model_dump(),
        "scores": report and _scores(report),
        "limits": {"known": list(LIMITS), "measured": report and _measured(report)},
    }


def licence() -> str | None:
    """The licence of the software, from the package's metadata; None where it is not installed."""
    try:
        fields = metadata("landslide")
    except PackageNotFoundError:
        return None
    return fields["License-Expression"] or fields["License"]


def _bands(info: EnsembleInfo) -> list[dict[str, Any]]:
    """Each band with its unit and method, and the mean and deviation that it is normalised by."""
    by = info.normalisation
    return [
        {"name": name, "unit": BANDS[name].unit, "method": BANDS[name].method, "mean": mean, "std": deviation}
        for name, mean, deviation in zip(info.bands, by.mean, by.std, strict=True)
    ]


def _members(info: EnsembleInfo) -> list[dict[str, Any]]:
    return [
        {
            "rank": rank,
            **member.spec.model_dump(include={"architecture", "loss", "learning_rate", "encoder", "seed"}),
            "weight": member.weight,
            "validation_f1": member.validation_f1,
        }
        for rank, member in enumerate(info.members, 1)
    ]


def _scores(report: EvaluationReport) -> dict[str, Any]:
    """Scores on the test cases with their intervals."""
    baseline = report.baseline_dndvi
    return {
        "cases": sorted(report.cases),
        "pixels": {
            name: {"value": getattr(report.pooled, name), **getattr(report.intervals, name).model_dump()}
            for name in ("f1", "precision", "recall", "iou", "mcc")
        },
        "average_precision": report.average_precision,
        "objects": [one.model_dump(mode="json", exclude={"sizes"}) for one in report.objects],
        "calibration_error": report.reliability
        and {"before": report.reliability.before.ece, "after": report.reliability.after.ece},
        "confidence": [one.model_dump() for one in report.confidence or ()],
        "baseline_dndvi_f1": baseline and baseline.pooled.f1,
    }


def _measured(report: EvaluationReport) -> dict[str, Any]:
    """The share of the test cases that counted, and false alarms by land cover."""
    cover = false_alarms(report.slices.get(COVER, {}))
    return {
        "observed": report.share_observed,
        "observed_by_case": dict(sorted(report.observed.items())),
        "false_alarms_m2_per_km2": {row.label: round(row.m2_per_km2, 1) for row in cover},
    }
