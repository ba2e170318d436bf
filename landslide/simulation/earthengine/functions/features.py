"""Features: their geometries, and them as pixels. A pixel belongs to a polygon that its centre lies in."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import shapely
from shapely.affinity import affine_transform

from ..geometry import Geometry
from ..grids import WGS84, Grid, Projection
from ..pixels import Flags, Render, Tile, rasterised
from ..pixeltypes import PixelType, union
from ..registry import algorithm
from ..replies import ApiError, not_imitated
from ..values import Band, Collection, Element, Image, Reducer
from .arithmetic import wide

Points = Sequence[Any]


def _pairs(coordinates: Points) -> list[tuple[float, float]]:
    """A flat list of numbers or a list of points as points."""
    if coordinates and isinstance(coordinates[0], int | float):
        return list(zip(map(float, coordinates[::2]), map(float, coordinates[1::2]), strict=True))
    return [(float(x), float(y)) for x, y in coordinates]


def _polygon(rings: Points) -> Any:
    return shapely.Polygon(_pairs(rings[0]), [_pairs(ring) for ring in rings[1:]])


def _rectangle(coordinates: Points) -> Any:
    """From two corners: west, south, east, north."""
    (west, south), (east, north) = _pairs(coordinates)
    return shapely.box(west, south, east, north)


CONSTRUCTORS: dict[str, Callable[[Points], Any]] = {
    "Polygon": _polygon,
    "MultiPolygon": lambda parts: shapely.MultiPolygon([_polygon(part) for part in parts]),
    "Rectangle": _rectangle,
}


def _register(name: str, make: Callable[[Points], Any]) -> None:
    def constructor(coordinates: list[Any], crs: Projection | None) -> Geometry:
        """Coordinates are in a projection's pixels, which for a bare CRS are its units."""
        a, b, c, d, e, f = (crs or WGS84).transform
        try:
            shape = affine_transform(make(coordinates), [a, b, d, e, c, f])
        except (IndexError, TypeError, ValueError, shapely.errors.ShapelyError) as error:
            raise ApiError(f"GeometryConstructors.{name}: Invalid coordinates: {error}.") from error
        return Geometry(shape, (crs or WGS84).crs)

    algorithm(f"GeometryConstructors.{name}")(constructor)


for _name, _make in CONSTRUCTORS.items():
    _register(_name, _make)


@algorithm("Image.paint")
def paint(image: Image, feature_collection: Collection, color: Any, width: float | None) -> Image:
    """A value in every band where features lie, or where their outlines of a width in pixels do; later ones on top.

    What is painted is masked no more: `ee.Image().byte().paint(…)` draws on nothing.
    """
    values = [_value_of(element, color) for element in feature_collection.elements]
    kind = _type_of(values)
    return image.with_bands([_painted(band, feature_collection.elements, values, width, kind) for band in image.bands])


def _value_of(element: Element, value: Any) -> float:
    """A number, or that of a property."""
    found = element.get(value) if isinstance(value, str) else value
    if not isinstance(found, int | float):
        raise ApiError(f"The property '{value}' is not a number: {found!r}.")
    return found


def _type_of(values: Sequence[float]) -> PixelType:
    whole = all(float(value).is_integer() for value in values)
    return PixelType("int" if whole else "double", min(values, default=0), max(values, default=0))


def _painted(
    band: Band, elements: Sequence[Element], values: Sequence[float], width: float | None, painted: PixelType
) -> Band:
    kind = union(band.type, painted)

    def pull(render: Render, grid: Grid) -> Tile:
        tile = band.on(render, grid).full(grid.shape)
        out, mask = np.array(wide(tile.values, kind)), np.array(tile.mask)
        for element, value in zip(elements, values, strict=True):
            lies = _covered(render, element, grid, width)
            out[lies], mask[lies] = value, True
        return Tile(out, mask)

    return band.computed(pull, kind)


def _covered(render: Render, element: Element, grid: Grid, width: float | None = None) -> Flags:
    """The pixels within an element, or within half a width of its outline."""
    place = element.footprint
    if place is None or place.shape.is_empty:
        return np.zeros(grid.shape, bool)
    return render.inside(place, grid) if width is None else rasterised(place.outline(grid, width), grid)


@algorithm("Collection.reduceToImage")
def reduce_to_image(collection: Collection, properties: list[str], reducer: Reducer) -> Image:
    """A property of the first feature at each pixel, named after the reducer's output; masked where there is none."""
    if reducer.output != "first" or len(properties) != 1:
        raise not_imitated("Collection.reduceToImage of anything but the first value of one property")
    elements = [element for element in collection.elements if element.get(properties[0]) is not None]
    values = [_value_of(element, properties[0]) for element in elements]

    def pull(render: Render, grid: Grid) -> Tile:
        out, mask = np.zeros(grid.shape), np.zeros(grid.shape, bool)
        for element, value in zip(reversed(elements), reversed(values), strict=True):
            lies = _covered(render, element, grid)
            out[lies], mask[lies] = value, True
        return Tile(out, mask)

    return Image(bands=(Band(reducer.output, _type_of(values), WGS84, pull),))
