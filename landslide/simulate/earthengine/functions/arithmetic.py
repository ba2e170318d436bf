"""Arithmetic on pixels, band by band.

Floating point is computed in double precision. The result is masked where an operand is, and keeps no properties.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import special

from ..errors import ApiError
from ..grids import Grid
from ..pixels import Array, Render, Tile
from ..pixeltypes import (
    BOOLEAN,
    DOUBLE,
    FLOAT,
    INT8,
    INT16,
    INT32,
    INT64,
    UINT8,
    UINT16,
    UINT32,
    PixelType,
    computed,
    fractional,
    union,
)
from ..registry import algorithm
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
        return [(band, second.band(band.name), band.name) for band in one]
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


def _remainder(first: Array, second: Array) -> Array:
    zero = second == 0
    return np.where(zero, 0, np.fmod(first, np.where(zero, 1, second)))


def _always(kind: PixelType) -> Typing:
    return lambda *types: kind


def _same(kind: PixelType) -> PixelType:
    return kind


def _compared(compute: Binary) -> Binary:
    return lambda first, second: compute(first, second).astype(np.uint8)


def _logical(compute: Binary) -> Binary:
    return lambda first, second: compute(first != 0, second != 0).astype(np.uint8)


BINARY: dict[str, tuple[Binary, Typing]] = {
    "add": (np.add, computed),
    "subtract": (np.subtract, computed),
    "multiply": (np.multiply, computed),
    "divide": (_divide, fractional),
    "mod": (_remainder, union),
    "pow": (lambda first, second: np.power(first.astype(float), second), fractional),
    "atan2": (lambda first, second: np.arctan2(second, first), fractional),
    "hypot": (np.hypot, fractional),
    "min": (np.minimum, union),
    "max": (np.maximum, union),
    "first": (lambda first, second: first + 0 * second, union),
    "gt": (_compared(np.greater), _always(BOOLEAN)),
    "gte": (_compared(np.greater_equal), _always(BOOLEAN)),
    "lt": (_compared(np.less), _always(BOOLEAN)),
    "lte": (_compared(np.less_equal), _always(BOOLEAN)),
    "eq": (_compared(np.equal), _always(BOOLEAN)),
    "neq": (_compared(np.not_equal), _always(BOOLEAN)),
    "and": (_logical(np.logical_and), _always(BOOLEAN)),
    "or": (_logical(np.logical_or), _always(BOOLEAN)),
    "bitwiseAnd": (lambda first, second: np.bitwise_and(first.astype(np.int64), second.astype(np.int64)), union),
    "bitwiseOr": (lambda first, second: np.bitwise_or(first.astype(np.int64), second.astype(np.int64)), union),
}
UNARY: dict[str, tuple[Unary, Typing]] = {
    "abs": (np.abs, _same),
    "sqrt": (np.sqrt, fractional),
    "cbrt": (np.cbrt, fractional),
    "exp": (np.exp, fractional),
    "log": (np.log, fractional),
    "log10": (np.log10, fractional),
    "sin": (np.sin, fractional),
    "cos": (np.cos, fractional),
    "tan": (np.tan, fractional),
    "asin": (np.arcsin, fractional),
    "acos": (np.arccos, fractional),
    "atan": (np.arctan, fractional),
    "sinh": (np.sinh, fractional),
    "cosh": (np.cosh, fractional),
    "tanh": (np.tanh, fractional),
    "erf": (special.erf, fractional),
    "signum": (np.sign, _same),
    "ceil": (np.ceil, _same),
    "floor": (np.floor, _same),
    "round": (lambda values: np.floor(values + 0.5), _same),
    "not": (lambda values: (values == 0).astype(np.uint8), _always(BOOLEAN)),
}
CASTS: dict[PixelType, tuple[str, ...]] = {
    UINT8: ("toByte", "toUint8", "byte", "uint8"), INT8: ("toInt8", "int8"),
    UINT16: ("toUint16", "uint16"), INT16: ("toShort", "toInt16", "short", "int16"),
    UINT32: ("toUint32", "uint32"), INT32: ("toInt", "toInt32", "int", "int32"),
    INT64: ("toLong", "toInt64", "long", "int64"), FLOAT: ("toFloat", "float"), DOUBLE: ("toDouble", "double"),
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
for _kind, _names in CASTS.items():
    for _name in _names:
        _register_cast(_name, _kind)


@algorithm("Image.clamp")
def clamp(input: Image, low: float, high: float) -> Image:
    """Values held within a range."""
    return input.with_bands(unary(lambda values: np.clip(values, low, high), _same, input).bands)


@algorithm("Image.unitScale")
def unit_scale(input: Image, low: float, high: float) -> Image:
    """Values so that low becomes 0 and high 1."""
    return unary(lambda values: (values - low) / (high - low), fractional, input)


@algorithm("Image.polynomial")
def polynomial(image: Image, coefficients: Sequence[Any]) -> Image:
    """A polynomial of the values, constant first."""
    return unary(lambda values: np.polynomial.polynomial.polyval(values, coefficients), fractional, image)
