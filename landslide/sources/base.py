"""What every source delivers: the scenes that a case uses, found once, and one layer a sensor made of them.

A source is asked twice. `find_scenes` looks up what there is for a case and reads no pixel; its answer, a `SceneList`,
is all that the layers depend on. `export` then delivers the pixels of one layer from that list alone, whatever the
catalogue says meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import BaseModel, ConfigDict, JsonValue

from landslide.artifacts.stage import Keyed, NotInKey
from landslide.bands import BANDS
from landslide.cases.fields import When
from landslide.geo.grid import Roi

LayerName = Literal["sentinel1", "sentinel2", "terrain", "mask"]
LAYERS: tuple[LayerName, ...] = ("sentinel1", "sentinel2", "terrain", "mask")
SENSOR_LAYERS: Mapping[str, LayerName] = {"s1": "sentinel1", "s2": "sentinel2", "dem": "terrain", "water": "mask"}
COUNTS: Mapping[LayerName, tuple[str, ...]] = {
    "sentinel1": ("s1_pre", "s1_post"),
    "sentinel2": ("s2_pre", "s2_post"),
    "terrain": (),
    "mask": (),
}
"""The observation counts of a layer: usable acquisitions of each pixel, before and after the event."""
SCENE = "scene"  # the one part of a case on a grid of its own


class Asset(Keyed):
    """One band of a raster file: value = number in the file × scale + offset; `nodata` None leaves it to the file.

    `content` identifies what the file holds: its sha256 for a local file, else a digest of what a catalogue lists.
    """

    href: Annotated[str, NotInKey]
    content: str
    band: int = 1
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0


class Scene(Keyed):
    """One acquisition, or one file of an archive or a terrain model, that a layer is made from.

    Args:
        id: Its name in the catalogue or service, or that of its first file.
        sensor: `sentinel-1`, `sentinel-2`, `dem`, `water` or `archive`.
        side: Before or after the event; None where a scene has no time.
        time: Of the acquisition, UTC; None where it was not recorded.
        orbit: Direction and relative orbit of Sentinel-1, such as `ascending-44`.
        cloud_cover: Of the whole scene, percent.
        unit: `linear` or `dB`, of Sentinel-1.
        version: What the catalogue or service says of the scene beyond its id, as a digest or number.
        assets: The bands that are read, by variable (`vv`, `red`, `scl`, `elevation`); none where a service computes.
        properties: What else the export needs to know.
    """

    id: str
    sensor: str
    side: When | None = None
    time: datetime | None = None
    orbit: str = ""
    cloud_cover: Annotated[float | None, NotInKey] = None
    unit: str = ""
    version: str = ""
    assets: dict[str, Asset] = {}
    properties: dict[str, JsonValue] = {}

    @property
    def date(self) -> str | None:
        """The day (UTC) in ISO 8601; None where the time was not recorded."""
        return None if self.time is None else self.time.date().isoformat()


class LayerRequest(Keyed):
    """What a layer is to hold, and all that it is made from.

    `bands` are in the layer's order; `settings` are those of the sensor that change its pixels.
    """

    layer: LayerName
    bands: tuple[str, ...]
    scenes: tuple[Scene, ...] = ()
    settings: dict[str, JsonValue] = {}


class PartGrid(Keyed):
    """The grid of one raster: CRS (None without georeference), affine transform, and size in pixels."""

    crs: str | None
    transform: tuple[float, float, float, float, float, float]
    height: int
    width: int

    @classmethod
    def of(cls, geobox: GeoBox) -> PartGrid:
        """From odc-geo's grid."""
        height, width = geobox.shape
        crs = None if geobox.crs is None else str(geobox.crs)
        return cls(crs=crs, transform=tuple(geobox.affine)[:6], height=height, width=width)

    @property
    def geobox(self) -> GeoBox:
        """As odc-geo's grid."""
        return GeoBox((self.height, self.width), Affine(*self.transform), self.crs)


class SceneList(BaseModel):
    """All that a source has for a case, found once: a request for each layer that can be made.

    `missing` says of the other layers that the case asks for why they cannot, in a sentence for people. `parts` are the
    case's rasters by name, in order: one, called `scene`, for an event on its own grid; many for an archive of chips.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: str
    parts: dict[str, PartGrid]
    layers: dict[LayerName, LayerRequest]
    missing: dict[LayerName, str] = {}


@dataclass(frozen=True)
class Block:
    """Bands on one block of pixels.

    `values`: float32 (y, x) per band, NaN = not observed; `seen`: uint16 (y, x) per name in `COUNTS`, how many usable
    acquisitions each pixel has, absent where the source cannot know.
    """

    values: Mapping[str, NDArray[np.float32]]
    seen: Mapping[str, NDArray[np.uint16]] = field(default_factory=dict)


class Source(Protocol):
    """Where the layers of a case come from; `registry.open_source` opens one. Opening reads and asks for nothing."""

    def find_scenes(self) -> SceneList:
        """Look up what there is for the case.

        Raises:
            SourceError: The source cannot be read, or its metadata leave a unit, an orbit or a reflectance open.
            NoOverlapError: What it has of a sensor lies elsewhere.
            EmptyWindowError: No layer at all can be made; where one can, `missing` says why another cannot.
            ServiceError: A service does not answer.
        """
        ...

    def export(self, request: LayerRequest, part: str, workspace: Path) -> Iterator[tuple[Roi, Block]]:
        """All pixels of a part of a layer, block by block in any order, each pixel once.

        Works from the request alone. `workspace` is a folder, made by the source if it needs it, for what must outlast
        a process that is killed: the next export of the same layer goes on from there.
        """
        ...

    def label(self, request: LayerRequest, part: str) -> NDArray[np.uint8] | None:
        """The ready-made label (y, x) of a part, 0 or 1 and 255 = ignore; None where labels come from an inventory."""
        ...

    def account(self) -> dict[str, Any] | None:
        """What the last export took (requests, bytes, retries, seconds, what the service charged); None if local."""
        ...


def layer_of(band: str) -> LayerName:
    """The layer that a band belongs to."""
    return SENSOR_LAYERS[BANDS[band].sensor]


def bands_of(layer: LayerName, bands: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the bands that belong to a layer, in their order."""
    return tuple(band for band in bands if layer_of(band) == layer)
