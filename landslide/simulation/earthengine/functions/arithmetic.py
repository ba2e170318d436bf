"""Arithmetic on pixels, band by band.

Floating point is computed in double precision. The result is masked where an operand is, and keeps no properties.
"""

from collections.abc import Callable

import numpy as np

from ..grids import Grid
from ..pixels import Array, Render, Tile
from ..pixeltypes import (
    BOOLEAN,
    DOUBLE,
    FLOAT,
    INT8,
    INT16,
    INT32,
    UINT8,
    UINT16,
    UINT32,
    PixelType,
    computed,
    fractional,
)
from ..registry import algorithm
from ..replies import ApiError
from ..values import Band, Image

Unary = Callable[[Array], Array]
Binary = Callable[[Array, Array], Array]
Typing = Callable[..., PixelType]


def pairs(name: str, first: Image, second: Image) -> list[tuple[Band, Band, str]]:
    """The bands that belong together and the name of what comes of them; ApiError if they do not match.

    A single band goes with all of the other image; equal names go together, otherwise the order counts. Names are those
    of the longer image, or the first's.
    """
    one, two = first.bands, second.bands
    if not one or not two:
        if one or two:
            raise ApiError(
                f"Image.{name}: If one image has no bands, the other must also have no bands. Got {len(one)} and "
                f"{len(two)}."
            )
        return []
    if len(one) == 1 and len(two) > 1:
        return [(one[0], band, band.name) for band in two]
    if len(two) == 1:
        return [(band, two[0], band.name) for band in one]
    if len(one) != len(two):
        raise ApiError(
            f"Image.{name}: Images must contain the same number of bands, or one must have a single band. Got "
            f"{len(one)} and {len(two)}."
        )
    if set(first.names) == set(second.names):
        named = {band.name: band for band in two}
        return [(band, named[band.name], band.name) for band in one]
    return [(left, right, left.name) for left, right in zip(one, two, strict=True)]


def binary(name: str, compute: Binary, typing: Typing, first: Image, second: Image) -> Image:
    """An image of a function of two numbers."""
    bands = [_combined(left, right, label, compute, typing) for left, right, label in pairs(name, first, second)]
    return Image(bands=tuple(bands), footprint=first.footprint or second.footprint)


def _combined(left: Band, right: Band, label: str, compute: Binary, typing: Typing) -> Band:
    kind = typing(left.type, right.type)

    def pull(render: Render, grid: Grid) -> Tile:
        one, two = left.on(render, grid), right.on(render, grid)
        with np.errstate(all="ignore"):
            values = compute(wide(one.values, kind), wide(two.values, kind))
        return Tile(values, one.mask & two.mask)

    return left.computed(pull, kind, label)


def unary(compute: Unary, typing: Typing, image: Image) -> Image:
    """An image of a function of one number."""
    return image.bare([_mapped(band, compute, typing(band.type)) for band in image.bands])


def _mapped(band: Band, compute: Unary, kind: PixelType) -> Band:
    def pull(render: Render, grid: Grid) -> Tile:
        tile = band.on(render, grid)
        with np.errstate(all="ignore"):
            return Tile(compute(wide(tile.values, kind)), tile.mask)

    return band.computed(pull, kind)


def wide(values: Array, kind: PixelType) -> Array:
    """Values as they are computed with: 64 bit integers for integral results of integers, else double precision."""
    integral = kind.integral and values.dtype.kind in "iub"
    return values.astype(np.int64 if integral else np.float64, copy=False)


def stored(values: Array, kind: PixelType) -> Array:
    """Values as a type stores them: integers cut towards zero and held within the range, floats rounded."""
    dtype = kind.dtype.newbyteorder("=")
    if not kind.integral or values.dtype == dtype:
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    if values.dtype.kind == "f":
        high = np.nextafter(2.0**63, 0) if dtype.itemsize == 8 else float(limits.max)
        values = np.clip(np.nan_to_num(np.trunc(values), nan=0.0), float(limits.min), high)
        return values.astype(dtype)
    return np.asarray(np.clip(values, limits.min, limits.max)).astype(dtype)


def _divide(first: Array, second: Array) -> Array:
    """First over second, 0 where that would be a division by 0."""
    zero = second == 0
    return np.where(zero, 0.0, first / np.where(zero, 1, second))


def _always(kind: PixelType) -> Typing:
    return lambda *types: kind


def _compared(compute: Binary) -> Binary:
    return lambda first, second: compute(first, second).astype(np.uint8)


BINARY: dict[str, tuple[Binary, Typing]] = {
    "add": (np.add, computed),
    "subtract": (np.subtract, computed),
    "multiply": (np.multiply, computed),
    "divide": (_divide, fractional),
    "gt": (_compared(np.greater), _always(BOOLEAN)),
    "gte": (_compared(np.greater_equal), _always(BOOLEAN)),
    "lt": (_compared(np.less), _always(BOOLEAN)),
    "eq": (_compared(np.equal), _always(BOOLEAN)),
    "neq": (_compared(np.not_equal), _always(BOOLEAN)),
    "and": (_compared(lambda first, second: (first != 0) & (second != 0)), _always(BOOLEAN)),
    "or": (_compared(lambda first, second: (first != 0) | (second != 0)), _always(BOOLEAN)),
}
UNARY: dict[str, tuple[Unary, Typing]] = {
    "abs": (np.abs, lambda kind: kind),
    "log10": (np.log10, fractional),
    "sin": (np.sin, fractional),
    "cos": (np.cos, fractional),
    "tan": (np.tan, fractional),
    "atan": (np.arctan, fractional),
    "not": (lambda values: (values == 0).astype(np.uint8), _always(BOOLEAN)),
}
CASTS: dict[str, PixelType] = {
    "toByte": UINT8, "byte": UINT8, "toUint8": UINT8, "toInt8": INT8, "toUint16": UINT16, "toInt16": INT16,
    "toUint32": UINT32, "toInt32": INT32, "toFloat": FLOAT, "toDouble": DOUBLE,
}  # fmt: skip


def _register_binary(name: str, compute: Binary, typing: Typing) -> None:
    def function(image1: Image, image2: Image) -> Image:
        return binary(name, compute, typing, image1, image2)

    algorithm(f"Image.{name}")(function)


def _register_unary(name: str, compute: Unary, typing: Typing) -> None:
    def function(value: Image) -> Image:
        return unary(compute, typing, value)

    algorithm(f"Image.{name}")(function)


def cast(band: Band, kind: PixelType) -> Band:
    """The band in another type."""

    def pull(render: Render, grid: Grid) -> Tile:
        tile = band.on(render, grid)
        with np.errstate(all="ignore"):
            return Tile(stored(tile.values, kind), tile.mask)

    return band.computed(pull, kind)


def _register_cast(name: str, kind: PixelType) -> None:
    def function(value: Image) -> Image:
        return value.bare([cast(band, kind) for band in value.bands])

    algorithm(f"Image.{name}")(function)


for _name, (_binary, _typing) in BINARY.items():
    _register_binary(_name, _binary, _typing)
for _name, (_unary, _typing) in UNARY.items():
    _register_unary(_name, _unary, _typing)
for _name, _kind in CASTS.items():
    _register_cast(_name, _kind)


@algorithm("Image.clamp")
def clamp(input: Image, low: float, high: float) -> Image:
    """Values held within a range; properties are kept."""
    return input.with_bands(unary(lambda values: np.clip(values, low, high), lambda kind: kind, input).bands)
