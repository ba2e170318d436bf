"""The map of an event by a trained ensemble; an inventory is not needed."""

import base64
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.prepare_cases import prepare_cases
from flows.publish import deliver, published
from landslide.cases import Case
from landslide.ensemble import Ensemble
from landslide.mapping import SUMMARY, MapOptions, MapSummary, map_request
from landslide.stack import Stack
from landslide.training import choose_device
from tasks.map import map_case
from tasks.stage import path, submit


@flow(name="map-event", flow_run_name="map {case.id}")
def map_event(
    case: Case, ensemble: Path, out: Path, store: Path = Path("store"), options: MapOptions = MapOptions()
) -> Path:
    """Map an event into the folder `out`: probability.tif, landslides.gpkg, item.json, quicklook.png, report.html."""
    opened = Ensemble.open(ensemble)
    prepared = prepare_cases([case], store)[case.id]
    opened.check_bands(Stack.open(path(prepared, store)).info.bands, f"case {case.id}")
    request = map_request(prepared["key"], opened.fingerprint(), case.title, options)
    future = submit(
        map_case, request, store,
        case=case, stack=prepared, ensemble=ensemble, options=options, device=choose_device("auto"),
    )  # fmt: skip
    folder = path(future.result(), store)
    with published(out) as draft:
        deliver(folder, draft)
    _show(case, MapSummary.model_validate_json((folder / SUMMARY).read_text()), folder / "quicklook.png", out)
    return out


def _show(case: Case, summary: MapSummary, picture: Path, out: Path) -> None:
    """The map's figures and picture in Prefect's UI."""
    rows = [f"| {name.replace('_', ' ')} | {_cell(value)} |" for name, value in summary.model_dump(mode="json").items()]
    image = base64.b64encode(picture.read_bytes()).decode()
    markdown = "\n".join([
        f"## {case.title or case.id}", "", "| | |", "|---|---|", *rows, "", f"Files: `{out}`", "",
        f"![map](data:image/png;base64,{image})",
    ])  # fmt: skip
    create_markdown_artifact(key=f"map-{case.id}", markdown=markdown, description="Landslide map")


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
