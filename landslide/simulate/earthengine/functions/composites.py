"""Collections of images to one image: mosaics and reductions.

A composite has no projection of its own: by default it is that of WGS 84 in degrees. Its footprint is that of all its
images together, which is stricter than Google's where it takes composites for boundless.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..geometry import Geometry, union
from ..grids import WGS84, Grid
from ..pixels import NOTHING, Array, Flags, Render, Tile
from ..pixeltypes import union as union_of_types
from ..registry import algorithm
from ..values import Band, Collection, Element, Image
from .arithmetic import wide
from .reducers import Reducer, simple

COMPOSITES = {"median": "median", "mean": "mean", "max": "max", "min": "min", "sum": "sum", "count": "count",
              "product": "product", "mode": "mode", "and": "and", "or": "or"}  # fmt: skip


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


def _topmost(stack: Sequence[Band], integral: bool) -> Callable[[Render, Grid], Tile]:
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


@algorithm("ImageCollection.qualityMosaic")
def quality_mosaic(collection: Collection, quality_band: str) -> Image:
    """Of each pixel the image whose quality band is highest."""
    images = [element for element in collection.elements if isinstance(element, Image)]
    ranks = [image.band(quality_band) for image in images]
    bands = [
        Band(name, union_of_types(*(band.type for band in stack)), WGS84, _best(stack, ranks))
        for name, stack, _ in layers(collection)
    ]
    return Image(bands=tuple(bands), footprint=footprint(collection.elements))


def _best(stack: Sequence[Band], ranks: Sequence[Band]) -> Callable[[Render, Grid], Tile]:
    def pull(render: Render, grid: Grid) -> Tile:
        out, best = Tile(np.zeros(grid.shape), np.zeros(grid.shape, bool)), np.full(grid.shape, -np.inf)
        for band, rank in zip(stack, ranks, strict=True):
            tile, quality = band.on(render, grid), rank.on(render, grid).filled(grid.shape, -np.inf)
            better = tile.mask & (quality > best)
            out = Tile(np.where(better, tile.values, out.values), out.mask | better)
            best = np.where(better, quality, best)
        return out

    return pull


@algorithm("ImageCollection.reduce")
def reduce_collection(collection: Collection, reducer: Reducer) -> Image:
    """A reducer over the images, bands named `band_output`."""
    return _reduced(collection, reducer, "{band}_{output}")


def _reduced(collection: Collection, reducer: Reducer, naming: str) -> Image:
    bands = []
    for name, stack, places in layers(collection):
        kind = union_of_types(*(band.type for band in stack))
        for output in reducer.outputs:
            pull = _statistic(stack, places, reducer, output)
            label = naming.format(band=name, output=output)
            bands.append(Band(label, reducer.type_of(output, kind), WGS84, pull))
    return Image(bands=tuple(bands), footprint=footprint(collection.elements))


def _statistic(
    stack: Sequence[Band], places: Sequence[Geometry | None], reducer: Reducer, output: str
) -> Callable[[Render, Grid], Tile]:
    kind = union_of_types(*(band.type for band in stack))

    def pull(render: Render, grid: Grid) -> Tile:
        tiles = [band.on(render, grid) for band in stack]
        seen = [tile for tile in tiles if tile.mask.any()]
        if not seen:
            return (
                Tile(np.zeros(grid.shape, np.int32), _covered(render, grid, places)) if output == "count" else NOTHING
            )
        values = np.stack([np.broadcast_to(wide(tile.values, kind), grid.shape) for tile in seen])
        masks = np.stack([np.broadcast_to(tile.mask, grid.shape) for tile in seen])
        result, mask = reducer.stack(output, values, masks)
        if output == "count":
            mask = counted(result, render, grid, places)
        return Tile(result, mask)

    return pull


def counted(result: Array, render: Render, grid: Grid, places: Sequence[Geometry | None]) -> Flags:
    """Where a count is valid: 0 where images lie but are masked, masked where none lies."""
    known: Flags = result > 0
    return known if known.all() else known | _covered(render, grid, places)


def _covered(render: Render, grid: Grid, places: Sequence[Geometry | None]) -> Flags:
    covered = np.zeros(grid.shape, bool)
    for place in places:
        covered |= True if place is None else render.inside(place, grid)
    return covered


def _register(name: str, reducer: str) -> None:
    def composite(collection: Collection) -> Image:
        return _reduced(collection, simple(reducer), "{band}")

    algorithm(f"reduce.{name}")(composite)


for _name, _reducer in COMPOSITES.items():
    _register(_name, _reducer)


@algorithm("ImageCollection.toBands")
def to_bands(collection: Collection) -> Image:
    """Every image's bands under its index and their name."""
    bands = []
    for position, element in enumerate(collection.elements):
        index = element.properties.get("system:index", str(position))
        bands += [replace(band, name=f"{index}_{band.name}") for band in getattr(element, "bands", ())]
    return Image(bands=tuple(bands), footprint=footprint(collection.elements))


@algorithm("Image.reduce")
def reduce_bands(image: Image, reducer: Reducer) -> Image:
    """A reducer over the bands, named after its outputs."""
    kind = union_of_types(*(band.type for band in image.bands))
    first = image.bands[0]
    bands = []
    for output in reducer.outputs:
        pull = _statistic(image.bands, [image.footprint], reducer, output)
        bands.append(first.computed(pull, reducer.type_of(output, kind), output))
    return image.bare(bands)
