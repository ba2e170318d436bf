"""The stack of a case: its layers together, as named float32 bands on one grid, NaN = not observed.

A stack is a folder with `stack.json` only. It refers to its layers by key and copies no pixels; a layer's folder is at
`../../<stage>/<key>`, relative to the stack's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import BaseModel, ConfigDict

from landslide.artifacts.atomic import write_text
from landslide.artifacts.stage import Artifact, NotInKey, Stage
from landslide.bands import band_indices
from landslide.cases.case import Case
from landslide.datasets.layers import BANDS_FILE, COUNT_UNKNOWN, COUNTS_FILE, COVER_FILE, IGNORE, LABEL_FILE, Layer
from landslide.errors import InputError
from landslide.geo.raster import Reader
from landslide.sources.base import COUNTS, LAYERS, LayerName, Scene

if TYPE_CHECKING:
    from landslide.artifacts.store import ArtifactStore
    from landslide.geo.grid import Roi

__all__ = ["COUNT_UNKNOWN", "IGNORE", "SEEN", "BuildStack", "Stack", "StackInfo", "StackPart", "open_stacks"]

STACK_FILE = "stack.json"
SEEN = tuple(name for layer in LAYERS for name in COUNTS[layer])
"""The observation counts of a stack, in this order: `s1_pre`, `s1_post`, `s2_pre`, `s2_post`."""


class StackPart(BaseModel):
    """One part of a stack. `observed` is the share of pixels with a value, per band."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    height: int
    width: int
    observed: dict[str, float]
    landslide_pixels: int | None = None


class StackInfo(BaseModel):
    """`stack.json`. `missing` has the reason for each missing layer, `scenes` are those of all layers in time order,
    `inventory` counts the inventory's outlines by outcome.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: Case
    layers: dict[LayerName, Artifact]
    missing: dict[LayerName, str] = {}
    bands: tuple[str, ...]
    georeferenced: bool
    parts: list[StackPart]
    scenes: list[Scene]
    inventory: dict[str, int] | None = None


class BuildStack(Stage):
    """Joins the layers of a case by reference."""

    name: ClassVar[str] = "stack"
    version: ClassVar[int] = 1
    sources: ClassVar[tuple[str, ...]] = ("landslide.datasets.stack",)

    case_id: str
    dates: dict[str, str | None]
    layers: dict[LayerName, Artifact]
    missing: Annotated[dict[LayerName, str], NotInKey] = {}
    missing_layers: tuple[LayerName, ...] = ()
    case: Annotated[Case, NotInKey]

    @classmethod
    def of(cls, case: Case, layers: Mapping[LayerName, Artifact], missing: Mapping[LayerName, str]) -> BuildStack:
        dates = {"event": None if case.event_date is None else str(case.event_date), "windows": case.windows}
        return cls(
            case_id=case.id, dates=dates, layers=dict(layers), missing=dict(missing), missing_layers=tuple(missing),
            case=case,
        )  # fmt: skip

    @property
    def title(self) -> str:
        return f"{self.name} {self.case_id}"

    def build(self, folder: Path, store: ArtifactStore) -> None:
        opened = {name: Layer.open(store.path(artifact)) for name, artifact in self.layers.items()}
        infos = [layer.info for layer in opened.values()]
        parts = [_joined(name, opened) for name in infos[0].parts]
        scenes = sorted((scene for info in infos for scene in info.scenes if scene.side), key=_in_time)
        info = StackInfo(
            case=self.case, layers=self.layers, missing=self.missing, parts=parts, scenes=scenes,
            bands=tuple(band for layer in infos for band in layer.bands),
            georeferenced=all(part.grid.crs is not None for part in infos[0].parts.values()),
            inventory=next((layer.inventory for layer in infos if layer.inventory is not None), None),
        )  # fmt: skip
        write_text(folder / STACK_FILE, info.model_dump_json(indent=1), durable=False)


def _joined(name: str, layers: Mapping[LayerName, Layer]) -> StackPart:
    parts = [layer.info.parts[name] for layer in layers.values()]
    observed = {band: share for part in parts for band, share in part.observed.items()}
    positives = next((part.landslide_pixels for part in parts if part.landslide_pixels is not None), None)
    grid = parts[0].grid
    return StackPart(
        name=name, height=grid.height, width=grid.width, observed=observed, landslide_pixels=positives
    )  # fmt: skip


def _in_time(scene: Scene) -> tuple[bool, str, str]:
    return scene.side != "pre", "" if scene.time is None else scene.time.isoformat(), scene.id


@dataclass(frozen=True)
class Stack:
    """A stack on disk."""

    folder: Path
    info: StackInfo

    @classmethod
    def open(cls, folder: Path) -> Stack:
        """Read `stack.json`; InputError if the folder has no stack or a layer is missing in the store."""
        path = folder / STACK_FILE
        if not path.is_file():
            raise InputError(f"{folder} holds no stack (no {STACK_FILE}). Run `landslide prepare` first")
        stack = cls(folder, StackInfo.model_validate_json(path.read_text()))
        if missing := [name for name in stack.info.layers if not stack.layer_folder(name).is_dir()]:
            raise InputError(
                f"{folder} refers to layers {missing}, which the store does not have. Run `landslide prepare` again"
            )
        return stack

    def of(self, case: Case) -> Stack:
        """The same stack for a case that differs in title or role only."""
        return Stack(self.folder, self.info.model_copy(update={"case": case}))

    def layer_folder(self, name: LayerName) -> Path:
        artifact = self.info.layers[name]
        return self.folder.parent.parent / artifact.stage / artifact.key

    @cached_property
    def layers(self) -> dict[LayerName, Layer]:
        return {name: Layer.open(self.layer_folder(name)) for name in self.info.layers}

    @contextmanager
    def reader(self, part: str) -> Iterator[StackReader]:
        with self._reader(part, BANDS_FILE) as reader:
            yield reader

    @contextmanager
    def seen(self, part: str) -> Iterator[StackReader]:
        """Open the observation counts of a part: uint16 bands `SEEN`, 65535 = unknown or sensor missing."""
        with self._reader(part, COUNTS_FILE, SEEN) as reader:
            yield reader

    def label(self, part: str) -> NDArray[np.uint8] | None:
        """The label (y, x), uint8: 1 landslide, 0 not, 255 ignore, also where not observed; None without a label."""
        return self._classes(part, LABEL_FILE, "label")

    def cover(self, part: str) -> NDArray[np.uint8] | None:
        """The land cover (y, x), uint8, numbered as in `cover_names`, 255 = unknown; None if the case has none."""
        return self._classes(part, COVER_FILE, "cover")

    @property
    def cover_names(self) -> dict[int, str]:
        """The names of the land cover classes; empty if the case has none."""
        return next((layer.info.cover_names for layer in self.layers.values() if layer.info.cover_names), {})

    @contextmanager
    def _reader(self, part: str, name: str, bands: tuple[str, ...] = ()) -> Iterator[StackReader]:
        with ExitStack() as opened:
            files = [path for layer in self.layers.values() if (path := layer.file(part, name)) is not None]
            readers = [opened.enter_context(Reader(path)) for path in files]
            grid = next(iter(self.layers.values())).info.parts[part].grid
            yield StackReader(f"case {self.info.case.id}, {part}", grid.geobox, readers, bands)

    def _classes(self, part: str, name: str, band: str) -> NDArray[np.uint8] | None:
        for layer in self.layers.values():
            if (path := layer.file(part, name)) is not None:
                with Reader(path) as reader:
                    classes: NDArray[np.uint8] = reader.read([band])[0]
                return classes
        return None


class StackReader:
    """Reads bands by name from several rasters on one grid. Not thread-safe.

    `filled` are bands that read as 65535 if no raster has them.
    """

    def __init__(self, where: str, geobox: GeoBox, readers: Sequence[Reader], filled: tuple[str, ...] = ()) -> None:
        self._where, self._filled = where, filled
        self._by_band = {band: reader for reader in readers for band in reader.bands}
        self.bands: tuple[str, ...] = filled or tuple(self._by_band)
        self.geobox = geobox
        self.shape: tuple[int, int] = (geobox.shape.y, geobox.shape.x)

    def read(self, bands: Sequence[str], roi: Roi | None = None) -> NDArray[Any]:
        """Read bands (band, y, x) in the given order. BandError if one is missing, InputError if a file is damaged."""
        rows, columns = roi or (slice(0, self.shape[0]), slice(0, self.shape[1]))
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        return self._gathered(bands, shape, lambda reader, names: reader.read(names, roi))

    def resized(self, bands: Sequence[str], shape: tuple[int, int], resampling: str) -> NDArray[Any]:
        """Read whole bands (band, height, width) at another size, from overviews; `resampling` is rasterio's name."""
        return self._gathered(bands, shape, lambda reader, names: reader.resized(names, shape, resampling))

    def _gathered(self, bands: Sequence[str], shape: tuple[int, int], read: Any) -> NDArray[Any]:
        band_indices(bands, self.bands, self._where)
        groups: dict[Reader, list[str]] = {}
        for band in bands:
            if (reader := self._by_band.get(band)) is not None:
                groups.setdefault(reader, []).append(band)
        planes: dict[str, NDArray[Any]] = {}
        for reader, names in groups.items():
            planes |= dict(zip(names, read(reader, names), strict=True))
        unknown = np.full(shape, COUNT_UNKNOWN, "uint16") if self._filled else None
        found = [planes.get(band, unknown) for band in bands]
        return np.stack(found) if found else np.empty((0, *shape), "float32")  # type: ignore[arg-type]


def open_stack(artifact: Artifact, store: ArtifactStore) -> Stack:
    """Open a stack, after fetching it and its layers from the shared storage if they are not here."""
    folder = store.path(artifact)
    for layer in StackInfo.model_validate_json((folder / STACK_FILE).read_text()).layers.values():
        store.path(layer)
    return Stack.open(folder)


def open_stacks(stacks: Mapping[str, Mapping[str, Artifact]], store: ArtifactStore) -> dict[str, list[Stack]]:
    """Open the stacks of each role, in the order of the cases."""
    return {role: [open_stack(artifact, store) for artifact in cases.values()] for role, cases in stacks.items()}
