"""A prepared event and an ensemble to a map's products."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from landslide.artifacts.store import Request
from landslide.errors import InputError
from landslide.mapping.summary import (
    ITEM,
    LANDSLIDES,
    PART,
    PROBABILITY,
    QUICKLOOK,
    REPORT,
    SUMMARY,
    MapOptions,
    MapSummary,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from landslide.datasets.stack import Stack
    from landslide.ensembles.ensemble import Ensemble


VERSION = 3


def map_request(
    stack_key: str, ensemble_fingerprint: str, title: str, options: MapOptions, scores: Mapping[str, Any] | None = None
) -> Request:
    """What a map depends on; `scores` are the ensemble's (`Ensemble.scores`), which the report tells."""
    return Request(
        stage="map",
        version=VERSION,
        parameters={"title": title, "scores": scores, **options.model_dump(mode="json")},
        inputs={"stack": stack_key, "ensemble": ensemble_fingerprint},
    )


def map_event(
    stack: Stack, ensemble: Ensemble, folder: Path, options: MapOptions = MapOptions(), device: str = "cpu"
) -> MapSummary:
    """Map an event into an existing folder: the five products and `summary.json`.

    Memory is bounded by a row of windows, whatever the size of the scene and the number of members. Raises InputError
    for a stack of many parts or without georeference, BandError if it lacks a band of the ensemble.
    """
    import rasterio

    from landslide.geo.raster import GDAL_CACHE_MB
    from landslide.mapping import coverage, polygons, probability, products
    from landslide.mapping.report import html, layers, quicklook

    refuse_unmappable(stack)
    ensemble.check_bands(stack.info.bands, f"case {stack.info.case.id}")
    threshold = options.threshold if options.threshold is not None else ensemble.info.threshold
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_MB * 2**20):
        probability.write(stack, ensemble, folder / PROBABILITY, options, device)
        seen = coverage.measure(stack, folder / PROBABILITY)
        found = polygons.landslides(
            stack, folder / PROBABILITY, threshold, options.minimum_area_m2, ensemble.info.confidence
        )
        summary = products.summarise(stack, ensemble, options, threshold, found, seen)
        (folder / SUMMARY).write_text(summary.model_dump_json(indent=1))
        products.write_geopackage(folder / LANDSLIDES, stack, ensemble, found)
        view = layers.layers(stack, folder / PROBABILITY, found)
        quicklook.quicklook(folder / QUICKLOOK, stack.info.case, view, summary)
        html.write(folder / REPORT, stack, ensemble, summary, found, view)
        products.write_item(folder / ITEM, stack, summary)
    return summary


def refuse_unmappable(stack: Stack) -> None:
    """InputError unless the stack is one georeferenced scene."""
    names = [part.name for part in stack.info.parts]
    if names != [PART]:
        raise InputError(
            f"case {stack.info.case.id} in {stack.folder} is {len(names)} chip(s) ({', '.join(names[:3])}…), and a map "
            f"is of one scene. Use `landslide evaluate` for chips"
        )
    if not stack.info.georeferenced:
        raise InputError(
            f"case {stack.info.case.id} in {stack.folder} has no georeference, so its landslides have no place. "
            "Use `landslide evaluate`, or give the case files with a coordinate reference system"
        )
