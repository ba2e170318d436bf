"""Which bands an image has: constants, selection, names, joining."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..grids import Grid, Projection
from ..pixels import TRUE, Pull, Render, Tile
from ..pixeltypes import DOUBLE
from ..registry import algorithm
from ..replies import ApiError
from ..values import Band, Image, number_image


@algorithm("Image.constant")
def image_constant(value: Any) -> Image:
    """One value everywhere, or one band for each value of a list; the default projection is 1 degree."""
    return value if isinstance(value, Image) else number_image(value)


def chosen(name: str, image: Image, selectors: Sequence[str]) -> list[Band]:
    """The bands of these names; ApiError for one that the image lacks."""
    known = {band.name: band for band in image.bands}
    for selector in selectors:
        if selector not in known:
            raise ApiError(
                f"{name}: Band pattern '{selector}' did not match any bands. Available bands: [{image.listed}]"
            )
    return [known[selector] for selector in selectors]


def renamed(bands: Sequence[Band], names: Sequence[str]) -> list[Band]:
    """The bands under other names, in order."""
    return [replace(band, name=str(name)) for band, name in zip(bands, names, strict=True)]


@algorithm("Image.select")
def select(input: Image, band_selectors: list[str], new_names: list[str] | None) -> Image:
    """Bands by name, under new names if given."""
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
def add_bands(dst_img: Image, src_img: Image, names: list[str] | None = None, overwrite: bool = False) -> Image:
    """Both images' bands, those of the second under a suffix, or instead, where the first has the name."""
    added = src_img.bands if names is None else chosen("Image.addBands", src_img, names)
    if not overwrite:
        return dst_img.with_bands(_distinct([*dst_img.bands, *added]))
    by_name = {band.name: band for band in added}
    kept = [by_name.pop(band.name, band) for band in dst_img.bands]
    return dst_img.with_bands([*kept, *by_name.values()])


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


algorithm("Image.bandNames")(lambda image: image.names)


@algorithm("Image.pixelCoordinates")
def pixel_coordinates(projection: Projection) -> Image:
    """Where the pixels' centres lie in a projection, in its pixels."""

    def place(axis: int) -> Pull:
        def pull(render: Render, grid: Grid) -> Tile:
            where = render.places(grid, projection)
            return Tile((where.columns, where.rows)[axis], TRUE)

        return pull

    return Image(bands=(Band("x", DOUBLE, projection, place(0)), Band("y", DOUBLE, projection, place(1))))
