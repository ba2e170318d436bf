"""The flow from cases to stacks: find scenes, export layers, join them."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.cases.case import Case
from landslide.datasets.layers import EXPORTS, Layer
from landslide.datasets.stack import BuildStack, open_stack
from landslide.sources.base import LayerName, SceneList
from tasks.export_mask import export_mask
from tasks.export_sentinel1 import export_sentinel1
from tasks.export_sentinel2 import export_sentinel2
from tasks.export_terrain import export_terrain
from tasks.find_scenes import find_scenes
from tasks.stack import build_stack
from tasks.stage import submit

Stacks = dict[str, Artifact]
MAX_WORKERS = 10  # concurrent tasks; local exports are limited further in `tasks.progress`
EXPORT_TASKS = {
    "sentinel1": export_sentinel1,
    "sentinel2": export_sentinel2,
    "terrain": export_terrain,
    "mask": export_mask,
}


def _run_name() -> str:
    cases: list[Case] = flow_run.parameters["cases"]
    return f"prepare {cases[0].id}" if len(cases) == 1 else f"prepare {len(cases)} cases"


@flow(name="prepare-cases", flow_run_name=_run_name, task_runner=ThreadPoolTaskRunner(max_workers=MAX_WORKERS))  # type: ignore[arg-type]
def prepare_cases(cases: list[Case], store: Path) -> Stacks:
    """Prepare all cases; returns the stack of each by case id."""
    artifacts = ArtifactStore.at(store)
    searches = [find_scenes.submit(case, artifacts) for case in cases]
    found = [search.result() for search in searches]
    exports = [_export_layers(case, scenes, artifacts) for case, scenes in zip(cases, found, strict=True)]
    stacks: Stacks = {}
    for case, scenes, layers in zip(cases, found, exports, strict=True):
        finished = {name: future.result() for name, future in layers.items()}
        stacks[case.id] = submit(build_stack, BuildStack.of(case, finished, scenes.missing), artifacts).result()
    create_table_artifact(key="layers", table=summary(stacks, artifacts), description="Layers of the prepared cases")
    return stacks


def _export_layers(case: Case, found: SceneList, store: ArtifactStore) -> dict[LayerName, PrefectFuture[Any]]:
    """Submit the exports of a case's layers. Every case has a mask."""
    return {
        name: submit(EXPORT_TASKS[name], export.of(case, found, name), store)
        for name, export in EXPORTS.items()
        if name in found.layers or name == "mask"
    }


def summary(stacks: Stacks, store: ArtifactStore) -> list[dict[str, Any]]:
    """One row per layer: scenes, bands, how much of its least observed band is observed, or why it is missing."""
    rows = []
    for case, artifact in stacks.items():
        stack = open_stack(artifact, store)
        rows += [_row(case, stack.layers[name], stack.info.layers[name]) for name in stack.info.layers]
        for name, why in stack.info.missing.items():
            rows.append(dict.fromkeys(rows[-1]) | {"case": case, "layer": name, "missing": why})
    return rows


def _row(case: str, layer: Layer, artifact: Artifact) -> dict[str, Any]:
    parts = list(layer.info.parts.values())
    shares = [share for part in parts for share in part.observed.values()]
    labelled = [part.landslide_pixels for part in parts if part.landslide_pixels is not None]
    return {
        "case": case,
        "layer": layer.info.layer,
        "size": f"{len(parts)} parts" if len(parts) > 1 else f"{parts[0].grid.width} × {parts[0].grid.height}",
        "scenes": len(layer.info.scenes) or None,
        "bands": len(layer.info.bands) or None,
        "observed": f"{min(shares):.0%}" if shares else None,
        "landslide pixels": sum(labelled) if labelled else None,
        "missing": None,
        "artifact": f"{artifact.stage}/{artifact.key}",
    }
