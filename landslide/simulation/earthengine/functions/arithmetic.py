"""Arithmetic on pixels, band by band.

Floating-point numbers are computed in double precision. The result is masked where an operand is masked, and has no
properties.
"""

from collections.abc import Callable

import numpy as np

from ..grids import Grid
from ..pixels import Array, RenderContext, Tile
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
    arithmetic_type,
    floating_type,
)
from ..registry import algorithm
from ..replies import ApiError
from ..values import Image, ImageBand

Unary = Callable[[Array], Array]
Binary = Callable[[Array, Array], Array]
ResultType = Callable[..., PixelType]


def match_bands(name: str, first: Image, second: Image) -> list[tuple[ImageBand, ImageBand, str]]:
    """Pairs of bands of two images, each with the name of the resulting band; ApiError if the images do not match.

    A single band is paired with every band of the other image. Otherwise bands are paired by name if the names are the
    same, else by order. Results are named after the image with more bands, or after the first.
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


def binary(name: str, compute: Binary, result_type: ResultType, first: Image, second: Image) -> Image:
    """Apply a function of two numbers to two images.

    Args:
        name: Name of the operation, for error messages.
        compute: The function, of two arrays.
        result_type: The type of the result from the types of the operands.
        first: The first image.
        second: The second image.
    """
    bands = [
        _binary_band(left, right, label, compute, result_type)
        for left, right, label in match_bands(name, first, second)
    ]
    return Image(bands=tuple(bands), footprint=first.footprint or second.footprint)


def _binary_band(left: ImageBand, right: ImageBand, label: str, compute: Binary, result_type: ResultType) -> ImageBand:
    kind = result_type(left.type, right.type)

    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        one, two = left.tile(render, grid), right.tile(render, grid)
        with np.errstate(all="ignore"):
            values = compute(to_working_dtype(one.values, kind), to_working_dtype(two.values, kind))
        return Tile(values, one.mask & two.mask)

    return left.derive(compute_tile, kind, label)


def unary(compute: Unary, result_type: ResultType, image: Image) -> Image:
    """Apply a function of one number to an image."""
    return image.without_properties([_unary_band(band, compute, result_type(band.type)) for band in image.bands])


def _unary_band(band: ImageBand, compute: Unary, kind: PixelType) -> ImageBand:
    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        tile = band.tile(render, grid)
        with np.errstate(all="ignore"):
            return Tile(compute(to_working_dtype(tile.values, kind)), tile.mask)

    return band.derive(compute_tile, kind)


def to_working_dtype(values: Array, kind: PixelType) -> Array:
    """Values in the dtype of the computation: int64 for integer results of integers, else float64."""
    integral = kind.is_integer and values.dtype.kind in "iub"
    return values.astype(np.int64 if integral else np.float64, copy=False)


def cast_values(values: Array, kind: PixelType) -> Array:
    """Values cast to a pixel type: integers truncated towards zero and clipped to the dtype, floats rounded."""
    dtype = kind.dtype.newbyteorder("=")
    if not kind.is_integer or values.dtype == dtype:
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    if values.dtype.kind == "f":
        high = np.nextafter(2.0**63, 0) if dtype.itemsize == 8 else float(limits.max)
        values = np.clip(np.nan_to_num(np.trunc(values), nan=0.0), float(limits.min), high)
        return values.astype(dtype)
    return np.asarray(np.clip(values, limits.min, limits.max)).astype(dtype)


def _divide(first: Array, second: Array) -> Array:
    """The quotient, 0 where the second is 0."""
    zero = second == 0
    return np.where(zero, 0.0, first / np.where(zero, 1, second))


def _fixed(kind: PixelType) -> ResultType:
    return lambda *types: kind


def _compared(compute: Binary) -> Binary:
    return lambda first, second: compute(first, second).astype(np.uint8)


BINARY: dict[str, tuple[Binary, ResultType]] = {
    "add": (np.add, arithmetic_type),
    "subtract": (np.subtract, arithmetic_type),
    "multiply": (np.multiply, arithmetic_type),
    "divide": (_divide, floating_type),
    "gt": (_compared(np.greater), _fixed(BOOLEAN)),
    "gte": (_compared(np.greater_equal), _fixed(BOOLEAN)),
    "lt": (_compared(np.less), _fixed(BOOLEAN)),
    "eq": (_compared(np.equal), _fixed(BOOLEAN)),
    "neq": (_compared(np.not_equal), _fixed(BOOLEAN)),
    "and": (_compared(lambda first, second: (first != 0) & (second != 0)), _fixed(BOOLEAN)),
    "or": (_compared(lambda first, second: (first != 0) | (second != 0)), _fixed(BOOLEAN)),
}
UNARY: dict[str, tuple[Unary, ResultType]] = {
    "abs": (np.abs, lambda kind: kind),
    "log10": (np.log10, floating_type),
    "sin": (np.sin, floating_type),
    "cos": (np.cos, floating_type),
    "tan": (np.tan, floating_type),
    "atan": (np.arctan, floating_type),
    "not": (lambda values: (values == 0).astype(np.uint8), _fixed(BOOLEAN)),
}
CASTS: dict[str, PixelType] = {
    "toByte": UINT8, "byte": UINT8, "toUint8": UINT8, "toInt8": INT8, "toUint16": UINT16, "toInt16": INT16,
    "toUint32": UINT32, "toInt32": INT32, "toFloat": FLOAT, "toDouble": DOUBLE,
}  # fmt: skip


def _register_binary(name: str, compute: Binary, result_type: ResultType) -> None:
    def function(image1: Image, image2: Image) -> Image:
        return binary(name, compute, result_type, image1, image2)

    algorithm(f"Image.{name}")(function)


def _register_unary(name: str, compute: Unary, result_type: ResultType) -> None:
    def function(value: Image) -> Image:
        return unary(compute, result_type, value)

    algorithm(f"Image.{name}")(function)


def cast(band: ImageBand, kind: PixelType) -> ImageBand:
    """The band cast to another type."""

    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        tile = band.tile(render, grid)
        with np.errstate(all="ignore"):
            return Tile(cast_values(tile.values, kind), tile.mask)

    return band.derive(compute_tile, kind)


def _register_cast(name: str, kind: PixelType) -> None:
    def function(value: Image) -> Image:
        return value.without_properties([cast(band, kind) for band in value.bands])

    algorithm(f"Image.{name}")(function)


for _name, (_binary, _typing) in BINARY.items():
    _register_binary(_name, _binary, _typing)
for _name, (_unary, _typing) in UNARY.items():
    _register_unary(_name, _unary, _typing)
for _name, _kind in CASTS.items():
    _register_cast(_name, _kind)


@algorithm("Image.clamp")
def clamp(input: Image, low: float, high: float) -> Image:
    """Values clipped to a range; properties are kept."""
    return input.with_bands(unary(lambda values: np.clip(values, low, high), lambda kind: kind, input).bands)
