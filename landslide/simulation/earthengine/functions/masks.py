"""Masks: setting, filling and replacing; what masks or fills: normalised differences, classes, links."""

from dataclasses import replace
from typing import Any

import numpy as np

from ..geometry import Geometry
from ..grids import Grid
from ..pixels import NOTHING, TRUE, Render, Tile
from ..pixeltypes import FLOAT, PixelType, union
from ..registry import algorithm
from ..replies import ApiError
from ..values import Band, Collection, Image, constant, number_image
from .arithmetic import wide
from .bands import add_bands, chosen

Pairing = list[tuple[Band, Band]]


def beside(name: str, image: Image, other: Image) -> Pairing:
    """Each band of the first with its band of the second, which has one band or as many; ApiError otherwise."""
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
    """Masked where it was and where the mask is zero or itself masked."""
    return image.with_bands([_updated(band, other) for band, other in beside("Image.updateMask", image, mask)])


def _updated(band: Band, mask: Band) -> Band:
    def pull(render: Render, grid: Grid) -> Tile:
        tile, other = band.on(render, grid), mask.on(render, grid)
        return Tile(tile.values, tile.mask & other.mask & (other.values != 0))

    return band.computed(pull)


@algorithm("Image.mask")
def mask_of(image: Image, mask: Image | None) -> Image:
    """The masks as images of 0 and 1; with a mask: the image with its mask replaced by that one."""
    if mask is not None:
        return image.with_bands([_replaced(band, other) for band, other in beside("Image.mask", image, mask)])
    return image.with_bands([_mask_band(band) for band in image.bands])


def _mask_band(band: Band) -> Band:
    def pull(render: Render, grid: Grid) -> Tile:
        return Tile(band.on(render, grid).mask.astype(np.float64), TRUE)

    return band.computed(pull, replace(FLOAT, low=0, high=1))


def _replaced(band: Band, mask: Band) -> Band:
    def pull(render: Render, grid: Grid) -> Tile:
        other = mask.on(render, grid)
        return Tile(band.on(render, grid).values, other.mask & (other.values != 0))

    return band.computed(pull)


@algorithm("Image.unmask")
def unmask(input: Image, value: Image | None, same_footprint: bool) -> Image:
    """Masked pixels filled with another image's value and mask; outside the footprint only if it may grow."""
    filler = number_image(0) if value is None else value
    within = input.footprint if same_footprint else None
    out = input.with_bands([_filled(band, other, within) for band, other in beside("Image.unmask", input, filler)])
    return out if same_footprint else replace(out, footprint=filler.footprint)


def _filled(band: Band, filler: Band, within: Geometry | None) -> Band:
    kind = union(band.type, filler.type)

    def pull(render: Render, grid: Grid) -> Tile:
        tile = band.on(render, grid)
        if tile.mask.all():
            return tile
        other = filler.on(render, grid)
        mask = other.mask if within is None else other.mask & render.inside(within, grid)
        values = np.where(tile.mask, wide(tile.values, kind), wide(other.values, kind))
        return Tile(values, tile.mask | mask)

    return band.computed(pull, kind)


@algorithm("Image.where")
def where(input: Image, test: Image, value: Image) -> Image:
    """The value where the test is not zero; where test or value is masked the input stays, and where it is masked it
    stays masked."""
    tests = beside("Image.where", input, test)
    values = beside("Image.where", input, value)
    return input.with_bands([_where(band, one, two) for (band, one), (_, two) in zip(tests, values, strict=True)])


def _where(band: Band, test: Band, value: Band) -> Band:
    kind = union(band.type, value.type)

    def pull(render: Render, grid: Grid) -> Tile:
        tile, asked, other = (part.on(render, grid) for part in (band, test, value))
        taken = asked.mask & (asked.values != 0) & other.mask
        return Tile(np.where(taken, wide(other.values, kind), wide(tile.values, kind)), tile.mask)

    return band.computed(pull, kind)


@algorithm("Image.normalizedDifference")
def normalized_difference(input: Image, band_names: list[str] | None) -> Image:
    """(first - second) / (first + second) as `nd`, masked where either is negative; properties are lost."""
    bands = chosen("Image.normalizedDifference", input, band_names or input.names[:2])
    if len(bands) != 2:
        raise ApiError(f"Image.normalizedDifference: Needs two bands, got {len(bands)}.")
    first, second = bands

    def pull(render: Render, grid: Grid) -> Tile:
        one, two = first.on(render, grid), second.on(render, grid)
        a, b = one.values.astype(np.float64), two.values.astype(np.float64)
        total = a + b
        with np.errstate(all="ignore"):
            values = np.where(total == 0, 0.0, (a - b) / np.where(total == 0, 1.0, total))
        return Tile(values, one.mask & two.mask & (a >= 0) & (b >= 0))

    return input.bare([first.computed(pull, PixelType("float", -1, 1), "nd")])


@algorithm("Image.remap")
def remap(image: Image, from_: list[float], to: list[float], default_value: Any) -> Image:
    """Values by a table as `remapped`; those that are not in it become the default, or are masked without one."""
    if len(from_) != len(to):
        raise ApiError(f"Image.remap: Lists 'from' and 'to' must be of equal length. Got {len(from_)} and {len(to)}.")
    band = image.bands[0]
    order = np.argsort(np.asarray(from_, float), kind="stable")
    keys, results = np.asarray(from_)[order], np.asarray(to)[order]
    numbers = [*to, *([] if default_value is None else [default_value])]
    integral = all(float(number).is_integer() for number in numbers)
    kind = PixelType("int" if integral else "double", min(numbers), max(numbers))

    def pull(render: Render, grid: Grid) -> Tile:
        tile = band.on(render, grid)
        at = np.clip(np.searchsorted(keys, tile.values), 0, len(keys) - 1)
        known = keys[at] == tile.values
        if default_value is None:
            return Tile(results[at], tile.mask & known)
        return Tile(np.where(known, results[at], default_value), tile.mask)

    return image.with_bands([band.computed(pull, kind, "remapped")])


@algorithm("Image.linkCollection")
def link_collection(input: Image, image_collection: Collection, linked_bands: Any, match_property_name: str) -> Image:
    """Bands of the collection's image with the same property; without one, masked bands."""
    names = linked_bands if isinstance(linked_bands, list) else [linked_bands]
    key = input.get(match_property_name)
    images = [image for image in image_collection.elements if isinstance(image, Image)]
    match = next((image for image in images if key is not None and image.get(match_property_name) == key), None)
    if match is not None:
        linked = chosen("Image.linkCollection", match, names)
    elif images:
        linked = [_nothing(band) for band in chosen("Image.linkCollection", images[0], names)]
    else:
        linked = [_nothing(constant(0, name)) for name in names]
    return add_bands(input, Image(bands=tuple(linked)), overwrite=True)


def _nothing(band: Band) -> Band:
    return band.computed(lambda render, grid: NOTHING)
