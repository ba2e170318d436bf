"""What happened to the ground between two dates, of every kind, as rasters that both sensors read."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from shapely import Geometry

from .landscape import Cover
from .noise import Bytes, Floats, coverage
from .terrain import PIXEL


class Truth(IntEnum):
    """Values of the truth raster."""

    BACKGROUND = 0
    LANDSLIDE = 1
    CLEAR_CUT = 2
    HARVEST = 3
    FLOOD = 4
    SNOW = 5


COVER_FROM, KIND_FROM = 1, 10
COVER_NAMES = {COVER_FROM + kind: kind.name.lower() for kind in Cover} | {
    KIND_FROM + Truth.CLEAR_CUT: "clear-cut",
    KIND_FROM + Truth.HARVEST: "harvest",
    KIND_FROM + Truth.FLOOD: "flood bank",
    KIND_FROM + Truth.SNOW: "snow",
}


@dataclass(frozen=True)
class Look:
    """How one changed object looks: first and last day of it (days since the event), the green fraction it leaves,
    the brightness of its background relative to soil, and its backscatter relative to the kind's own, in dB."""

    onset: float
    until: float
    green: float
    tone: float
    rough: float


@dataclass(frozen=True)
class Change:
    """All objects of one kind on the landscape's grid, float32 (rows, columns): the share of each pixel they cover,
    and their `Look`."""

    kind: Truth
    fraction: Floats
    onset: Floats
    until: Floats
    green: Floats
    tone: Floats
    rough: Floats

    def at(self, day: float) -> Floats:
        """The share of each pixel under this change on a day counted from the event."""
        return np.where((self.onset <= day) & (day <= self.until), self.fraction, np.float32(0))


def paint(kind: Truth, shape: tuple[int, int], objects: list[tuple[Geometry, Look]]) -> Change:
    """Rasterise objects, polygons in metres from the upper left corner (x right, y down); a later one lies on top."""
    layers = {name: np.zeros(shape, np.float32) for name in ("fraction", "onset", "until", "green", "tone", "rough")}
    for geometry, look in objects:
        window, share = coverage(geometry, shape, PIXEL)
        on_top = share > 0
        layers["fraction"][window] = np.maximum(layers["fraction"][window], share)
        for name in ("onset", "until", "green", "tone", "rough"):
            layers[name][window][on_top] = getattr(look, name)
    return Change(kind, **layers)


def without(change: Change, taken: Floats) -> Change:
    """The change where nothing else has taken its share of the pixel."""
    fraction = np.minimum(change.fraction, 1 - taken)
    fraction[taken >= 0.5] = 0
    return Change(change.kind, fraction, change.onset, change.until, change.green, change.tone, change.rough)


def truth(changes: list[Change]) -> Bytes:
    """The kind that covers at least half of each pixel, uint8 (`Truth`); of two kinds the first in the list."""
    values = np.zeros(changes[0].fraction.shape, np.uint8)
    for change in reversed(changes):
        values[change.fraction >= 0.5] = change.kind
    return values


def known_cover(cover: Bytes, kinds: Bytes) -> Bytes:
    """Land cover (`Cover`) and, on top, what is mistaken for landslides (`Truth`), by the numbers of `COVER_NAMES`.

    Landslides keep the cover that they hit, so that a class tells what was missed in it, too.
    """
    return np.where(kinds > Truth.LANDSLIDE, KIND_FROM + kinds, COVER_FROM + cover).astype(np.uint8)
