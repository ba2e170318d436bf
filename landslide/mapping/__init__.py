"""Maps: a prepared event and an ensemble to probability, landslides, a STAC item, a picture and a report.

The public entry is `map_event`. Nothing heavy is imported until a map is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from landslide.errors import InputError
from landslide.models import STRIDE
from landslide.store import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from landslide.ensemble import Ensemble
    from landslide.stack import Stack

VERSION = 3
PART = "scene"
PROBABILITY, LANDSLIDES, ITEM = "probability.tif", "landslides.gpkg", "item.json"
QUICKLOOK, REPORT, SUMMARY = "quicklook.png", "report.html", "summary.json"


class MapOptions(BaseModel):
    """How an event is mapped.

    `window` and `overlap` are pixels, of the largest window and of the least overlap. `minimum_area_m2` is the minimum
    mapping unit: 400 m², about four pixels of 10 m, the least patch whose outline says more than the noise of single
    pixels. `threshold` is a probability; None takes the ensemble's. `precision` `bf16` is faster on hardware that has
    it and moves probabilities by hundredths.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: Annotated[int, Field(ge=STRIDE)] = 512
    overlap: Annotated[int, Field(ge=0)] = 64
    minimum_area_m2: Annotated[float, Field(ge=0)] = 400.0
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    precision: Literal["fp32", "bf16"] = "fp32"

    @model_validator(mode="after")
    def _windows_advance(self) -> Self:
        if self.overlap > self.window // 2:
            raise ValueError(f"overlap {self.overlap} passes half of the window {self.window}; give less")
        return self


class MapSummary(BaseModel):
    """The figures of a map, as `summary.json` holds them.

    Areas are geodesic, in m². `area_m2` holds the total and, where there are landslides, quantiles and the largest.
    `share_observed` is the share of the area of interest that the map says anything about; `share_landslide` the share
    of that observed area, None where nothing was observed. `seen` is the share of the area of interest with at least
    one usable acquisition, per sensor and window, None where the source cannot know. `windows` counts one member's.
    `confidence` counts landslides by class, empty where the ensemble has none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: str
    title: str
    ensemble: str
    members: int
    threshold: float
    minimum_area_m2: float
    windows: int
    landslides: int
    confidence: dict[str, int]
    area_m2: dict[str, float]
    observed_m2: float
    share_observed: float
    share_landslide: float | None
    seen: dict[str, float | None]

    @property
    def nothing_observed(self) -> bool:
        """Whether the map is blank because nothing was seen, not because nothing happened."""
        return self.observed_m2 == 0


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

    from landslide.mapping import coverage, layers, pictures, polygons, probability, products, report
    from landslide.raster import GDAL_CACHE_MB

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
        pictures.quicklook(folder / QUICKLOOK, stack.info.case, view, summary)
        report.write(folder / REPORT, stack, ensemble, summary, found, view)
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
