"""Changes of the ground surface between two dates, as rasters from which both sensors are simulated."""

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
from shapely import Geometry

from .landscape import LandCover
from .noise import Bytes, Floats, coverage
from .terrain import PIXEL


class GroundTruth(IntEnum):
    """Values of the ground truth raster."""

    BACKGROUND = 0
    LANDSLIDE = 1
    CLEAR_CUT = 2
    HARVEST = 3
    FLOOD = 4
    SNOW = 5


COVER_OFFSET, KIND_OFFSET = 1, 10
COVER_NAMES = {COVER_OFFSET + kind: kind.name.lower() for kind in LandCover} | {
    KIND_OFFSET + GroundTruth.CLEAR_CUT: "clear-cut",
    KIND_OFFSET + GroundTruth.HARVEST: "harvest",
    KIND_OFFSET + GroundTruth.FLOOD: "flood bank",
    KIND_OFFSET + GroundTruth.SNOW: "snow",
}


@dataclass(frozen=True)
class Appearance:
    """Appearance of one changed object.

    `onset` and `end` are its first and last day, counted from the event; `green` is the green fraction that remains
    (0-1); `brightness` is that of the bare ground relative to soil; `roughness_db` is the backscatter relative to the
    mean of its kind, in dB.
    """

    onset: float
    end: float
    green: float
    brightness: float
    roughness_db: float


APPEARANCE = tuple(field.name for field in fields(Appearance))


@dataclass(frozen=True)
class Change:
    """All objects of one kind on the landscape's grid, float32 (rows, columns).

    `fraction` is the share of each pixel that they cover; the other rasters are the fields of `Appearance`.
    """

    kind: GroundTruth
    fraction: Floats
    onset: Floats
    end: Floats
    green: Floats
    brightness: Floats
    roughness_db: Floats

    def at(self, day: float) -> Floats:
        """The share of each pixel under this change on a day, counted from the event."""
        return np.where((self.onset <= day) & (day <= self.end), self.fraction, np.float32(0))


def paint(kind: GroundTruth, shape: tuple[int, int], objects: list[tuple[Geometry, Appearance]]) -> Change:
    """Rasterise objects: polygons in metres from the upper left corner (x right, y down). Later objects lie on top."""
    layers = {name: np.zeros(shape, np.float32) for name in ("fraction", *APPEARANCE)}
    for geometry, appearance in objects:
        window, share = coverage(geometry, shape, PIXEL)
        on_top = share > 0
        layers["fraction"][window] = np.maximum(layers["fraction"][window], share)
        for name in APPEARANCE:
            layers[name][window][on_top] = getattr(appearance, name)
    return Change(kind, **layers)


def exclude(change: Change, taken: Floats) -> Change:
    """The change limited to the share of each pixel that is not `taken`; 0 where at least half is taken."""
    fraction = np.minimum(change.fraction, 1 - taken)
    fraction[taken >= 0.5] = 0
    return Change(change.kind, fraction, change.onset, change.end, change.green, change.brightness, change.roughness_db)


def truth_raster(changes: list[Change]) -> Bytes:
    """The kind that covers at least half of each pixel, uint8 (`GroundTruth`). If two do, the earlier in the list."""
    values = np.zeros(changes[0].fraction.shape, np.uint8)
    for change in reversed(changes):
        values[change.fraction >= 0.5] = change.kind
    return values


def cover_classes(cover: Bytes, kinds: Bytes) -> Bytes:
    """Land cover before the event, replaced by the confounder where there is one; uint8, numbered by `COVER_NAMES`.

    Landslide pixels keep the land cover from before the event, so that recall can be computed for each class.
    """
    return np.where(kinds > GroundTruth.LANDSLIDE, KIND_OFFSET + kinds, COVER_OFFSET + cover).astype(np.uint8)
