"""Geometries, and features as pixels. A pixel belongs to a polygon if its centre lies inside."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import shapely
from shapely.affinity import affine_transform

from ..geometry import Geometry
from ..grids import WGS84, Grid, Projection
from ..pixels import Flags, RenderContext, Tile, rasterize_geometry
from ..pixeltypes import PixelType, union
from ..registry import algorithm
from ..replies import ApiError, unsupported
from ..values import Element, ElementCollection, Image, ImageBand, Reducer
from .arithmetic import to_working_dtype

Points = Sequence[Any]


def _pairs(coordinates: Points) -> list[tuple[float, float]]:
    """Points from a flat list of numbers or a list of pairs."""
    if coordinates and isinstance(coordinates[0], int | float):
        return list(zip(map(float, coordinates[::2]), map(float, coordinates[1::2]), strict=True))
    return [(float(x), float(y)) for x, y in coordinates]


def _polygon(rings: Points) -> Any:
    return shapely.Polygon(_pairs(rings[0]), [_pairs(ring) for ring in rings[1:]])


def _rectangle(coordinates: Points) -> Any:
    """A rectangle from two corners: (west, south), (east, north)."""
    (west, south), (east, north) = _pairs(coordinates)
    return shapely.box(west, south, east, north)


CONSTRUCTORS: dict[str, Callable[[Points], Any]] = {
    "Polygon": _polygon,
    "MultiPolygon": lambda parts: shapely.MultiPolygon([_polygon(part) for part in parts]),
    "Rectangle": _rectangle,
}


def _register(name: str, make: Callable[[Points], Any]) -> None:
    def constructor(coordinates: list[Any], crs: Projection | None) -> Geometry:
        """Coordinates are in pixels of the projection; those of a CRS without a transform are its units."""
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
def paint(image: Image, feature_collection: ElementCollection, color: Any, width: float | None) -> Image:
    """Set every band to a value inside features or on their outlines.

    Painted pixels are unmasked, so `ee.Image().byte().paint(…)` draws on an empty image.

    Args:
        image: The image.
        feature_collection: The features; later ones lie on top.
        color: A number, or the name of a numeric property.
        width: Width of the outlines in pixels; None fills the features.

    Raises:
        ApiError: A property is not a number.
    """
    values = [_value_of(element, color) for element in feature_collection.elements]
    kind = _type_of(values)
    return image.with_bands([_painted(band, feature_collection.elements, values, width, kind) for band in image.bands])


def _value_of(element: Element, value: Any) -> float:
    """A number, or the number in a property of the element."""
    found = element.get(value) if isinstance(value, str) else value
    if not isinstance(found, int | float):
        raise ApiError(f"The property '{value}' is not a number: {found!r}.")
    return found


def _type_of(values: Sequence[float]) -> PixelType:
    whole = all(float(value).is_integer() for value in values)
    return PixelType("int" if whole else "double", min(values, default=0), max(values, default=0))


def _painted(
    band: ImageBand, elements: Sequence[Element], values: Sequence[float], width: float | None, painted: PixelType
) -> ImageBand:
    kind = union(band.type, painted)

    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        tile = band.tile(render, grid).full(grid.shape)
        out, mask = np.array(to_working_dtype(tile.values, kind)), np.array(tile.mask)
        for element, value in zip(elements, values, strict=True):
            covered = _element_pixels(render, element, grid, width)
            out[covered], mask[covered] = value, True
        return Tile(out, mask)

    return band.derive(compute_tile, kind)


def _element_pixels(render: RenderContext, element: Element, grid: Grid, width: float | None = None) -> Flags:
    """The pixels inside an element, or within half a width of its outline."""
    geometry = element.footprint
    if geometry is None or geometry.shape.is_empty:
        return np.zeros(grid.shape, bool)
    return render.inside(geometry, grid) if width is None else rasterize_geometry(geometry.outline(grid, width), grid)


@algorithm("Collection.reduceToImage")
def reduce_to_image(collection: ElementCollection, properties: list[str], reducer: Reducer) -> Image:
    """A property of the first feature at each pixel, masked where there is none. The band is called `first`."""
    if reducer.output != "first" or len(properties) != 1:
        raise unsupported("Collection.reduceToImage of anything but the first value of one property")
    elements = [element for element in collection.elements if element.get(properties[0]) is not None]
    values = [_value_of(element, properties[0]) for element in elements]

    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        out, mask = np.zeros(grid.shape), np.zeros(grid.shape, bool)
        for element, value in zip(reversed(elements), reversed(values), strict=True):
            covered = _element_pixels(render, element, grid)
            out[covered], mask[covered] = value, True
        return Tile(out, mask)

    return Image(bands=(ImageBand(reducer.output, _type_of(values), WGS84, compute_tile),))
