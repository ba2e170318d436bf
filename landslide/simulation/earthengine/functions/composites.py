"""Composites: mosaics and reductions of image collections.

The default projection of a composite is WGS 84 with pixels of 1 degree. Its footprint is the union of the footprints of
its images, which is stricter than Earth Engine where that treats composites as unbounded.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..geometry import Geometry, union
from ..grids import WGS84, Grid
from ..pixels import EMPTY_TILE, Array, Flags, RenderContext, Tile, TileFunction
from ..pixeltypes import DOUBLE, INT32, PixelType
from ..pixeltypes import union as union_of_types
from ..registry import algorithm
from ..values import Element, ElementCollection, Image, ImageBand
from .arithmetic import to_working_dtype


def footprint(elements: Sequence[Element]) -> Geometry | None:
    """The union of the footprints; None if one is unbounded or there is no element."""
    known = [element.footprint for element in elements if element.footprint is not None]
    return union(known) if known and len(known) == len(elements) else None


def bands_by_name(collection: ElementCollection) -> Iterator[tuple[str, list[ImageBand], list[Geometry | None]]]:
    """For each band name of the first image: the bands of that name and the footprints of their images, in order."""
    images = [element for element in collection.elements if isinstance(element, Image)]
    if not images:
        return
    tables = [({band.name: band for band in image.bands}, image.footprint) for image in images]
    for name in images[0].names:
        found = [(table[name], image_footprint) for table, image_footprint in tables if name in table]
        yield name, [band for band, _ in found], [image_footprint for _, image_footprint in found]


@algorithm("ImageCollection.mosaic")
def mosaic(collection: ElementCollection) -> Image:
    """The mosaic with the last image on top; that of an empty collection has no bands."""
    bands = []
    for name, stack, _ in bands_by_name(collection):
        kind = union_of_types(*(band.type for band in stack))
        bands.append(ImageBand(name, kind, WGS84, _topmost(stack, kind.is_integer)))
    return Image(bands=tuple(bands), footprint=footprint(collection.elements))


def _topmost(stack: Sequence[ImageBand], integral: bool) -> TileFunction:
    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        out = EMPTY_TILE
        for band in reversed(stack):
            tile = band.tile(render, grid)
            if not tile.mask.any():
                continue
            values = tile.values if integral else tile.values.astype(np.float64, copy=False)
            out = tile if out is EMPTY_TILE else Tile(np.where(out.mask, out.values, values), out.mask | tile.mask)
            if out.mask.all():
                break
        return out

    return compute_tile


@dataclass(frozen=True)
class Statistic:
    """A reduction: `compute` maps values and masks (image, row, column) to one value and mask (row, column)."""

    compute: Callable[[Array, Flags], tuple[Array, Flags]]
    result_type: Callable[[PixelType], PixelType]


def _mean(values: Array, masks: Flags) -> tuple[Array, Flags]:
    count = masks.sum(0)
    return np.where(masks, values, 0).sum(0, dtype=np.float64) / np.maximum(count, 1), count > 0


def _median(values: Array, masks: Flags) -> tuple[Array, Flags]:
    """The median of the unmasked values."""
    ordered = np.sort(np.where(masks, values, np.inf).astype(np.float64), axis=0)
    known = masks.sum(0)
    last = np.maximum(known - 1, 0)
    below, above = (np.take_along_axis(ordered, at[None], 0)[0] for at in (last // 2, (last + 1) // 2))
    return np.where(known > 0, (below + above) / 2, 0.0), known > 0


def _max(values: Array, masks: Flags) -> tuple[Array, Flags]:
    minimum = np.float64(-np.inf) if values.dtype.kind == "f" else np.int64(-(2**62))
    largest: Array = np.where(masks, values, minimum).max(0)
    return largest, np.asarray(masks.any(0))


def _count(values: Array, masks: Flags) -> tuple[Array, Flags]:
    counted = masks.sum(0, dtype=np.int32)
    return counted, counted > 0


def _averaged(kind: PixelType) -> PixelType:
    return DOUBLE if kind.is_integer else PixelType(kind.precision)


STATISTICS = {
    "mean": Statistic(_mean, _averaged),
    "median": Statistic(_median, _averaged),
    "max": Statistic(_max, lambda kind: kind),
    "count": Statistic(_count, lambda kind: INT32),
}


def _register(name: str, statistic: Statistic) -> None:
    def composite(collection: ElementCollection) -> Image:
        bands = []
        for label, stack, footprints in bands_by_name(collection):
            kind = union_of_types(*(band.type for band in stack))
            compute_tile = _reduced(stack, statistic, kind)
            if name == "count":
                compute_tile = _zero_in_footprints(compute_tile, footprints)
            bands.append(ImageBand(label, statistic.result_type(kind), WGS84, compute_tile))
        return Image(bands=tuple(bands), footprint=footprint(collection.elements))

    algorithm(f"reduce.{name}")(composite)


for _name, _statistic in STATISTICS.items():
    _register(_name, _statistic)


def _reduced(stack: Sequence[ImageBand], statistic: Statistic, kind: PixelType) -> TileFunction:
    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        seen = [tile for band in stack if (tile := band.tile(render, grid)).mask.any()]
        if not seen:
            return EMPTY_TILE
        values = np.stack([np.broadcast_to(to_working_dtype(tile.values, kind), grid.shape) for tile in seen])
        masks = np.stack([np.broadcast_to(tile.mask, grid.shape) for tile in seen])
        return Tile(*statistic.compute(values, masks))

    return compute_tile


def _zero_in_footprints(count: TileFunction, footprints: Sequence[Geometry | None]) -> TileFunction:
    """Counts that are 0 where all images are masked, and masked outside of all footprints."""

    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        tile = render.tile(count, grid).full(grid.shape)
        if tile.mask.all():
            return tile
        covered = np.zeros(grid.shape, bool)
        for image_footprint in footprints:
            covered |= True if image_footprint is None else render.inside(image_footprint, grid)
        return Tile(np.where(tile.mask, tile.values, 0), tile.mask | covered)

    return compute_tile
