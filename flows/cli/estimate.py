"""Estimates of Earth Engine exports: requests, bytes and compute of each layer."""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any

from landslide.cases.case import Case
from landslide.cases.sources import EarthEngineSource
from landslide.errors import InputError
from landslide.progress import track
from landslide.sources.base import LayerRequest
from landslide.sources.earthengine.export.estimate import ALLOWANCES, estimate
from landslide.sources.earthengine.expressions.sentinel2 import scored_share
from landslide.sources.earthengine.source import EarthEngine

__all__ = ["ALLOWANCES", "plan_rows"]

Row = dict[str, Any]


def plan_rows(cases: Sequence[Case]) -> list[Row]:
    """One row per layer. Only scenes are looked up. InputError if no case has an Earth Engine source."""
    chosen = [(case, case.source) for case in cases if isinstance(case.source, EarthEngineSource)]
    if not chosen:
        raise InputError("none of these cases has `source: earthengine`; other sources have no costs to estimate")
    return [row for case, config in track(chosen, "Planning") for row in _rows(case, config)]


def _rows(case: Case, config: EarthEngineSource) -> Iterator[Row]:
    """The rows of a case; a layer that cannot be exported has the reason under `missing`."""
    found = EarthEngine(case, config).find_scenes()
    (grid,) = found.parts.values()
    for request in found.layers.values():
        yield _row(case.id, request, (grid.height, grid.width), config)
    for layer, why in found.missing.items():
        yield {
            "case": case.id, "layer": layer, "size": f"{grid.width} × {grid.height}", "bands": 0, "scenes": 0,
            "scored": None, "method": None, "tiles": 0, "MB": 0, "requests": 0, "EECU-hours": 0.0,
            "of a month": "0.00%", "cap": config.export.eecu_hours, "missing": why,
        }  # fmt: skip


def _row(case: str, request: LayerRequest, shape: tuple[int, int], config: EarthEngineSource) -> Row:
    plan = estimate(request, shape, config.export)
    return {
        "case": case,
        "layer": request.layer,
        "size": f"{plan.width} × {plan.height}",
        "bands": plan.bands,
        "scenes": plan.scenes,
        "scored": f"{scored_share(request.scenes):.0%}" if request.layer == "sentinel2" else None,
        "method": plan.method,
        "tiles": plan.tiles,
        "MB": ceil(plan.bytes / 1e6),
        "requests": plan.requests,
        "EECU-hours": float(f"{plan.eecu_hours:.2g}"),
        "of a month": f"{plan.share_of_allowance:.2%}",
        "cap": config.export.eecu_hours,
        "missing": None,
    }
