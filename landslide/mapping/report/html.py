"""The report of a map: one HTML file for people on duty, which opens offline: pictures inline, no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_hex
from pyproj import CRS, Transformer

from landslide.cases.fields import When
from landslide.ensembles.ensemble import SCORES_FILE
from landslide.evaluation.results import EvaluationReport
from landslide.mapping.report import layers
from landslide.plotting import blend, text
from landslide.plotting.html import data_uri, environment

if TYPE_CHECKING:
    import geopandas as gpd
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from landslide.datasets.stack import Stack
    from landslide.ensembles.ensemble import Ensemble
    from landslide.mapping.report.layers import Layers
    from landslide.mapping.summary import MapSummary
    from landslide.sources.base import Scene

LISTED = 10
RADAR, OPTICAL = "Sentinel-1 (radar)", "Sentinel-2 (optical)"
SENSORS = {"s1": RADAR, "s2": OPTICAL, "sentinel-1": RADAR, "sentinel-2": OPTICAL, "dem": "Terrain model"}
SIDES: Mapping[When, str] = {"pre": "before", "post": "after"}


@dataclass(frozen=True)
class Acquisitions:
    """The scenes of one sensor on one side of the event: how many, their days, orbits and range of clouds."""

    sensor: str
    side: str
    count: int
    days: list[str]
    orbits: str
    clouds: str


def write(
    path: Path, stack: Stack, ensemble: Ensemble, summary: MapSummary, found: gpd.GeoDataFrame, view: Layers
) -> None:
    """Write the report of a map.

    Args:
        path: The HTML file.
        stack: Of the case.
        ensemble: That made the map; the report says how it did on its test cases, where it has been evaluated.
        summary: Of the map.
        found: The landslides, largest first.
        view: The layers of the map at picture size.
    """
    page = environment(Path(__file__).parent).get_template("report.html")
    scores = _scores(ensemble)
    html = page.render(
        summary=summary,
        case=stack.info.case,
        where=_where(view.grid, stack),
        when=_when(stack),
        pictures=_pictures(view),
        ramp=_ramp(),
        most_seen=layers.most_seen(view),
        seen=_seen(summary),
        acquisitions=_acquisitions(stack.info.scenes),
        histogram=histogram(found["area_m2"].to_numpy()),
        largest=_largest(found),
        scores=scores,
        members=_member_scores(scores),
        ensemble=ensemble.info,
        fingerprint=ensemble.fingerprint()[:12],
    )
    path.write_text(html, encoding="utf-8")


def _where(grid: GeoBox, stack: Stack) -> dict[str, Any]:
    footprint = grid.footprint("EPSG:4326")
    west, south, east, north = footprint.boundingbox.bbox
    longitude, latitude = footprint.centroid.coords[0]
    part = stack.info.parts[0]
    return {
        "place": text.place(grid),
        "bounds": f"{west:.4f}°, {south:.4f}° to {east:.4f}°, {north:.4f}°",
        "crs": f"{CRS(str(grid.crs)).name} ({grid.crs})",
        "pixels": f"{part.width:,} × {part.height:,}",
        "pixel": f"{abs(grid.affine.a) * grid.shape.x / part.width:g}",
        "x": round(longitude + 180, 2),
        "y": round(90 - latitude, 2),
    }


def _when(stack: Stack) -> dict[str, str]:
    """The event's day and its windows; a window whose scenes have no date is not given the case's dates."""
    case = stack.info.case
    windows: dict[str, str] = {}
    for side in SIDES:
        scenes = [scene for scene in stack.info.scenes if scene.side == side]
        undated = bool(scenes) and not any(scene.date for scene in scenes)
        windows[side] = "images without a recorded date" if undated else text.window(case, side)
    return {"event": text.day(case.event_date) if case.event_date else "not recorded", **windows}


def _pictures(view: Layers) -> dict[str, Any]:
    """Layers of the map as data URIs, and their size in pixels."""
    images = {
        "relief": layers.relief(view),
        "probability": blend.tinted(view.probability),
        "outlines": layers.outlines(view),
        "seen": layers.acquisitions(view),
    }
    height, width = view.shade.shape
    return {"width": width, "height": height} | {name: data_uri(blend.png(image)) for name, image in images.items()}


def _ramp() -> list[str]:
    """Colours of probability 0 to 1 over light grey, for the legend."""
    return [to_hex(colour) for colour in blend.over_grey(np.linspace(0, 1, 11, dtype="float32")[None])[0]]


def _seen(summary: MapSummary) -> list[dict[str, Any]]:
    """The share seen by sensor and side: of those that the source counted, or of all where it counted none."""
    counted = {name: share for name, share in summary.seen.items() if share is not None} or summary.seen
    rows = []
    for name, share in counted.items():
        sensor, side = name.split("_")
        rows.append({"sensor": SENSORS[sensor], "side": "before" if side == "pre" else "after", "share": share})
    return rows


def _acquisitions(scenes: Sequence[Scene]) -> list[Acquisitions]:
    """Scenes by sensor and side, before first."""

    def key(scene: Scene) -> tuple[str, int]:
        return scene.sensor, -1 if scene.side is None else list(SIDES).index(scene.side)

    rows = []
    for (sensor, _), group in groupby(sorted(scenes, key=key), key):
        of_group = list(group)
        side = of_group[0].side
        clouds = [scene.cloud_cover for scene in of_group if scene.cloud_cover is not None]
        rows.append(
            Acquisitions(
                sensor=SENSORS.get(sensor, sensor),
                side="" if side is None else SIDES[side],
                count=len(of_group),
                days=sorted({scene.date for scene in of_group if scene.date}),
                orbits=", ".join(sorted({scene.orbit for scene in of_group if scene.orbit})),
                clouds=_percent_range(clouds),
            )
        )
    return rows


def _percent_range(clouds: Sequence[float]) -> str:
    """`12 to 41 %`; empty without values."""
    if not clouds:
        return ""
    low, high = f"{min(clouds):.0f}", f"{max(clouds):.0f}"
    return f"{low} %" if low == high else f"{low} to {high} %"


def histogram(areas: NDArray[np.float64]) -> dict[str, Any]:
    """Landslides by area in steps of 1, 2, 5, 10, …: bars with a label, a count and a height of 0-1.

    From the step of the smallest landslide to that of the largest; no bars without landslides.
    """
    if not len(areas):
        return {"bars": []}
    lowest, highest = np.floor(np.log10(np.min(areas))), np.ceil(np.log10(np.max(areas)))
    edges = [factor * 10.0**power for power in np.arange(lowest, highest + 1) for factor in (1, 2, 5)]
    first = np.searchsorted(edges, np.min(areas), side="right") - 1
    last = np.searchsorted(edges, np.max(areas), side="right")
    steps = [*edges[first : last + 1]]
    counts = np.histogram(areas, steps)[0]
    bars = [
        {"label": text.area(low), "count": int(count), "height": float(count / counts.max())}
        for low, count in zip(steps, counts, strict=False)
    ]
    return {"bars": bars, "end": text.area(steps[-1])}


def _largest(found: gpd.GeoDataFrame) -> list[dict[str, Any]]:
    """The attributes of the largest landslides, and a point in each as latitude, longitude."""
    top = found.head(LISTED)
    to_degrees = Transformer.from_crs(found.crs, "EPSG:4326", always_xy=True)
    points = [to_degrees.transform(point.x, point.y) for point in top.geometry.representative_point()]
    rows = top.drop(columns="geometry").to_dict("records")
    return [row | {"place": f"{y:.5f}, {x:.5f}"} for row, (x, y) in zip(rows, points, strict=True)]


def _scores(ensemble: Ensemble) -> EvaluationReport | None:
    """How the ensemble did on its test cases; None before an evaluation."""
    evaluated = (ensemble.folder / SCORES_FILE).exists()
    return EvaluationReport.read(ensemble.folder, SCORES_FILE) if evaluated else None


def _member_scores(scores: EvaluationReport | None) -> dict[str, float] | None:
    """The best and the median F1 of the members alone, of those that have one."""
    f1 = [row.pooled.f1 for row in (scores.members if scores else ()) if row.pooled.f1 is not None]
    return {"best": max(f1), "median": median(f1)} if f1 else None
