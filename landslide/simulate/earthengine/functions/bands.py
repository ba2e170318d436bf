"""Which bands an image has: constants, selection, names, joining, casting by name, description."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import ApiError
from ..grids import WGS84, Grid, geographic, metres_per_unit
from ..pixels import TRUE, Pull, Render, Tile
from ..pixeltypes import DOUBLE, FLOAT, PixelType, whole
from ..registry import algorithm
from ..values import Band, Date, Image, constant, number_image
from .arithmetic import cast

NAMED_TYPES = {
    "byte": whole("u1"), "uint8": whole("u1"), "int8": whole("i1"), "uint16": whole("u2"), "int16": whole("i2"),
    "short": whole("i2"), "uint32": whole("u4"), "int32": whole("i4"), "int": whole("i4"), "int64": whole("i8"),
    "long": whole("i8"), "float": FLOAT, "double": DOUBLE,
}  # fmt: skip


@algorithm("Image.constant")
def image_constant(value: Any) -> Image:
    """One value everywhere, or one band for each value of a list; the default projection is 1 degree."""
    return value if isinstance(value, Image) else number_image(value)


def chosen(name: str, image: Image, selectors: Sequence[Any]) -> list[Band]:
    """The bands that names, patterns or positions select; ApiError for one that selects nothing."""
    bands: list[Band] = []
    for selector in selectors:
        if isinstance(selector, int | float):
            if not -len(image.bands) <= selector < len(image.bands):
                raise ApiError(f"{name}: Band index {selector} is out of range. Available bands: [{image.listed}]")
            bands.append(image.bands[int(selector)])
            continue
        found = [band for band in image.bands if band.name == selector] or _matching(image, str(selector))
        if not found:
            raise ApiError(
                f"{name}: Band pattern '{selector}' did not match any bands. Available bands: [{image.listed}]"
            )
        bands.extend(found)
    return bands


def _matching(image: Image, pattern: str) -> list[Band]:
    try:
        return [band for band in image.bands if re.fullmatch(pattern, band.name)]
    except re.error:
        return []


def renamed(bands: Sequence[Band], names: Sequence[str]) -> list[Band]:
    """The bands under other names, in order."""
    return [replace(band, name=str(name)) for band, name in zip(bands, names, strict=True)]


@algorithm("Image.select")
def select(input: Image, band_selectors: list[Any], new_names: list[str] | None) -> Image:
    """Bands by name, by regular expression or by position, under new names if given."""
    bands = chosen("Image.select", input, band_selectors)
    if new_names is not None:
        if len(new_names) != len(bands):
            raise ApiError(f"Image.select: Got {len(new_names)} new names for {len(bands)} bands.")
        bands = renamed(bands, new_names)
    return input.with_bands(_distinct(bands))


@algorithm("Image.rename")
def rename(input: Image, names: list[str]) -> Image:
    """New names for all bands."""
    if len(names) != len(input.bands):
        raise ApiError(
            "Image.rename: The number of names must match the number of bands: got "
            f"{len(names)} names for {len(input.bands)} bands."
        )
    return input.with_bands(renamed(input.bands, names))


@algorithm("Image.slice")
def slice_bands(image: Image, start: int, end: int | None) -> Image:
    """Bands by their range of positions."""
    return image.with_bands(image.bands[start:end])


@algorithm("Image.addBands")
def add_bands(dst_img: Image, src_img: Image, names: list[str] | None, overwrite: bool) -> Image:
    """Both images' bands, those of the second under a suffix, or instead, where the first has the name."""
    added = src_img.bands if names is None else chosen("Image.addBands", src_img, names)
    if not overwrite:
        return dst_img.with_bands(_distinct([*dst_img.bands, *added]))
    by_name = {band.name: band for band in added}
    kept = [by_name.pop(band.name, band) for band in dst_img.bands]
    return dst_img.with_bands([*kept, *by_name.values()])


@algorithm("Image.cat")
def cat(images: list[Any]) -> Image:
    """All bands of all images with the metadata of the first."""
    every = [image if isinstance(image, Image) else number_image(image) for image in images]
    if not every:
        return Image()
    return every[0].with_bands(_distinct([band for image in every for band in image.bands]))


def _distinct(bands: Sequence[Band]) -> list[Band]:
    """Repeated names get `_1`, `_2`, …: the first that is free."""
    taken: set[str] = set()
    out = []
    for band in bands:
        name, number = band.name, 0
        while name in taken:
            number += 1
            name = f"{band.name}_{number}"
        taken.add(name)
        out.append(band if name == band.name else replace(band, name=name))
    return out


@algorithm("Image.cast")
def cast_bands(image: Image, band_types: Mapping[str, Any], band_order: list[str] | None) -> Image:
    """Bands in the types given by name."""
    kinds = {name: pixel_type(kind) for name, kind in band_types.items()}
    bands = [cast(band, kinds[band.name]) if band.name in kinds else band for band in image.bands]
    out = image.with_bands(bands)
    return out if band_order is None else out.with_bands(chosen("Image.cast", out, band_order))


def pixel_type(value: Any) -> PixelType:
    """A type by its name, or as it is."""
    if isinstance(value, PixelType):
        return value
    if isinstance(value, Mapping):
        return PixelType(value["precision"], value.get("min"), value.get("max"))
    if value not in NAMED_TYPES:
        raise ApiError(f"PixelType: '{value}' is none. Known are {', '.join(NAMED_TYPES)}.")
    return NAMED_TYPES[value]


@algorithm("PixelType")
def make_pixel_type(precision: Any, min_value: float | None, max_value: float | None) -> PixelType:
    """A type of a precision and a range."""
    if precision in ("int", "float", "double") and min_value is not None:
        return PixelType(precision, min_value, max_value)
    return pixel_type(precision)


algorithm("Image.bandNames")(lambda image: image.names)


algorithm("Image.bandTypes")(lambda image: {band.name: band.type for band in image.bands})


@algorithm("Image.id")
def image_id(element: Image) -> str | None:
    """The id of an asset's image; others have none."""
    return element.id or element.properties.get("system:index")


@algorithm("Image.date")
def image_date(image: Image) -> Date:
    """The acquisition's start; ApiError where the image does not know it."""
    start = image.properties.get("system:time_start")
    if start is None:
        raise ApiError("Image.date: The image has no property 'system:time_start'.")
    return Date(int(start))


@algorithm("Image.metadata")
def metadata(image: Image, property: str, name: str | None) -> Image:
    """A numeric property as a constant image of doubles."""
    value = image.get(property)
    if not isinstance(value, int | float):
        raise ApiError(f"Image.metadata: The property '{property}' is not a number: {value!r}.")
    return Image(bands=(replace(constant(float(value), name or property), type=DOUBLE),))


@algorithm("Image.pixelArea")
def pixel_area() -> Image:
    """Square metres of each requested pixel; degrees shrink with the cosine of the latitude."""

    def pull(render: Render, grid: Grid) -> Tile:
        a, b, _, d, e, _ = grid.transform
        area = abs(a * e - b * d) * metres_per_unit(grid.crs) ** 2
        if not geographic(grid.crs):
            return Tile(np.array(area), TRUE)
        return Tile(area * np.cos(np.radians(grid.centres()[1])), TRUE)

    return Image(bands=(Band("area", DOUBLE, WGS84, pull),))


@algorithm("Image.pixelLonLat")
def pixel_lon_lat() -> Image:
    """Longitude and latitude of the pixels' centres."""
    return Image(bands=(_coordinate("longitude", "EPSG:4326", 0), _coordinate("latitude", "EPSG:4326", 1)))


@algorithm("Image.pixelCoordinates")
def pixel_coordinates(projection: Any) -> Image:
    """Where the pixels' centres lie in a projection, in its pixels."""

    def place(axis: int) -> Pull:
        def pull(render: Render, grid: Grid) -> Tile:
            where = render.places(grid, projection)
            return Tile((where.columns, where.rows)[axis], TRUE)

        return pull

    return Image(bands=(Band("x", DOUBLE, projection, place(0)), Band("y", DOUBLE, projection, place(1))))


def _coordinate(name: str, crs: str, axis: int) -> Band:
    def pull(render: Render, grid: Grid) -> Tile:
        both = render.once(("coordinates", grid, crs), lambda: grid.centres_in(crs))
        return Tile(both[axis], TRUE)

    return Band(name, DOUBLE, WGS84, pull)
