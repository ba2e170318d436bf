"""Images as colours."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from ..grids import Grid
from ..pixels import Pull, Render, Tile
from ..pixeltypes import UINT8
from ..registry import algorithm
from ..replies import ApiError, not_imitated
from ..values import Band, Image
from .bands import chosen

COLOURS = ("vis-red", "vis-green", "vis-blue")
Range = tuple[float, float]


@algorithm("Image.visualize")
def visualize(image: Image, bands: Any, min: Any, max: Any, gamma: float | None, palette: Any) -> Image:
    """Three bands of bytes: values stretched from a range to 0-255, one band along a palette or three as they are."""
    used = chosen("Image.visualize", image, _texts(bands)) if bands else image.bands[:1]
    if len(used) not in (1, 3):
        raise ApiError(f"Image.visualize: Expected 1 or 3 bands, got {len(used)}: [{image.listed}].")
    spans = [_span(band, min, max) for band in used]
    if palette is not None:
        if len(used) != 1:
            raise ApiError("Image.visualize: A palette can only be used with a single band.")
        colours = np.array([_colour(text) for text in _texts(palette)], np.float64)
        return image.bare([_along(used[0], spans[0], colours, channel) for channel in range(3)])
    if len(used) != 3:
        raise not_imitated("Image.visualize of a single band without a palette")
    triple = zip(used, spans, COLOURS, strict=True)
    return image.bare([_stretched(band, span, gamma or 1.0, name) for band, span, name in triple])


def _texts(value: Any) -> list[str]:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else [str(part) for part in value]


def _span(band: Band, low: Any, high: Any) -> Range:
    """The range to stretch: as given, or else that of the band's type."""
    natural = band.type.low is not None and band.type.high is not None and band.type.integral
    least, most = (band.type.low, band.type.high) if natural else (0, 1)
    return float(least if low is None else low), float(most if high is None else high)  # type: ignore[arg-type]


def _share(tile: Tile, span: Range) -> NDArray[np.floating[Any]]:
    """How far along the range the values lie, 0 to 1."""
    width = span[1] - span[0] or 1.0
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.clip((tile.values.astype(np.float64) - span[0]) / width, 0, 1))


def _stretched(band: Band, span: Range, gamma: float, name: str) -> Band:
    def pull(render: Render, grid: Grid) -> Tile:
        tile = band.on(render, grid)
        return Tile(np.rint(_share(tile, span) ** (1 / gamma) * 255).astype(np.uint8), tile.mask)

    return band.computed(pull, UINT8, name)


def _along(band: Band, span: Range, colours: NDArray[np.float64], channel: int) -> Band:
    """One channel of a palette, linear between its colours."""
    return band.computed(_palette(band, span, colours[:, channel]), UINT8, COLOURS[channel])


def _palette(band: Band, span: Range, levels: NDArray[np.float64]) -> Pull:
    stops = np.linspace(0, 1, len(levels))

    def pull(render: Render, grid: Grid) -> Tile:
        tile = band.on(render, grid)
        return Tile(np.rint(np.interp(_share(tile, span), stops, levels)).astype(np.uint8), tile.mask)

    return pull


def _colour(text: str) -> tuple[int, ...]:
    """Red, green and blue, 0-255, of a CSS colour or hexadecimal digits; ApiError if it is none."""
    plain = text.strip()
    for attempt in (plain, f"#{plain}"):
        try:
            return tuple(ImageColor.getrgb(attempt)[:3])
        except ValueError:
            continue
    raise ApiError(f"Invalid color: '{text}'.")
