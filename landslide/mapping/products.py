"""The products for other software: the GeoPackage of landslides, the STAC item, and the summary of a map."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyogrio
import pystac
import shapely
from pyproj import CRS, Transformer
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension

from landslide import __version__
from landslide.artifacts.stage import file_digest
from landslide.geo.raster import Reader
from landslide.mapping.polygons import COLUMNS, geodesic_area
from landslide.mapping.summary import LANDSLIDES, PART, PROBABILITY, QUICKLOOK, REPORT, MapOptions, MapSummary
from landslide.models.inference import starts

if TYPE_CHECKING:
    from pathlib import Path

    import geopandas as gpd
    from odc.geo.geobox import GeoBox

    from landslide.cases.case import Case
    from landslide.datasets.stack import Stack
    from landslide.ensembles.ensemble import Ensemble
    from landslide.mapping.coverage import Coverage

LAYER = "landslides"
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SHA256_MULTIHASH = "1220"  # multihash prefix of a 32-byte sha256, which the STAC file extension requires
ASSETS = {
    PROBABILITY: ("probability", "Landslide probability and its uncertainty", pystac.MediaType.COG, ["data"]),
    LANDSLIDES: ("landslides", "Landslide outlines", pystac.MediaType.GEOPACKAGE, ["data"]),
    QUICKLOOK: ("quicklook", "Picture of the map", pystac.MediaType.PNG, ["overview"]),
    REPORT: ("report", "Report for people", pystac.MediaType.HTML, ["metadata"]),
}
RASTER_BANDS = [
    {"name": "probability", "description": "Landslide probability of the ensemble, 0 to 1", "unit": "1"},
    {"name": "spread", "description": "Standard deviation of the members' probabilities", "unit": "1"},
    {"name": "mutual_information", "description": "Mutual information of the class and the member", "unit": "bit"},
]


def summarise(
    stack: Stack, ensemble: Ensemble, options: MapOptions, threshold: float, found: gpd.GeoDataFrame, seen: Coverage
) -> MapSummary:
    """The summary of a map.

    Args:
        stack: Of the case.
        ensemble: That made the map.
        options: How it was made.
        threshold: That the landslides are above.
        found: The landslides, as `polygons.landslides` returns them.
        seen: How much of the area of interest was observed.
    """
    with stack.reader(PART) as reader:
        (height, width), pixel_m2 = reader.shape, _pixel_area(reader.geobox)
    areas = found["area_m2"].to_numpy()
    area_m2 = {"total": float(areas.sum())}
    if len(areas):
        area_m2 |= {f"q{int(100 * q):02d}": float(np.quantile(areas, q)) for q in QUANTILES}
        area_m2["largest"] = float(areas.max())
    observed_m2 = seen.observed * pixel_m2
    rows, columns = (starts(length, options.window, options.overlap) for length in (height, width))
    confidence = {}
    if ensemble.info.confidence is not None:
        confidence = {name: int((found["confidence"] == name).sum()) for name in ("high", "medium", "low")}
    return MapSummary(
        case=stack.info.case.id,
        title=stack.info.case.title,
        ensemble=ensemble.info.name,
        members=len(ensemble.info.members),
        threshold=threshold,
        minimum_area_m2=options.minimum_area_m2,
        windows=len(rows) * len(columns),
        landslides=len(found),
        confidence=confidence,
        area_m2=area_m2,
        observed_m2=observed_m2,
        share_observed=seen.observed / seen.inside if seen.inside else 0.0,
        share_landslide=area_m2["total"] / observed_m2 if observed_m2 else None,
        seen=seen.shares,
    )


def _pixel_area(grid: GeoBox) -> float:
    """Mean geodesic area of a pixel in m²."""
    to_degrees = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True)
    whole = shapely.segmentize(shapely.box(*grid.boundingbox.bbox), max(abs(grid.affine.a) * grid.shape.x / 16, 1e-9))
    return geodesic_area(shapely.MultiPolygon([whole]), to_degrees) / (grid.shape.x * grid.shape.y)


def write_geopackage(path: Path, stack: Stack, ensemble: Ensemble, found: gpd.GeoDataFrame) -> None:
    """Write the layer `landslides` in the stack's CRS; an event without landslides has the same fields and no row."""
    count = len(found)
    fields: dict[str, Any] = {"id": found["id"].to_numpy("int32")}
    fields |= {name: found[name].to_numpy("float64") for name in COLUMNS}
    for side in ("pre", "post"):
        window = stack.info.case.window(side)
        for edge, day in zip(("start", "end"), window or (None, None), strict=True):
            fields[f"{side}_{edge}"] = np.full(count, np.datetime64(day or "NaT", "D"), "datetime64[D]")
    fields["confidence"] = found["confidence"].to_numpy(object)
    fields["ensemble"] = np.full(count, ensemble.info.name, dtype=object)
    pyogrio.raw.write(
        path,
        geometry=found.geometry.to_wkb().to_numpy(),
        field_data=list(fields.values()),
        fields=list(fields),
        geometry_type="MultiPolygon",
        crs=found.crs.to_wkt(),
        layer=LAYER,
        driver="GPKG",
        nan_as_null=True,
    )


def write_item(path: Path, stack: Stack, summary: MapSummary) -> None:
    """Write a STAC 1.1 item with relative links to the products in its folder; they must exist."""
    with Reader(path.parent / PROBABILITY) as reader:
        grid = reader.geobox
    footprint = grid.footprint("EPSG:4326", npoints=4)
    moment, start, end = _dates(stack.info.case)
    item = pystac.Item(
        id=f"{summary.case}-landslides",
        geometry=shapely.geometry.mapping(shapely.set_precision(footprint.geom, 1e-7)),
        bbox=list(footprint.boundingbox.bbox),
        properties=_properties(summary),
        datetime=moment,
        start_datetime=start,
        end_datetime=end,
    )
    for name, (key, title, media_type, roles) in ASSETS.items():
        file = path.parent / name
        item.add_asset(key, pystac.Asset(f"./{name}", title=title, media_type=media_type, roles=roles))
        FileExtension.ext(item.assets[key], add_if_missing=True).apply(
            size=file.stat().st_size, checksum=SHA256_MULTIHASH + file_digest(file)
        )
    bands = [band | {"data_type": "float32", "nodata": "nan"} for band in RASTER_BANDS]
    item.assets["probability"].extra_fields["bands"] = bands
    _project(item, grid)
    path.write_text(json.dumps(item.to_dict(include_self_link=False, transform_hrefs=False), indent=1))


def _properties(summary: MapSummary) -> dict[str, Any]:
    return {
        "title": summary.title or summary.case,
        "created": datetime.now(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z"),
        "processing:software": {"landslide": __version__},
        "landslide:count": summary.landslides,
        "landslide:area_m2": summary.area_m2["total"],
        "landslide:share_observed": summary.share_observed,
        "landslide:threshold": summary.threshold,
        "landslide:ensemble": summary.ensemble,
    }


def _dates(case: Case) -> tuple[datetime | None, datetime | None, datetime | None]:
    """`datetime`, `start_datetime` and `end_datetime` of the item.

    From the first day of the pre window to the last day of the post window; now for an event without dates.
    """
    pre, post = case.window("pre"), case.window("post")
    if pre is None or post is None:
        return datetime.now(UTC), None, None
    return None, _at(pre[0], time.min), _at(post[1], time(23, 59, 59))


def _at(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, UTC)


def _project(item: pystac.Item, grid: GeoBox) -> None:
    projection = ProjectionExtension.ext(item, add_if_missing=True)
    crs = CRS(str(grid.crs))
    epsg = crs.to_epsg()
    projection.apply(
        epsg=epsg,
        wkt2=None if epsg else crs.to_wkt(),
        shape=[grid.shape.y, grid.shape.x],
        transform=list(grid.affine)[:6],
        bbox=list(grid.boundingbox.bbox),
    )
