"""Layers: the bands of one sensor on a case's grid. Each layer is an artifact.

A layer is a folder with `layer.json` and, for each part:

- `<part>.bands.tif`: float32 COG, one named band per feature, NaN = not observed;
- `<part>.counts.tif`, if the sensor has counts: uint16, usable acquisitions before and after the event, 65535 unknown;
- `<part>.label.tif`, mask layer with an inventory or a ready-made label: uint8, 1 landslide, 0 not, 255 ignore;
- `<part>.cover.tif`, mask layer of a case with land cover: uint8 class numbers, 255 = unknown.

Label and land cover do not depend on whether a sensor observed the pixel.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from landslide.artifacts.atomic import write_text
from landslide.artifacts.stage import InputFile, NotInKey, Stage
from landslide.bands import BANDS
from landslide.cases.case import Case
from landslide.errors import InputError, SourceError
from landslide.features.labels import Outlines, read_inventory
from landslide.geo.grid import aoi_mask, blocks
from landslide.geo.raster import cog
from landslide.progress import track
from landslide.sources.base import COUNTS, LayerName, LayerRequest, PartGrid, Scene, SceneList
from landslide.sources.land_cover import COVER_UNKNOWN, cover_on, reaches
from landslide.sources.registry import open_source

if TYPE_CHECKING:
    from landslide.artifacts.store import ArtifactStore
    from landslide.sources.base import Source

LAYER_FILE = "layer.json"
BLOCK_SIDE = 512
IGNORE = 255
COUNT_UNKNOWN = 65535
BANDS_FILE, COUNTS_FILE, LABEL_FILE, COVER_FILE = "bands.tif", "counts.tif", "label.tif", "cover.tif"


class LayerPart(BaseModel):
    """One part of a layer. `observed` is the share of pixels with a value, per band."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    grid: PartGrid
    observed: dict[str, float] = {}
    landslide_pixels: int | None = None


class LayerInfo(BaseModel):
    """`layer.json`: bands, parts and scenes of a layer, and the cost of a service's export.

    `inventory` counts the inventory's outlines by outcome; `cover_names` are the names of the land cover classes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: LayerName
    bands: tuple[str, ...]
    parts: dict[str, LayerPart]
    scenes: tuple[Scene, ...]
    inventory: dict[str, int] | None = None
    cover_names: dict[int, str] = {}
    export: dict[str, Any] | None = None


@dataclass(frozen=True)
class Layer:
    """A layer on disk."""

    folder: Path
    info: LayerInfo

    @classmethod
    def open(cls, folder: Path) -> Layer:
        """Read `layer.json`; InputError if the folder holds no layer."""
        path = folder / LAYER_FILE
        if not path.is_file():
            raise InputError(f"{folder} holds no layer (no {LAYER_FILE}). Run `landslide prepare` again")
        return cls(folder, LayerInfo.model_validate_json(path.read_text()))

    def file(self, part: str, name: str) -> Path | None:
        """The path of a part's raster, such as `COUNTS_FILE`; None if the layer has none."""
        path = self.folder / f"{part}.{name}"
        return path if path.exists() else None


def _sources(*own: str) -> tuple[str, ...]:
    """The modules that decide about a layer's pixels: its own, and those that all layers share."""
    shared = ("datasets.layers", "sources.scene_reader", "sources.compose", "sources.archive", "geo.warp", "geo.grid")
    return tuple(f"landslide.{name}" for name in (*shared, "sources.earthengine.image", *own))


class ExportLayer(Stage):
    """One layer of a case, from the scenes that were found for it.

    `polygon` is the area of interest where it is no box: outside of it nothing counts as observed.
    """

    request: LayerRequest
    grids: dict[str, PartGrid]
    polygon: dict[str, Any] | None = None
    case: Annotated[Case, NotInKey]

    @property
    def title(self) -> str:
        return f"{self.name} {self.case.id}"

    @classmethod
    def of(cls, case: Case, found: SceneList, layer: LayerName) -> ExportLayer:
        return cls(request=found.layers[layer], grids=found.parts, polygon=_polygon(case), case=case)

    def build(self, folder: Path, store: ArtifactStore) -> None:
        """Write the layer. SourceError if a band has no value at all; errors of the source pass through."""
        workspace = store.workspace(self)
        source = open_source(self.case)
        parts = {name: self._write_bands(source, name, folder, workspace) for name in self.grids}
        self._refuse_empty_bands(parts)
        self._write_info(folder, parts, export=source.account())
        shutil.rmtree(workspace, ignore_errors=True)

    def _write_info(self, folder: Path, parts: dict[str, LayerPart], **more: Any) -> None:
        request = self.request
        info = LayerInfo(layer=request.layer, bands=request.bands, parts=parts, scenes=request.scenes, **more)
        write_text(folder / LAYER_FILE, info.model_dump_json(indent=1), durable=False)

    def _write_bands(self, source: Source, name: str, folder: Path, workspace: Path) -> LayerPart:
        request, grid = self.request, self.grids[name]
        geobox, counts = grid.geobox, COUNTS[request.layer]
        observed = dict.fromkeys(request.bands, 0)
        with (
            cog(folder / f"{name}.{BANDS_FILE}", geobox, request.bands, "float32", float("nan"), _units(request.bands))
            as bands_writer,
            cog(folder / f"{name}.{COUNTS_FILE}", geobox, counts or ("none",), "uint16", COUNT_UNKNOWN)
            as counts_writer,
        ):  # fmt: skip
            for roi, block in source.export(request, name, workspace / name):
                values = np.stack([block.values[band] for band in request.bands]).astype("float32", copy=False)
                values[:, ~aoi_mask(self.case, geobox[roi])] = np.nan
                bands_writer.write(values, roi)
                for band, plane in zip(request.bands, values, strict=True):
                    observed[band] += int(np.isfinite(plane).sum())
                if counts:
                    unknown = np.full(values.shape[1:], COUNT_UNKNOWN, "uint16")
                    counts_writer.write(np.stack([block.seen.get(key, unknown) for key in counts]), roi)
        if not counts:
            (folder / f"{name}.{COUNTS_FILE}").unlink()
        pixels = grid.height * grid.width
        return LayerPart(grid=grid, observed={band: count / pixels for band, count in observed.items()})

    def _refuse_empty_bands(self, parts: dict[str, LayerPart]) -> None:
        empty = [band for band in self.request.bands if not any(part.observed[band] > 0 for part in parts.values())]
        if empty:
            had = [f"{scene.sensor} {scene.date or scene.side} {scene.orbit}".strip() for scene in self.request.scenes]
            raise SourceError(
                f"case {self.case.id}: {empty} hold no observed pixel in windows {self.case.windows}; the source had "
                f"{had or 'no dated scenes'}. Widen the windows, or leave the sensor out of the source"
            )


class ExportSentinel1(ExportLayer):
    """Radar backscatter before and after the event, and its change."""

    name: ClassVar[str] = "export-sentinel1"
    version: ClassVar[int] = 1
    sources: ClassVar[tuple[str, ...]] = _sources(
        "features.sar", "sources.earthengine.expressions.sentinel1", "sources.earthengine.expressions.slope_correction"
    )


class ExportSentinel2(ExportLayer):
    """Change of vegetation and colour between clear composites before and after the event."""

    name: ClassVar[str] = "export-sentinel2"
    version: ClassVar[int] = 1
    sources: ClassVar[tuple[str, ...]] = _sources("features.optical", "sources.earthengine.expressions.sentinel2")


class ExportTerrain(ExportLayer):
    """Elevation and its derivatives; shared by cases on the same grid."""

    name: ClassVar[str] = "export-terrain"
    version: ClassVar[int] = 1
    sources: ClassVar[tuple[str, ...]] = _sources("features.terrain", "sources.earthengine.expressions.terrain")


class ExportMask(ExportLayer):
    """The label, land cover and water of a case. `settings` are those of the inventory and the land cover."""

    name: ClassVar[str] = "export-mask"
    version: ClassVar[int] = 1
    sources: ClassVar[tuple[str, ...]] = _sources(
        "features.labels", "sources.land_cover", "sources.earthengine.expressions.water"
    )

    inventory: InputFile | None = None
    cover: InputFile | None = None
    settings: dict[str, Any] = {}

    @classmethod
    def of(cls, case: Case, found: SceneList, layer: LayerName = "mask") -> ExportMask:
        """The mask layer, also if the source has no mask bands."""
        files = {
            name: None if given is None else InputFile.of(Path(given.path))
            for name, given in (("inventory", case.inventory), ("cover", case.cover))
        }
        settings = {
            name: given.model_dump(mode="json", exclude={"path"})
            for name, given in (("inventory", case.inventory), ("cover", case.cover))
            if given is not None
        }
        if case.inventory is not None and case.inventory.date_field is not None:
            settings["event"] = {"date": str(case.event_date), "windows": case.windows}
        request = found.layers.get(layer, LayerRequest(layer=layer, bands=()))
        return cls(
            request=request, grids=found.parts, polygon=_polygon(case), case=case, settings=settings, **files
        )  # fmt: skip

    def build(self, folder: Path, store: ArtifactStore) -> None:
        """Write the layer. Errors of the source, the inventory and the land cover pass through."""
        workspace, source = store.workspace(self), open_source(self.case)
        for name, grid in self.grids.items():
            reaches(self.case, grid.geobox)
            self._write_cover(name, folder)
        outlines = {name: self._outlines(grid) for name, grid in self.grids.items()}
        parts = {name: self._write_part(source, name, outlines[name], folder, workspace) for name in self.grids}
        self._refuse_empty_bands(parts)
        counted = [found.counts for found in outlines.values() if found is not None]
        names = {} if self.case.cover is None else dict(self.case.cover.names)
        self._write_info(
            folder, parts, inventory=counted[0] if counted else None, cover_names=names, export=source.account()
        )  # fmt: skip
        shutil.rmtree(workspace, ignore_errors=True)

    def _outlines(self, grid: PartGrid) -> Outlines | None:
        return None if self.case.inventory is None else read_inventory(self.case, grid.geobox)

    def _write_cover(self, name: str, folder: Path) -> None:
        """The land cover of the whole grid, also outside of the polygon: distances to water need it."""
        if self.case.cover is None:
            return
        geobox = self.grids[name].geobox
        with cog(folder / f"{name}.{COVER_FILE}", geobox, ["cover"], "uint8", COVER_UNKNOWN) as writer:
            for roi in blocks((geobox.shape.y, geobox.shape.x), BLOCK_SIDE):
                writer.write(cover_on(self.case.cover, geobox[roi])[None], roi)

    def _write_part(
        self, source: Source, name: str, outlines: Outlines | None, folder: Path, workspace: Path
    ) -> LayerPart:
        """Write the bands of the mask, if the source has any, and the label."""
        part = LayerPart(grid=self.grids[name])
        if self.request.bands:
            part = self._write_bands(source, name, folder, workspace)
        ready = source.label(self.request, name)
        if outlines is None and ready is None:
            return part
        geobox, positives = self.grids[name].geobox, 0
        with cog(folder / f"{name}.{LABEL_FILE}", geobox, ["label"], "uint8", IGNORE) as writer:
            for roi in track(blocks((geobox.shape.y, geobox.shape.x), BLOCK_SIDE), f"Burning labels, {self.case.id}"):
                truth = ready[roi] if ready is not None else outlines.burn(roi)  # type: ignore[union-attr]
                label = np.where(aoi_mask(self.case, geobox[roi]), truth, IGNORE).astype("uint8")
                positives += int((label == 1).sum())
                writer.write(label[None], roi)
        return part.model_copy(update={"landslide_pixels": positives})


EXPORTS: dict[LayerName, type[ExportLayer]] = {
    "sentinel1": ExportSentinel1,
    "sentinel2": ExportSentinel2,
    "terrain": ExportTerrain,
    "mask": ExportMask,
}


def _polygon(case: Case) -> dict[str, Any] | None:
    return case.aoi if isinstance(case.aoi, dict) else None


def _units(bands: tuple[str, ...]) -> list[str]:
    return [BANDS[band].unit for band in bands]
