"""What every source delivers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from landslide.geo.grid import Roi

SEEN = ("s1_pre", "s1_post", "s2_pre", "s2_post")


@dataclass(frozen=True)
class SceneInfo:
    """One acquisition that a source uses: what the report says was seen."""

    sensor: str
    when: str
    id: str
    date: str | None = None
    orbit: str | None = None
    cloud_cover: float | None = None


@dataclass(frozen=True)
class Block:
    """Bands on one block. `values`: float32 (y, x) per band, NaN = not observed; `seen`: uint16 (y, x), how many
    usable acquisitions each pixel has, per sensor and window (keys of `SEEN`; absent where the source cannot know).
    """

    values: Mapping[str, NDArray[np.float32]]
    seen: Mapping[str, NDArray[np.uint16]] = field(default_factory=dict)


class Source(Protocol):
    """What the prepare stage asks of a source.

    `parts` are the case's rasters by name, in order: one, called `scene`, for an event on its own grid; many for an
    archive of chips. A grid without CRS is a raster without georeference.
    """

    bands: tuple[str, ...]
    parts: Mapping[str, GeoBox]

    def fingerprint(self) -> str:
        """sha256 over everything that the bands depend on: files' contents, or items as the catalogue lists them."""
        ...

    def scenes(self) -> Sequence[SceneInfo]:
        """The acquisitions in use, in time order."""
        ...

    def read(self, part: str, roi: Roi) -> Block:
        """The bands of a part at row and column slices; the same values whatever blocks are asked for."""
        ...

    def label(self, part: str) -> NDArray[np.uint8] | None:
        """The part's ready-made label (y, x), 0 or 1 and 255 = ignore; None where labels come from an inventory."""
        ...


@runtime_checkable
class Exporter(Source, Protocol):
    """A source whose pixels a service computes: it asks for many blocks at once, and keeps what has come."""

    def export(self, part: str, workspace: Path) -> Iterator[tuple[Roi, Block]]:
        """The whole part in blocks of the source's choice, each as soon as it is there.

        What has come is kept in the workspace, so that an export that was killed goes on from there.
        """
        ...

    def account(self) -> dict[str, Any]:
        """What the export took: requests, bytes, retries, seconds, and what the service charged; JSON."""
        ...
