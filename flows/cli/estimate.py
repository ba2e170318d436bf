"""What preparing cases will ask of Earth Engine, before anything runs."""

from collections.abc import Sequence
from math import ceil
from typing import Any

from landslide.cases.case import Case
from landslide.cases.sources import EarthEngineSource
from landslide.errors import InputError
from landslide.progress import track
from landslide.sources.earthengine.export.estimate import ALLOWANCES
from landslide.sources.earthengine.source import EarthEngine

__all__ = ["ALLOWANCES", "plan_rows"]

Row = dict[str, Any]


def plan_rows(cases: Sequence[Case]) -> list[Row]:
    """One row a case; InputError where none of them is computed by Earth Engine. Scenes are looked up, no more."""
    chosen = [case for case in cases if isinstance(case.source, EarthEngineSource)]
    if not chosen:
        raise InputError("none of these cases has `source: earthengine`; only there is something to plan")
    return [_row(case, EarthEngine(case, case.source)) for case in track(chosen, "Planning")]  # type: ignore[arg-type]


def _row(case: Case, source: Any) -> Row:
    plan, recipe = source.plan, source.recipe
    sensors = {"S1": recipe.radar, "S2": recipe.optical}
    cap = case.source.export.eecu_hours  # type: ignore[union-attr]
    return {
        "case": case.id,
        "size": f"{plan.width} × {plan.height}",
        "bands": plan.bands,
        **{name: len(found.scenes) if found else 0 for name, found in sensors.items()},
        "scored": f"{recipe.optical.linked:.0%}" if recipe.optical else None,
        "way": plan.method,
        "tiles": plan.tiles,
        "MB": ceil(plan.bytes / 1e6),
        "requests": plan.tiles if plan.method == "tiles" else 1,
        "EECU-hours": float(f"{plan.eecu_hours:.2g}"),
        "of a month": f"{plan.share_of_allowance:.2%}",
        "cap": cap,
    }
