"""Functions that set, fill or replace masks, and those whose result is masked: differences, classes, links."""

from dataclasses import replace
from typing import Any

import numpy as np

from ..geometry import Geometry
from ..grids import Grid
from ..pixels import EMPTY_TILE, TRUE, RenderContext, Tile
from ..pixeltypes import FLOAT, PixelType, union
from ..registry import algorithm
from ..replies import ApiError
from ..values import ElementCollection, Image, ImageBand, constant, number_image
from .arithmetic import to_working_dtype
from .bands import add_bands, select_bands

Pairing = list[tuple[ImageBand, ImageBand]]


def pair_bands(name: str, image: Image, other: Image) -> Pairing:
    """Each band of an image with its band of another, which has one band or as many; ApiError otherwise."""
    if len(other.bands) == 1:
        return [(band, other.bands[0]) for band in image.bands]
    if len(other.bands) != len(image.bands):
        raise ApiError(
            f"{name}: The second image must have one band or as many as the first. Got {len(image.bands)} and "
            f"{len(other.bands)}."
        )
    return list(zip(image.bands, other.bands, strict=True))


@algorithm("Image.updateMask")
def update_mask(image: Image, mask: Image) -> Image:
    """The image masked also where the mask is 0 or itself masked."""
    return image.with_bands([_updated(band, other) for band, other in pair_bands("Image.updateMask", image, mask)])


def _updated(band: ImageBand, mask: ImageBand) -> ImageBand:
    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        tile, other = band.tile(render, grid), mask.tile(render, grid)
        return Tile(tile.values, tile.mask & other.mask & (other.values != 0))

    return band.derive(compute_tile)


@algorithm("Image.mask")
def mask_of(image: Image, mask: Image | None) -> Image:
    """The masks as an image of 0 and 1; with `mask`, the image with its masks replaced."""
    if mask is not None:
        return image.with_bands([_replaced(band, other) for band, other in pair_bands("Image.mask", image, mask)])
    return image.with_bands([_mask_band(band) for band in image.bands])


def _mask_band(band: ImageBand) -> ImageBand:
    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        return Tile(band.tile(render, grid).mask.astype(np.float64), TRUE)

    return band.derive(compute_tile, replace(FLOAT, low=0, high=1))


def _replaced(band: ImageBand, mask: ImageBand) -> ImageBand:
    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        other = mask.tile(render, grid)
        return Tile(band.tile(render, grid).values, other.mask & (other.values != 0))

    return band.derive(compute_tile)


@algorithm("Image.unmask")
def unmask(input: Image, value: Image | None, same_footprint: bool) -> Image:
    """Fill masked pixels with the values and mask of another image, only inside the footprint if `same_footprint`."""
    fill = number_image(0) if value is None else value
    within = input.footprint if same_footprint else None
    out = input.with_bands([_filled(band, other, within) for band, other in pair_bands("Image.unmask", input, fill)])
    return out if same_footprint else replace(out, footprint=fill.footprint)


def _filled(band: ImageBand, fill: ImageBand, within: Geometry | None) -> ImageBand:
    kind = union(band.type, fill.type)

    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        tile = band.tile(render, grid)
        if tile.mask.all():
            return tile
        other = fill.tile(render, grid)
        mask = other.mask if within is None else other.mask & render.inside(within, grid)
        values = np.where(tile.mask, to_working_dtype(tile.values, kind), to_working_dtype(other.values, kind))
        return Tile(values, tile.mask | mask)

    return band.derive(compute_tile, kind)


@algorithm("Image.where")
def where(input: Image, test: Image, value: Image) -> Image:
    """The value where the test is not 0. Where test or value is masked, the input is kept. The mask is the input's."""
    tests = pair_bands("Image.where", input, test)
    values = pair_bands("Image.where", input, value)
    return input.with_bands([_where(band, one, two) for (band, one), (_, two) in zip(tests, values, strict=True)])


def _where(band: ImageBand, test: ImageBand, value: ImageBand) -> ImageBand:
    kind = union(band.type, value.type)

    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        tile, condition, other = (part.tile(render, grid) for part in (band, test, value))
        taken = condition.mask & (condition.values != 0) & other.mask
        return Tile(
            np.where(taken, to_working_dtype(other.values, kind), to_working_dtype(tile.values, kind)), tile.mask
        )

    return band.derive(compute_tile, kind)


@algorithm("Image.normalizedDifference")
def normalized_difference(input: Image, band_names: list[str] | None) -> Image:
    """(first - second) / (first + second) as `nd`, masked where either is negative; without properties."""
    bands = select_bands("Image.normalizedDifference", input, band_names or input.names[:2])
    if len(bands) != 2:
        raise ApiError(f"Image.normalizedDifference: Needs two bands, got {len(bands)}.")
    first, second = bands

    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        one, two = first.tile(render, grid), second.tile(render, grid)
        a, b = one.values.astype(np.float64), two.values.astype(np.float64)
        total = a + b
        with np.errstate(all="ignore"):
            values = np.where(total == 0, 0.0, (a - b) / np.where(total == 0, 1.0, total))
        return Tile(values, one.mask & two.mask & (a >= 0) & (b >= 0))

    return input.without_properties([first.derive(compute_tile, PixelType("float", -1, 1), "nd")])


@algorithm("Image.remap")
def remap(image: Image, from_: list[float], to: list[float], default_value: Any) -> Image:
    """The first band with its values mapped by a table, as `remapped`.

    Args:
        image: The image.
        from_: Values of the band.
        to: The new values, as many as `from_`.
        default_value: The new value of all others; None masks them.
    """
    if len(from_) != len(to):
        raise ApiError(f"Image.remap: Lists 'from' and 'to' must be of equal length. Got {len(from_)} and {len(to)}.")
    band = image.bands[0]
    order = np.argsort(np.asarray(from_, float), kind="stable")
    keys, results = np.asarray(from_)[order], np.asarray(to)[order]
    numbers = [*to, *([] if default_value is None else [default_value])]
    integral = all(float(number).is_integer() for number in numbers)
    kind = PixelType("int" if integral else "double", min(numbers), max(numbers))

    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        tile = band.tile(render, grid)
        at = np.clip(np.searchsorted(keys, tile.values), 0, len(keys) - 1)
        known = keys[at] == tile.values
        if default_value is None:
            return Tile(results[at], tile.mask & known)
        return Tile(np.where(known, results[at], default_value), tile.mask)

    return image.with_bands([band.derive(compute_tile, kind, "remapped")])


@algorithm("Image.linkCollection")
def link_collection(
    input: Image, image_collection: ElementCollection, linked_bands: Any, match_property_name: str
) -> Image:
    """Add bands of the image in a collection that has the same property.

    Args:
        input: The image.
        image_collection: The collection in which the image is searched.
        linked_bands: A band name or a list of them. The bands are fully masked if no image matches.
        match_property_name: The property that must be equal.
    """
    names = linked_bands if isinstance(linked_bands, list) else [linked_bands]
    key = input.get(match_property_name)
    images = [image for image in image_collection.elements if isinstance(image, Image)]
    match = next((image for image in images if key is not None and image.get(match_property_name) == key), None)
    if match is not None:
        linked = select_bands("Image.linkCollection", match, names)
    elif images:
        linked = [_fully_masked(band) for band in select_bands("Image.linkCollection", images[0], names)]
    else:
        linked = [_fully_masked(constant(0, name)) for name in names]
    return add_bands(input, Image(bands=tuple(linked)), overwrite=True)


def _fully_masked(band: ImageBand) -> ImageBand:
    return band.derive(lambda render, grid: EMPTY_TILE)
