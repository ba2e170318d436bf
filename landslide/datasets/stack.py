"""The prepare stage: a case and its source to a stack, how often each pixel was seen, and a label.

A prepared case is a folder: `stack.json` and, for every part, `<part>.stack.tif` (float32 COG, one named band a
feature, NaN = not observed), `<part>.seen.tif` (uint16, acquisitions per sensor and window, 65535 = unknown) and
where there is an inventory or a ready-made label, `<part>.label.tif` (uint8: 1 landslide, 0 not, 255 ignore). Where
the case knows its land cover, `<part>.cover.tif` has it (uint8: numbers that the case names, 255 = unknown). Where a
service computed the pixels, `export.json` says what that took.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import BaseModel

from landslide.artifacts.store import Request, path_digest
from landslide.bands import BANDS
from landslide.cases.case import Case
from landslide.cases.sources import StacSource
from landslide.errors import InputError, SourceError
from landslide.features.labels import Outlines, read_inventory
from landslide.geo.grid import Roi, blocks, inside
from landslide.geo.raster import Reader, cog
from landslide.progress import track
from landslide.sources.base import SEEN, Block, Exporter, Source
from landslide.sources.land_cover import COVER_UNKNOWN as NO_COVER
from landslide.sources.land_cover import cover_on, reaches

VERSION = 1
BLOCK = 512
IGNORE = 255
COUNT_UNKNOWN = 65535
EXPORT = "export.json"


class StackPart(BaseModel):
    """One raster of a prepared case. `observed` is the share of pixels with a value, per band."""

    name: str
    height: int
    width: int
    observed: dict[str, float]
    landslide_pixels: int | None = None


class StackInfo(BaseModel):
    """What `stack.json` says: the case, its bands and parts, the scenes in use, what the inventory held.

    A scene is a `landslide.sources.SceneInfo`; the names of land cover are the case's.
    """

    case: Case
    bands: tuple[str, ...]
    georeferenced: bool
    parts: list[StackPart]
    scenes: list[dict[str, Any]]
    inventory: dict[str, int] | None = None


@dataclass(frozen=True)
class Stack:
    """A prepared case on disk."""

    folder: Path
    info: StackInfo

    @classmethod
    def open(cls, folder: Path) -> "Stack":
        """Read `stack.json`; InputError if the folder holds no prepared case."""
        path = folder / "stack.json"
        if not path.is_file():
            raise InputError(f"{folder} holds no prepared case (no stack.json). Run `landslide prepare` first")
        return cls(folder, StackInfo.model_validate_json(path.read_text()))

    def of(self, case: Case) -> "Stack":
        """The same stack for a case that differs in title or role alone."""
        return Stack(self.folder, self.info.model_copy(update={"case": case}))

    def reader(self, part: str) -> Reader:
        """The part's bands, by name."""
        return Reader(self.folder / f"{part}.stack.tif")

    def seen(self, part: str) -> Reader:
        """How often each pixel was seen."""
        return Reader(self.folder / f"{part}.seen.tif")

    def label(self, part: str) -> NDArray[np.uint8] | None:
        """(y, x) uint8 label; None where the case has no inventory."""
        return self._classes(part, "label")

    def cover(self, part: str) -> NDArray[np.uint8] | None:
        """(y, x) uint8 land cover by the numbers of `cover_names`, 255 = unknown; None where the case knows none."""
        return self._classes(part, "cover")

    @property
    def cover_names(self) -> dict[int, str]:
        """What the numbers of the land cover are called; empty where the case knows none."""
        return {} if self.info.case.cover is None else dict(self.info.case.cover.names)

    def _classes(self, part: str, what: str) -> NDArray[np.uint8] | None:
        path = self.folder / f"{part}.{what}.tif"
        if not path.exists():
            return None
        with Reader(path) as reader:
            classes: NDArray[np.uint8] = reader.read([what])[0]
        return classes


def prepare_request(case: Case, source: Source) -> Request:
    """What the stack of a case depends on: the case less its role, and the content of source, inventory and cover."""
    inputs = {"source": source.fingerprint()}
    for what, given in (("inventory", case.inventory), ("cover", case.cover)):
        if given is not None:
            inputs[what] = path_digest(Path(given.path))
    return Request(stage="prepare", version=VERSION, parameters=_parameters(case), inputs=inputs)


def _parameters(case: Case) -> dict[str, Any]:
    """The case as its key has it: keys that came later count only where they are given, so older results still do."""
    source: dict[str, Any] = {"project": True, "export": True}
    if isinstance(case.source, StacSource) and case.source.sentinel1 and case.source.sentinel1.direction is None:
        source["sentinel1"] = {"direction"}
    excluded: dict[str, Any] = {"role": True, "title": True, "source": source}
    if case.cover is None:
        excluded["cover"] = True
    return case.model_dump(mode="json", exclude=excluded)


def prepare(case: Case, source: Source, folder: Path, workspace: Path) -> None:
    """Write a prepared case into an empty folder; `workspace` is where an export keeps what must outlast its process.

    Raises SourceError naming the case where a band is NaN everywhere, and whatever the source, the inventory and the
    land cover raise.
    """
    for name, geobox in source.parts.items():
        reaches(case, geobox)
        _write_cover(case, geobox, folder / f"{name}.cover.tif")
    outlines = {name: _outlines(case, geobox) for name, geobox in source.parts.items()}
    parts = [_part(case, source, name, outlines[name], folder, workspace) for name in source.parts]
    _refuse_blind_bands(case, source, parts)
    counted = [found.counts for found in outlines.values() if found is not None]
    info = StackInfo(
        case=case,
        bands=source.bands,
        georeferenced=all(geobox.crs is not None for geobox in source.parts.values()),
        parts=parts,
        scenes=[asdict(scene) for scene in source.scenes()],
        inventory=counted[0] if counted else None,
    )
    (folder / "stack.json").write_text(info.model_dump_json(indent=1))
    if isinstance(source, Exporter):
        (folder / EXPORT).write_text(json.dumps(source.account(), indent=1))


def _write_cover(case: Case, geobox: GeoBox, path: Path) -> None:
    """The land cover of a whole grid, also outside a polygon: it tells how far water is."""
    if case.cover is None:
        return
    with cog(path, geobox, ["cover"], "uint8", NO_COVER) as writer:
        for roi in blocks((geobox.shape.y, geobox.shape.x), BLOCK):
            writer.write(cover_on(case.cover, geobox[roi])[None], roi)


def _outlines(case: Case, geobox: GeoBox) -> Outlines | None:
    return None if case.inventory is None else read_inventory(case, geobox)


def _part(case: Case, source: Source, name: str, outlines: Outlines | None, folder: Path, workspace: Path) -> StackPart:
    geobox = source.parts[name]
    ready = source.label(name)
    observed = dict.fromkeys(source.bands, 0)
    positives = 0
    label = np.full(geobox.shape, IGNORE, "uint8") if outlines is not None or ready is not None else None
    units = [BANDS[band].unit for band in source.bands]
    with (
        cog(folder / f"{name}.stack.tif", geobox, source.bands, "float32", float("nan"), units) as stack,
        cog(folder / f"{name}.seen.tif", geobox, SEEN, "uint16", COUNT_UNKNOWN) as seen,
    ):
        for roi, values, counts in _blocks(case, source, name, workspace):
            stack.write(values, roi)
            seen.write(counts, roi)
            for band, plane in zip(source.bands, values, strict=True):
                observed[band] += int(np.isfinite(plane).sum())
            if label is not None:
                truth = ready[roi] if ready is not None else outlines.burn(roi)  # type: ignore[union-attr]
                label[roi] = np.where(np.isfinite(values).any(0), truth, IGNORE)
    if label is not None:
        positives = int((label == 1).sum())
        with cog(folder / f"{name}.label.tif", geobox, ["label"], "uint8", IGNORE) as writer:
            writer.write(label[None], (slice(0, label.shape[0]), slice(0, label.shape[1])))
    pixels = geobox.shape.y * geobox.shape.x
    return StackPart(
        name=name,
        height=geobox.shape.y,
        width=geobox.shape.x,
        observed={band: count / pixels for band, count in observed.items()},
        landslide_pixels=None if label is None else positives,
    )


def _blocks(
    case: Case, source: Source, name: str, workspace: Path
) -> Iterator[tuple[Roi, NDArray[np.float32], NDArray[np.uint16]]]:
    geobox = source.parts[name]
    for roi, block in _delivered(case, source, name, workspace):
        shape = (roi[0].stop - roi[0].start, roi[1].stop - roi[1].start)
        values = np.stack([block.values[band] for band in source.bands]).astype("float32", copy=False)
        values[:, ~inside(case, geobox[roi])] = np.nan
        unknown = np.full(shape, COUNT_UNKNOWN, "uint16")
        yield roi, values, np.stack([block.seen.get(key, unknown) for key in SEEN])


def _delivered(case: Case, source: Source, name: str, workspace: Path) -> Iterator[tuple[Roi, Block]]:
    """A part block by block: as a service delivers it, or as it is read here."""
    if isinstance(source, Exporter):
        yield from source.export(name, workspace)
        return
    geobox = source.parts[name]
    for roi in track(blocks((geobox.shape.y, geobox.shape.x), BLOCK), f"Preparing {case.id}"):
        yield roi, source.read(name, roi)


def _refuse_blind_bands(case: Case, source: Source, parts: list[StackPart]) -> None:
    blind = [band for band in source.bands if not any(part.observed[band] > 0 for part in parts)]
    if blind:
        had = [f"{scene.sensor} {scene.date or scene.when} {scene.orbit or ''}".strip() for scene in source.scenes()]
        raise SourceError(
            f"case {case.id}: {blind} hold no observed pixel in windows {case.windows}; the source had "
            f"{had or 'no dated scenes'}. Widen the windows, or leave the sensor out of the source"
        )
