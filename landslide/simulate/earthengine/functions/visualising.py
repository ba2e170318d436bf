"""Images as colours."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ApiError
from ..grids import Grid
from ..pixels import Pull, Render, Tile
from ..pixeltypes import UINT8
from ..registry import algorithm
from ..values import Band, Image
from .bands import chosen
from .drawing import colour

NAMES = ("vis-red", "vis-green", "vis-blue")
Range = tuple[float, float]


@algorithm("Image.visualize")
def visualize(
    image: Image, bands: Any, gain: Any, bias: Any, min: Any, max: Any, gamma: Any, opacity: float | None,
    palette: Any, force_rgb_output: bool,
) -> Image:  # fmt: skip
    """Three bands of bytes, or one of grey: values stretched from a range to 0-255 or along a palette.

    Opacity dims nothing here: it only masks what has none.
    """
    used = _used(image, bands)
    if len(used) not in (1, 3):
        raise ApiError(f"Image.visualize: Expected 1 or 3 bands, got {len(used)}: [{image.listed}].")
    ranges = _ranges(used, gain, bias, min, max)
    powers = _spread(gamma, len(used), 1.0)
    if opacity is not None and opacity <= 0:
        raise ApiError("Image.visualize: An opacity of 0 shows nothing.")
    if palette is not None:
        if len(used) != 1:
            raise ApiError("Image.visualize: A palette can only be used with a single band.")
        colours = np.array([colour(text)[:3] for text in _texts(palette)], np.float64)
        return image.bare([_along(used[0], ranges[0], colours, place) for place in range(3)])
    if len(used) == 1 and not force_rgb_output:
        return image.bare([_stretched(used[0], ranges[0], powers[0], "vis-gray")])
    triple = used * 3 if len(used) == 1 else used
    return image.bare([
        _stretched(band, ranges[place % len(ranges)], powers[place % len(powers)], NAMES[place])
        for place, band in enumerate(triple)
    ])  # fmt: skip


def _used(image: Image, bands: Any) -> list[Band]:
    if bands:
        return chosen("Image.visualize", image, _texts(bands))
    return list(image.bands[:3] if len(image.bands) >= 3 else image.bands[:1])


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return [str(part) for part in value]


def _spread(value: Any, count: int, default: float) -> list[float]:
    """One number for each band."""
    if value is None or value == []:
        return [default] * count
    numbers = value if isinstance(value, list) else [value]
    return [float(number) for number in (numbers * count if len(numbers) == 1 else numbers)]


def _ranges(bands: Sequence[Band], gain: Any, bias: Any, low: Any, high: Any) -> list[Range]:
    count = len(bands)
    if gain is not None or bias is not None:
        gains, biases = _spread(gain, count, 1.0), _spread(bias, count, 0.0)
        return [(-b / g, (255 - b) / g) for g, b in zip(gains, biases, strict=True)]
    ends = [_natural(band) for band in bands]
    lows, highs = _spread(low, count, np.nan), _spread(high, count, np.nan)
    return [
        (end[0] if np.isnan(one) else one, end[1] if np.isnan(two) else two)
        for end, one, two in zip(ends, lows, highs, strict=True)
    ]


def _natural(band: Band) -> Range:
    if band.type.integral and band.type.low is not None and band.type.high is not None:
        return float(band.type.low), float(band.type.high)
    return 0.0, 1.0


def _share(tile: Tile, span: Range) -> Any:
    width = span[1] - span[0]
    with np.errstate(invalid="ignore"):
        return np.clip((tile.values.astype(np.float64) - span[0]) / (width if width else 1.0), 0, 1)


def _stretched(band: Band, span: Range, gamma: float, name: str) -> Band:
    def pull(render: Render, grid: Grid) -> Tile:
        tile = band.on(render, grid)
        return Tile(np.nan_to_num(np.rint(_share(tile, span) ** (1 / gamma) * 255)).astype(np.uint8), tile.mask)

    return band.computed(pull, UINT8, name)


def _along(band: Band, span: Range, colours: Any, channel: int) -> Band:
    """One channel of a palette, linear between its colours."""
    stops = np.linspace(0, 1, len(colours))
    return band.computed(_palette(band, span, stops, colours[:, channel]), UINT8, NAMES[channel])


def _palette(band: Band, span: Range, stops: Any, levels: Any) -> Pull:
    def pull(render: Render, grid: Grid) -> Tile:
        tile = band.on(render, grid)
        return Tile(np.rint(np.interp(np.nan_to_num(_share(tile, span)), stops, levels)).astype(np.uint8), tile.mask)

    return pull
