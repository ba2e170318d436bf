"""The demonstration: a simulated world, members trained on some of its events, a map of one that none of them saw."""

import json
from pathlib import Path
from typing import Any

from flows.pipeline import scenes_to_maps
from landslide.cases import load_case
from landslide.simulate import simulate_world

EVENTS, SIZE, SEED = 6, 320, 7


def run_demo(out: Path) -> dict[str, Any]:
    """Everything from nothing into `out`; a second run finds all of it done. The figures that matter, by name."""
    out.mkdir(parents=True, exist_ok=True)
    world = simulate_world(out / "world", EVENTS, SIZE, SEED)
    event = load_case(world.cases[-1])
    folders = scenes_to_maps(world.experiment, [event], out / "store", out / "map")
    scores = json.loads((folders["results"] / "metrics.json").read_text())
    summary = json.loads((folders[event.id] / "summary.json").read_text())
    return {
        "event": event.title,
        "test F1 of the ensemble": scores["pooled"]["f1"],
        "test F1 of its median member": scores["median_member_f1"],
        "test F1 of the best dNDVI threshold": scores["baseline_dndvi"]["f1"],
        "members": scores["size"],
        "landslides mapped": summary["landslides"],
        "results": folders["results"],
        "map": folders[event.id],
        "report": folders[event.id] / "report.html",
    }
