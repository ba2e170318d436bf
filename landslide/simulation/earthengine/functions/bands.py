"""Functions on the bands of an image: constants, selection, renaming, joining."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..grids import Grid, Projection
from ..pixels import TRUE, RenderContext, Tile, TileFunction
from ..pixeltypes import DOUBLE
from ..registry import algorithm
from ..replies import ApiError
from ..values import Image, ImageBand, number_image


@algorithm("Image.constant")
def image_constant(value: Any) -> Image:
    """A constant image, or one band for each value of a list; the default projection has pixels of 1 degree."""
    return value if isinstance(value, Image) else number_image(value)


def select_bands(name: str, image: Image, selectors: Sequence[str]) -> list[ImageBand]:
    """The bands of these names; ApiError if the image has no band of a name."""
    known = {band.name: band for band in image.bands}
    for selector in selectors:
        if selector not in known:
            raise ApiError(
                f"{name}: Band pattern '{selector}' did not match any bands. Available bands: [{image.band_list}]"
            )
    return [known[selector] for selector in selectors]


def rename_bands(bands: Sequence[ImageBand], names: Sequence[str]) -> list[ImageBand]:
    """The bands with new names, in order."""
    return [replace(band, name=str(name)) for band, name in zip(bands, names, strict=True)]


@algorithm("Image.select")
def select(input: Image, band_selectors: list[str], new_names: list[str] | None) -> Image:
    """Bands by name, with new names if given."""
    bands = select_bands("Image.select", input, band_selectors)
    if new_names is not None:
        if len(new_names) != len(bands):
            raise ApiError(f"Image.select: Got {len(new_names)} new names for {len(bands)} bands.")
        bands = rename_bands(bands, new_names)
    return input.with_bands(_unique_names(bands))


@algorithm("Image.rename")
def rename(input: Image, names: list[str]) -> Image:
    """All bands with new names."""
    if len(names) != len(input.bands):
        raise ApiError(
            "Image.rename: The number of names must match the number of bands: got "
            f"{len(names)} names for {len(input.bands)} bands."
        )
    return input.with_bands(rename_bands(input.bands, names))


@algorithm("Image.slice")
def slice_bands(image: Image, start: int, end: int | None) -> Image:
    """Bands by a range of indices."""
    return image.with_bands(image.bands[start:end])


@algorithm("Image.addBands")
def add_bands(dst_img: Image, src_img: Image, names: list[str] | None = None, overwrite: bool = False) -> Image:
    """The first image with bands of the second.

    Args:
        dst_img: The image whose metadata is kept.
        src_img: The image whose bands are added.
        names: The bands to add; None: all.
        overwrite: Replace bands of the same name; otherwise the added band gets a suffix.
    """
    added = src_img.bands if names is None else select_bands("Image.addBands", src_img, names)
    if not overwrite:
        return dst_img.with_bands(_unique_names([*dst_img.bands, *added]))
    by_name = {band.name: band for band in added}
    kept = [by_name.pop(band.name, band) for band in dst_img.bands]
    return dst_img.with_bands([*kept, *by_name.values()])


def _unique_names(bands: Sequence[ImageBand]) -> list[ImageBand]:
    """Repeated names get the first free suffix of `_1`, `_2`, …"""
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
    """The coordinates `x` and `y` of the pixel centres, in pixels of a projection."""

    def coordinate(axis: int) -> TileFunction:
        def compute_tile(render: RenderContext, grid: Grid) -> Tile:
            positions = render.positions(grid, projection)
            return Tile((positions.columns, positions.rows)[axis], TRUE)

        return compute_tile

    return Image(
        bands=(ImageBand("x", DOUBLE, projection, coordinate(0)), ImageBand("y", DOUBLE, projection, coordinate(1)))
    )
