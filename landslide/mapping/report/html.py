"""The report: one HTML file for people on duty. It opens offline: pictures are inline, there is no script."""

from __future__ import annotations

import base64
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.colors import to_hex
from pyproj import CRS, Transformer

from landslide import __version__
from landslide.cases.fields import When
from landslide.mapping.report import layers as pictured
from landslide.plotting import blend
from landslide.plotting import text as words

if TYPE_CHECKING:
    import geopandas as gpd
    from odc.geo.geobox import GeoBox

    from landslide.datasets.stack import Stack
    from landslide.ensembles.ensemble import Ensemble
    from landslide.mapping.report.layers import Layers
    from landslide.mapping.summary import MapSummary

LISTED = 10
RADAR, OPTICAL = "Sentinel-1 (radar)", "Sentinel-2 (optical)"
SENSORS = {"s1": RADAR, "s2": OPTICAL, "sentinel-1": RADAR, "sentinel-2": OPTICAL, "dem": "Terrain model"}
WINDOWS: tuple[When, ...] = ("pre", "post")
SIDES = {"pre": "before", "post": "after"}
SCORES = (
    ("precision", "mapped pixels that are landslide"),
    ("recall", "landslide pixels that were found"),
    ("f1", "F1, both in one figure"),
    ("iou", "overlap (IoU)"),
    ("mcc", "Matthews correlation"),
)


def write(
    path: Path, stack: Stack, ensemble: Ensemble, summary: MapSummary, found: gpd.GeoDataFrame, view: Layers
) -> None:
    """Write the report of a map."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"area": words.area, "percent": words.percent, "figure": _figure}
    page = environment.get_template("report.html").render(
        summary=summary,
        case=stack.info.case,
        where=_where(view.grid, stack),
        when=_when(stack),
        verdict=words.landslides(summary.landslides),
        pictures=_pictures(view),
        ramp=_ramp(),
        most_seen=pictured.most_seen(view),
        seen=_seen(summary),
        scenes=_scenes(stack.info.scenes),
        histogram=histogram(found["area_m2"].to_numpy()),
        largest=_largest(found),
        scores=_scores(ensemble.scores()),
        ensemble=ensemble.info,
        fingerprint=ensemble.fingerprint()[:12],
        version=__version__,
    )
    path.write_text(page, encoding="utf-8")


def _where(grid: GeoBox, stack: Stack) -> dict[str, Any]:
    footprint = grid.footprint("EPSG:4326")
    west, south, east, north = footprint.boundingbox.bbox
    longitude, latitude = footprint.centroid.coords[0]
    part = stack.info.parts[0]
    return {
        "place": words.place(grid),
        "bounds": f"{west:.4f}°, {south:.4f}° to {east:.4f}°, {north:.4f}°",
        "crs": f"{CRS(str(grid.crs)).name} ({grid.crs})",
        "pixels": f"{part.width:,} × {part.height:,}",
        "pixel": f"{abs(grid.affine.a) * grid.shape.x / part.width:g}",
        "x": round(longitude + 180, 2),
        "y": round(90 - latitude, 2),
    }


def _when(stack: Stack) -> dict[str, str]:
    """The event's day and the windows looked at; scenes without a date are not given the window's."""
    case = stack.info.case
    event = words.day(case.event_date) if case.event_date else "not recorded"
    dates = {when: [scene["date"] for scene in stack.info.scenes if scene["when"] == when] for when in WINDOWS}
    undated = {when for when, days in dates.items() if days and not any(days)}
    return {"event": event} | {
        when: "images without a recorded date" if when in undated else words.window(case, when) for when in WINDOWS
    }


def _pictures(view: Layers) -> dict[str, Any]:
    shown = {
        "ground": pictured.ground(view),
        "probability": blend.tinted(view.probability),
        "outlines": pictured.lines(view),
        "seen": pictured.sightings(view),
    }
    encoded = {name: base64.b64encode(blend.png(picture)).decode() for name, picture in shown.items()}
    height, width = view.shade.shape
    return {"width": width, "height": height} | {k: f"data:image/png;base64,{text}" for k, text in encoded.items()}


def _ramp() -> list[str]:
    """Colours of probability 0 to 1 over light ground, for the legend."""
    above = blend.tinted(np.linspace(0, 1, 11, dtype="float32")[None])
    return [to_hex(colour / 255) for colour in blend.over(np.full_like(above, 225), above)[0, :, :3]]


def _seen(summary: MapSummary) -> list[dict[str, Any]]:
    """The share seen per sensor and window: of those that the source counted, or of all where it counted none."""
    counted = {name: share for name, share in summary.seen.items() if share is not None} or summary.seen
    return [_seen_by(name, share) for name, share in counted.items()]


def _seen_by(name: str, share: float | None) -> dict[str, Any]:
    sensor, when = name.split("_")
    return {"sensor": SENSORS[sensor], "when": f"{SIDES[when]} the event", "share": share}


def _scenes(scenes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Acquisitions by sensor and window, before first: how many, their days, orbits and clouds."""

    def key(scene: dict[str, Any]) -> tuple[str, int, str]:
        return scene["sensor"], {"pre": 0, "post": 1}.get(scene["when"], 2), scene["when"]

    rows = []
    for (sensor, _, when), group in groupby(sorted(scenes, key=key), key):
        of_group = list(group)
        clouds = [scene["cloud_cover"] for scene in of_group if scene.get("cloud_cover") is not None]
        rows.append(
            {
                "sensor": SENSORS.get(sensor, sensor),
                "when": SIDES.get(when, when),
                "count": len(of_group),
                "days": sorted({str(scene["date"]) for scene in of_group if scene.get("date")}),
                "orbits": ", ".join(sorted({str(scene["orbit"]) for scene in of_group if scene.get("orbit")})),
                "clouds": _span(clouds),
            }
        )
    return rows


def _span(clouds: list[float]) -> str:
    if not clouds:
        return ""
    low, high = f"{min(clouds):.0f}", f"{max(clouds):.0f}"
    return f"{low} %" if low == high else f"{low} to {high} %"


def histogram(areas: Any) -> dict[str, Any]:
    """Landslides by size in steps of 1, 2, 5, 10, …: bars with a label, a count and a height of 0-1.

    The steps are whole ones, from that of the smallest landslide to that of the largest; no bars without landslides.
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
        {"label": words.area(low), "count": int(count), "height": float(count / counts.max())}
        for low, count in zip(steps, counts, strict=False)
    ]
    return {"bars": bars, "end": words.area(steps[-1])}


def _largest(found: gpd.GeoDataFrame) -> list[dict[str, Any]]:
    top = found.head(LISTED)
    to_degrees = Transformer.from_crs(found.crs, "EPSG:4326", always_xy=True)
    points = [to_degrees.transform(point.x, point.y) for point in top.geometry.representative_point()]
    columns = [name for name in top.columns if name != "geometry"]
    rows = top[columns].to_dict("records")
    return [row | {"place": f"{y:.5f}, {x:.5f}"} for row, (x, y) in zip(rows, points, strict=True)]


def _scores(scores: dict[str, Any] | None) -> dict[str, Any] | None:
    """An ensemble's `scores.json` as rows; None before an evaluation."""
    if scores is None:
        return None
    members = sorted((m["f1"] for m in scores.get("members", []) if m["f1"] is not None), reverse=True)
    return {
        "pooled": [(words_, scores["pooled"][name]) for name, words_ in SCORES],
        "precision": scores["pooled"]["precision"],
        "recall": scores["pooled"]["recall"],
        "cases": [{"id": name, **figures} for name, figures in scores["cases"].items()],
        "size": scores["size"],
        "members": {"count": len(members), "median": float(np.median(members)), "best": members[0]}
        if members
        else None,
        "baseline": scores.get("baseline_dndvi"),
        "confidence": scores.get("confidence") or [],
    }


def _figure(value: float | None, digits: int = 2) -> str:
    """A number with its digits; a dash where it is not known."""
    return "–" if value is None or np.isnan(value) else f"{value:.{digits}f}"
