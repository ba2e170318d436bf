"""Visualisation: images as colours."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from ..grids import Grid
from ..pixels import RenderContext, Tile, TileFunction
from ..pixeltypes import UINT8
from ..registry import algorithm
from ..replies import ApiError, unsupported
from ..values import Image, ImageBand
from .bands import select_bands

CHANNELS = ("vis-red", "vis-green", "vis-blue")
Range = tuple[float, float]


@algorithm("Image.visualize")
def visualize(image: Image, bands: Any, min: Any, max: Any, gamma: float | None, palette: Any) -> Image:
    """Three uint8 bands: values stretched from a range to 0-255.

    Args:
        image: The image.
        bands: Three bands, or one with a palette; None: the first band. A list or a comma-separated string.
        min: Value of 0; None: the minimum of the band's type, or 0.
        max: Value of 255; None: the largest of the band's type, or 1.
        gamma: Gamma correction of three bands.
        palette: CSS colours of a single band, interpolated linearly.

    Raises:
        ApiError: The number of bands or a colour is invalid.
    """
    used = select_bands("Image.visualize", image, _split(bands)) if bands else image.bands[:1]
    if len(used) not in (1, 3):
        raise ApiError(f"Image.visualize: Expected 1 or 3 bands, got {len(used)}: [{image.band_list}].")
    ranges = [_value_range(band, min, max) for band in used]
    if palette is not None:
        if len(used) != 1:
            raise ApiError("Image.visualize: A palette can only be used with a single band.")
        colours = np.array([_colour(text) for text in _split(palette)], np.float64)
        return image.without_properties(
            [_palette_channel(used[0], ranges[0], colours, channel) for channel in range(3)]
        )
    if len(used) != 3:
        raise unsupported("Image.visualize of a single band without a palette")
    triple = zip(used, ranges, CHANNELS, strict=True)
    return image.without_properties([_stretched(band, limits, gamma or 1.0, name) for band, limits, name in triple])


def _split(value: Any) -> list[str]:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else [str(part) for part in value]


def _value_range(band: ImageBand, low: Any, high: Any) -> Range:
    """The range to stretch: as given, else that of the band's type."""
    natural = band.type.low is not None and band.type.high is not None and band.type.is_integer
    minimum, maximum = (band.type.low, band.type.high) if natural else (0, 1)
    return float(minimum if low is None else low), float(maximum if high is None else high)  # type: ignore[arg-type]


def _fraction(tile: Tile, limits: Range) -> NDArray[np.floating[Any]]:
    """The values scaled from the range to 0-1, clipped."""
    width = limits[1] - limits[0] or 1.0
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.clip((tile.values.astype(np.float64) - limits[0]) / width, 0, 1))


def _stretched(band: ImageBand, limits: Range, gamma: float, name: str) -> ImageBand:
    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        tile = band.tile(render, grid)
        return Tile(np.rint(_fraction(tile, limits) ** (1 / gamma) * 255).astype(np.uint8), tile.mask)

    return band.derive(compute_tile, UINT8, name)


def _palette_channel(band: ImageBand, limits: Range, colours: NDArray[np.float64], channel: int) -> ImageBand:
    """One channel of a palette, interpolated linearly between its colours."""
    return band.derive(_palette_function(band, limits, colours[:, channel]), UINT8, CHANNELS[channel])


def _palette_function(band: ImageBand, limits: Range, levels: NDArray[np.float64]) -> TileFunction:
    stops = np.linspace(0, 1, len(levels))

    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        tile = band.tile(render, grid)
        return Tile(np.rint(np.interp(_fraction(tile, limits), stops, levels)).astype(np.uint8), tile.mask)

    return compute_tile


def _colour(text: str) -> tuple[int, ...]:
    """Red, green and blue, 0-255, of a CSS colour or hexadecimal digits; ApiError if it is neither."""
    plain = text.strip()
    for attempt in (plain, f"#{plain}"):
        try:
            return tuple(ImageColor.getrgb(attempt)[:3])
        except ValueError:
            continue
    raise ApiError(f"Invalid color: '{text}'.")
