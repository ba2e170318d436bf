"""Collections of images to one image: mosaics and reductions.

A composite has no projection of its own: by default it is that of WGS 84 in degrees. Its footprint is that of all its
images together, which is stricter than Google's where it takes composites for boundless.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..geometry import Geometry, union
from ..grids import WGS84, Grid
from ..pixels import NOTHING, Array, Flags, Pull, Render, Tile
from ..pixeltypes import DOUBLE, INT32, PixelType
from ..pixeltypes import union as union_of_types
from ..registry import algorithm
from ..values import Band, Collection, Element, Image
from .arithmetic import wide


def footprint(elements: Sequence[Element]) -> Geometry | None:
    """That of all elements together; None where one is boundless or there is none."""
    known = [element.footprint for element in elements if element.footprint is not None]
    return union(known) if known and len(known) == len(elements) else None


def layers(collection: Collection) -> Iterator[tuple[str, list[Band], list[Geometry | None]]]:
    """For each band name of the first image: the bands of that name and the footprints of their images, in order."""
    images = [element for element in collection.elements if isinstance(element, Image)]
    if not images:
        return
    tables = [({band.name: band for band in image.bands}, image.footprint) for image in images]
    for name in images[0].names:
        found = [(table[name], place) for table, place in tables if name in table]
        yield name, [band for band, _ in found], [place for _, place in found]


@algorithm("ImageCollection.mosaic")
def mosaic(collection: Collection) -> Image:
    """The last image on top; an empty collection has no bands."""
    bands = []
    for name, stack, _ in layers(collection):
        kind = union_of_types(*(band.type for band in stack))
        bands.append(Band(name, kind, WGS84, _topmost(stack, kind.integral)))
    return Image(bands=tuple(bands), footprint=footprint(collection.elements))


def _topmost(stack: Sequence[Band], integral: bool) -> Pull:
    def pull(render: Render, grid: Grid) -> Tile:
        out = NOTHING
        for band in reversed(stack):
            tile = band.on(render, grid)
            if not tile.mask.any():
                continue
            values = tile.values if integral else tile.values.astype(np.float64, copy=False)
            out = tile if out is NOTHING else Tile(np.where(out.mask, out.values, values), out.mask | tile.mask)
            if out.mask.all():
                break
        return out

    return pull


@dataclass(frozen=True)
class Statistic:
    """`compute` makes one value and its mask of a stack of values (image, row, column) and their masks."""

    compute: Callable[[Array, Flags], tuple[Array, Flags]]
    typing: Callable[[PixelType], PixelType]


def _mean(values: Array, masks: Flags) -> tuple[Array, Flags]:
    count = masks.sum(0)
    return np.where(masks, values, 0).sum(0, dtype=np.float64) / np.maximum(count, 1), count > 0


def _median(values: Array, masks: Flags) -> tuple[Array, Flags]:
    """The middle value, or the mean of the two middle ones."""
    ordered = np.sort(np.where(masks, values, np.inf).astype(np.float64), axis=0)
    known = masks.sum(0)
    last = np.maximum(known - 1, 0)
    below, above = (np.take_along_axis(ordered, at[None], 0)[0] for at in (last // 2, (last + 1) // 2))
    return np.where(known > 0, (below + above) / 2, 0.0), known > 0


def _max(values: Array, masks: Flags) -> tuple[Array, Flags]:
    least = np.float64(-np.inf) if values.dtype.kind == "f" else np.int64(-(2**62))
    largest: Array = np.where(masks, values, least).max(0)
    return largest, np.asarray(masks.any(0))


def _count(values: Array, masks: Flags) -> tuple[Array, Flags]:
    counted = masks.sum(0, dtype=np.int32)
    return counted, counted > 0


def _averaged(kind: PixelType) -> PixelType:
    return DOUBLE if kind.integral else PixelType(kind.precision)


STATISTICS = {
    "mean": Statistic(_mean, _averaged),
    "median": Statistic(_median, _averaged),
    "max": Statistic(_max, lambda kind: kind),
    "count": Statistic(_count, lambda kind: INT32),
}


def _register(name: str, statistic: Statistic) -> None:
    def composite(collection: Collection) -> Image:
        bands = []
        for label, stack, places in layers(collection):
            kind = union_of_types(*(band.type for band in stack))
            pull = _reduced(stack, statistic, kind)
            if name == "count":
                pull = _counted(pull, places)
            bands.append(Band(label, statistic.typing(kind), WGS84, pull))
        return Image(bands=tuple(bands), footprint=footprint(collection.elements))

    algorithm(f"reduce.{name}")(composite)


for _name, _statistic in STATISTICS.items():
    _register(_name, _statistic)


def _reduced(stack: Sequence[Band], statistic: Statistic, kind: PixelType) -> Pull:
    def pull(render: Render, grid: Grid) -> Tile:
        seen = [tile for band in stack if (tile := band.on(render, grid)).mask.any()]
        if not seen:
            return NOTHING
        values = np.stack([np.broadcast_to(wide(tile.values, kind), grid.shape) for tile in seen])
        masks = np.stack([np.broadcast_to(tile.mask, grid.shape) for tile in seen])
        return Tile(*statistic.compute(values, masks))

    return pull


def _counted(count: Pull, places: Sequence[Geometry | None]) -> Pull:
    """Counts that are 0 where images lie but are masked, and masked where none lies."""

    def pull(render: Render, grid: Grid) -> Tile:
        tile = render.tile(count, grid).full(grid.shape)
        if tile.mask.all():
            return tile
        covered = np.zeros(grid.shape, bool)
        for place in places:
            covered |= True if place is None else render.inside(place, grid)
        return Tile(np.where(tile.mask, tile.values, 0), tile.mask | covered)

    return pull
