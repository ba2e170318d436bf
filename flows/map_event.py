"""The flow that maps an event with a trained ensemble."""

from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.prepare_cases import prepare_cases
from flows.ui import embedded
from landslide.artifacts.publish import deliver, published, refuse_foreign
from landslide.artifacts.store import ArtifactStore
from landslide.cases.case import Case
from landslide.ensembles.ensemble import Ensemble
from landslide.mapping.map_event import MapCase
from landslide.mapping.summary import SUMMARY, MapOptions, MapSummary
from landslide.plotting.text import area, landslides, percent
from landslide.training.devices import choose_device
from tasks.map import map_case
from tasks.stage import run


@flow(name="map-event", flow_run_name="map {case.id}")
def map_event(
    case: Case, ensemble: Path, out: Path, store: Path = Path("store"), options: MapOptions = MapOptions()
) -> Path:
    """Map an event into the folder `out`: probability.tif, landslides.gpkg, item.json, quicklook.png, report.html.

    Args:
        case: The event.
        ensemble: The folder of a trained ensemble.
        out: The folder to write. An earlier map in it is replaced.
        store: The folder of artifacts.
        options: Options such as the minimum mapping unit.
    """
    refuse_foreign(out)
    opened, artifacts = Ensemble.open(ensemble), ArtifactStore.at(store)
    stacks = prepare_cases([case], store)
    opened.check_stacks(stacks, artifacts)
    stage = MapCase.of(case, stacks[case.id], opened, options, choose_device("auto"))
    folder = artifacts.path(run(map_case, stage, artifacts))
    with published(out) as draft:
        deliver(folder, draft)
    _show(case, MapSummary.model_validate_json((folder / SUMMARY).read_text()), folder / "quicklook.png", out)
    return out


def _show(case: Case, summary: MapSummary, picture: Path, out: Path) -> None:
    first, *rows = [f"| {name} | {value} |" for name, value in _figures(summary).items()]
    markdown = "\n".join([
        f"## {case.title or case.id}", "", embedded(picture, f"Map of {case.id}"), "",
        first, "|---|---|", *rows, f"| Files | `{out}` |",
    ])  # fmt: skip
    create_markdown_artifact(key=f"map-{case.id}", markdown=markdown, description=_sentence(summary))


def _sentence(summary: MapSummary) -> str:
    if summary.nothing_observed:
        return "Nothing observed: the map is blank"
    return f"{landslides(summary.landslides)}, {percent(summary.share_observed)} of the area observed"


def _figures(summary: MapSummary) -> dict[str, str]:
    sizes = summary.area_m2
    largest = f"{area(sizes['total'])}, the largest {area(sizes['largest'])}" if summary.landslides else "none"
    seen = {_sensor(name): percent(share) for name, share in summary.seen.items()}
    confidence = ", ".join(f"{n:,} {name}" for name, n in (summary.confidence or {}).items())
    return {
        "Landslides": f"{summary.landslides:,}",
        **({"Confidence": confidence} if confidence else {}),
        "Their area": largest,
        "Observed": f"{percent(summary.share_observed)} of the area of interest, {area(summary.observed_m2)}",
        **seen,
        "Ensemble": f"{summary.ensemble}, {summary.members} members",
        "Threshold": f"probability over {summary.threshold:g}, patches of at least {area(summary.minimum_area_m2)}",
    }


def _sensor(name: str) -> str:
    sensor, _, when = name.partition("_")
    return f"Seen by {sensor.upper()} {'before' if when == 'pre' else 'after'}"
