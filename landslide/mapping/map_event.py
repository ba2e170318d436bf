"""A prepared event and an ensemble to a map's products."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from landslide.artifacts.stage import Artifact, NotInKey, Stage
from landslide.cases.case import Case
from landslide.datasets.stack import open_stack
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
    from landslide.artifacts.store import ArtifactStore
    from landslide.datasets.stack import Stack
    from landslide.ensembles.ensemble import Ensemble


class MapCase(Stage):
    """The map of a case by an ensemble, under the title that the case has today.

    `fingerprint` is the ensemble's: of its description, its weights and its scores, which the report shows.
    """

    name: ClassVar[str] = "map"
    version: ClassVar[int] = 4
    packages: ClassVar[tuple[str, ...]] = ("torch", "segmentation-models-pytorch")
    sources: ClassVar[tuple[str, ...]] = (
        *(f"landslide.mapping.{name}" for name in ("map_event", "probability", "polygons", "coverage", "products")),
        "landslide.models.inference", "landslide.ensembles.calibration",
    )  # fmt: skip

    stack: Artifact
    fingerprint: str
    case_title: str
    options: MapOptions
    case: Annotated[Case, NotInKey]
    ensemble: Annotated[Path, NotInKey]
    device: Annotated[str, NotInKey] = "cpu"

    @classmethod
    def of(cls, case: Case, stack: Artifact, ensemble: Ensemble, options: MapOptions, device: str) -> MapCase:
        """The map of a case whose stack is there."""
        return cls(
            stack=stack, fingerprint=ensemble.fingerprint(), case_title=case.title, options=options, case=case,
            ensemble=ensemble.folder, device=device,
        )  # fmt: skip

    @property
    def title(self) -> str:
        """`map juniper-range`."""
        return f"{self.name} {self.case.id}"

    def build(self, folder: Path, store: ArtifactStore) -> None:
        """Write the products; raises as `map_event`."""
        from landslide.ensembles.ensemble import Ensemble

        stack = open_stack(self.stack, store).of(self.case)
        map_event(stack, Ensemble.open(self.ensemble), folder, self.options, self.device)


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
    ensemble.check_bands(stack)
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
