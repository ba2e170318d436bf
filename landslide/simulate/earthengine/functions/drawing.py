"""Features as pixels: a pixel belongs to a polygon that its centre lies in."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import ImageColor

from ..errors import ApiError
from ..grids import WGS84, Grid
from ..pixels import FALSE, Array, Flags, Render, Tile, outlined
from ..pixeltypes import UINT8, PixelType, union
from ..registry import algorithm
from ..values import Band, Collection, Element, Image
from .arithmetic import wide
from .reducers import Reducer

LINEAR = ("LineString", "LinearRing", "MultiLineString")
POINTS = ("Point", "MultiPoint")
BLACK = (0, 0, 0, 255)


@algorithm("Image.paint")
def paint(image: Image, feature_collection: Collection, color: Any, width: Any) -> Image:
    """A value in every band where features lie, or where their outlines of a width in pixels do; later ones on top.

    What is painted is masked no more: `ee.Image().byte().paint(…)` draws on nothing.
    """
    values = [_value_of(element, color) for element in feature_collection.elements]
    kind = _type_of(values)
    return image.with_bands([_painted(band, feature_collection.elements, values, width, kind) for band in image.bands])


def _value_of(element: Element, value: Any) -> float:
    found = element.get(value) if isinstance(value, str) else value
    if not isinstance(found, int | float):
        raise ApiError(f"Image.paint: The property '{value}' is not a number: {found!r}.")
    return found


def _type_of(values: Sequence[float]) -> PixelType:
    whole = all(float(value).is_integer() for value in values)
    return PixelType("int" if whole else "double", min(values, default=0), max(values, default=0))


def _painted(band: Band, elements: Sequence[Element], values: Sequence[float], width: Any, painted: PixelType) -> Band:
    kind = union(band.type, painted)

    def pull(render: Render, grid: Grid) -> Tile:
        tile = band.on(render, grid).full(grid.shape)
        out, mask = np.array(wide(tile.values, kind)), np.array(tile.mask)
        for element, value in zip(elements, values, strict=True):
            line = None if width is None else _value_of(element, width)
            lies = covered(render, element, grid, line)
            out[lies], mask[lies] = value, True
        return Tile(out, mask)

    return band.computed(pull, kind)


def covered(render: Render, element: Element, grid: Grid, width: float | None) -> Flags:
    """The pixels of an element: within it, or within half a line's width in pixels of its outline."""
    place = element.footprint
    if place is None or place.shape.is_empty:
        return np.zeros(grid.shape, bool)
    if width is None and place.shape.geom_type not in (*LINEAR, *POINTS):
        return render.inside(place, grid)
    return outlined(place, grid, 1.0 if width is None else width)


@algorithm("Collection.reduceToImage")
def reduce_to_image(collection: Collection, properties: list[str], reducer: Reducer) -> Image:
    """A reducer over a property of the features at each pixel, named after its output; masked where there is none."""
    if len(properties) != 1:
        raise ApiError("Collection.reduceToImage: Only one property is imitated by the loopback Earth Engine.")
    elements = [element for element in collection.elements if element.get(properties[0]) is not None]
    values = [_value_of(element, properties[0]) for element in elements]
    bands = []
    for output in reducer.outputs:
        pull = _gathered(elements, values, reducer, output)
        bands.append(Band(output, reducer.type_of(output, _type_of(values)), WGS84, pull))
    return Image(bands=tuple(bands))


def _gathered(elements: Sequence[Element], values: Sequence[float], reducer: Reducer, output: str) -> Any:
    def pull(render: Render, grid: Grid) -> Tile:
        masks = [covered(render, element, grid, None) for element in elements]
        if not masks:
            return Tile(np.array(0), FALSE)
        stack = np.stack([np.full(grid.shape, value) for value in values])
        return Tile(*reducer.stack(output, stack, np.stack(masks)))

    return pull


@algorithm("Collection.draw")
def draw(collection: Collection, color: str, point_radius: int, stroke_width: int) -> Image:
    """Features in one colour as vis-red, vis-green, vis-blue: outlines opaque, insides at two thirds."""
    return style(collection, color, point_radius, "circle", stroke_width, None, None, 5, "solid")


@algorithm("Collection.style")
def style(
    collection: Collection, color: str, point_size: int, point_shape: str, width: float, fill_color: str | None,
    style_property: str | None, neighborhood: int, line_type: str,
) -> Image:  # fmt: skip
    """Features as an image of colours (vis-red, vis-green, vis-blue), masked where there is none.

    Outlines of `width` pixels lie over insides; points are discs whatever their shape; opacity is not blended.
    """
    plain = {"color": color, "width": width, "fillColor": fill_color, "pointSize": point_size}
    styles = [{**plain, **(_told(element, style_property))} for element in collection.elements]

    def painted(render: Render, grid: Grid) -> Array:
        out = np.zeros((*grid.shape, 4), np.uint8)
        for element, told in zip(collection.elements, styles, strict=True):
            _stroke(out, render, element, grid, told)
        return out

    def pull(channel: int) -> Any:
        def single(render: Render, grid: Grid) -> Tile:
            colours = render.once((painted, grid), lambda: painted(render, grid))
            return Tile(colours[..., channel], colours[..., 3] > 0)

        return single

    names = ("vis-red", "vis-green", "vis-blue")
    return Image(bands=tuple(Band(name, UINT8, WGS84, pull(channel)) for channel, name in enumerate(names)))


def _told(element: Element, name: str | None) -> Mapping[str, Any]:
    told = element.get(name) if name else None
    return told if isinstance(told, Mapping) else {}


def _stroke(out: Array, render: Render, element: Element, grid: Grid, told: Mapping[str, Any]) -> None:
    place = element.footprint
    if place is None or place.shape.is_empty:
        return
    line = colour(told["color"])
    if place.shape.geom_type in POINTS:
        out[covered(render, element, grid, 2 * float(told["pointSize"]))] = line
        return
    if place.shape.geom_type not in LINEAR:
        inside = covered(render, element, grid, None)
        fill = colour(told["fillColor"]) if told["fillColor"] else (*line[:3], line[3] * 2 // 3)
        if fill[3]:
            out[inside] = fill
    if float(told["width"]) > 0:
        out[covered(render, element, grid, float(told["width"]))] = line


def colour(text: str) -> tuple[int, int, int, int]:
    """A CSS colour or hexadecimal digits as red, green, blue and opacity, 0-255; ApiError if it is none."""
    plain = text.strip().lower()
    digits = plain.removeprefix("#")
    if len(digits) in (3, 6, 8) and all(letter in "0123456789abcdef" for letter in digits):
        plain = f"#{digits}"
    try:
        found = ImageColor.getcolor(plain, "RGBA")
    except ValueError as error:
        raise ApiError(f"Invalid color: '{text}'.") from error
    if not isinstance(found, tuple) or len(found) != 4:
        return BLACK
    return found
