"""A map as layers of one picture size: what the quicklook and the report draw, read from overviews."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import shapely
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import imsave

from landslide.grid import inside
from landslide.mapping import PART
from landslide.raster import Reader
from landslide.sources import SEEN
from landslide.stack import UNKNOWN

if TYPE_CHECKING:
    from pathlib import Path

    import geopandas as gpd
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from landslide.stack import Stack

SIDE = 1600
LEAST_SIDE = 800
SUN_AZIMUTH, SUN_ALTITUDE = np.radians(315), np.radians(45)
RAMP = mpl.colormaps["inferno_r"].resampled(256)
COUNTS = mpl.colormaps["viridis"]
OUTLINE = "#00b8d9"
FAINT, CLEAR, OPAQUE = 0.05, 0.5, 0.85  # probability where the colour starts, where it is full, and its full alpha
HATCH = 6  # pixels


@dataclass(frozen=True)
class Layers:
    """(y, x) arrays on `grid`, the picture's own. `shade` is 0-1; `probability` NaN where not observed; `seen` counts
    acquisitions of all sensors, NaN where that is not known; `inside` is the area of interest; `outlines` are closed
    rings of (x, y) in pixels of the picture.
    """

    grid: GeoBox
    shade: NDArray[np.float32]
    probability: NDArray[np.float32]
    inside: NDArray[np.bool_]
    seen: NDArray[np.float32]
    outlines: list[NDArray[np.float64]]

    @property
    def blank(self) -> NDArray[np.bool_]:
        """Inside the area of interest and not observed."""
        return self.inside & ~np.isfinite(self.probability)


def layers(stack: Stack, probability: Path, found: gpd.GeoDataFrame) -> Layers:
    """Read a finished map at picture size."""
    with Reader(probability) as reader:
        shape = picture_shape(reader.shape)
        grid = reader.geobox.zoom_to(shape)
        way = "average" if shape[0] <= reader.shape[0] else "nearest"
        chances = reader.resized(["probability"], shape, way)[0]
    with stack.seen(PART) as times:
        counts = times.resized(SEEN, shape, "nearest").astype("float32")
    counts[counts == UNKNOWN] = np.nan
    known = np.isfinite(counts).any(0)
    return Layers(
        grid=grid,
        shade=_shade(stack, grid),
        probability=chances,
        inside=inside(stack.info.case, grid),
        seen=np.where(known, np.nansum(counts, axis=0), np.float32("nan")),
        outlines=_rings(found, grid),
    )


def picture_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the picture of a scene: at most `SIDE`, small scenes enlarged to about `LEAST_SIDE`."""
    longest = max(shape)
    factor = min(SIDE / longest, 1) if longest >= LEAST_SIDE else round(LEAST_SIDE / longest)
    return max(round(shape[0] * factor), 2), max(round(shape[1] * factor), 2)


def _shade(stack: Stack, grid: GeoBox) -> NDArray[np.float32]:
    """Relief where the stack has terrain, else its first band in grey; 0-1, NaN where there is neither."""
    shape = (grid.shape.y, grid.shape.x)
    with stack.reader(PART) as reader:
        way = "average" if shape[0] <= reader.shape[0] else "cubic"
        if "elevation" in reader.bands:
            height = reader.resized(["elevation"], shape, way)[0]
            south, east = np.gradient(height, abs(grid.affine.e), grid.affine.a)
            return hillshade(-south, east)
        if {"slope", "northness", "eastness"} <= set(reader.bands):
            slope, north, east = reader.resized(["slope", "northness", "eastness"], shape, way)
            rise = np.tan(np.radians(slope))
            return hillshade(-rise * north, -rise * east)
        return stretched(reader.resized(reader.bands[:1], shape, way)[0])


def hillshade(north: NDArray[np.float32], east: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light of a sun in the north-west at 45° on a surface that rises by `north` and `east` (m per m), 0-1 (Horn 1981).

    Gentle relief is exaggerated, up to four times, so that it is legible.
    """
    known = np.isfinite(north) & np.isfinite(east)
    if not known.any():
        return np.full(north.shape, np.nan, "float32")
    steep = float(np.percentile(np.hypot(north, east)[known], 80))
    lift = float(np.clip(np.tan(np.radians(30)) / max(steep, 1e-6), 1, 4))
    n, e = lift * north, lift * east
    towards_sun = np.cos(SUN_AZIMUTH) * n + np.sin(SUN_AZIMUTH) * e
    light = (np.sin(SUN_ALTITUDE) - np.cos(SUN_ALTITUDE) * towards_sun) / np.sqrt(1 + n**2 + e**2)
    return np.asarray(np.clip(light, 0, 1), "float32")


def stretched(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values between their 2nd and 98th percentile as 0-1."""
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, (2, 98)) if len(known) else (0, 1)
    return np.asarray(np.clip((values - low) / max(high - low, 1e-6), 0, 1), "float32")


def _rings(found: gpd.GeoDataFrame, grid: GeoBox) -> list[NDArray[np.float64]]:
    to_pixels = ~grid.affine
    drawn = shapely.simplify(found.geometry.values, abs(grid.affine.a) / 2)
    rings = shapely.get_rings(shapely.get_parts(drawn))
    return [np.column_stack(to_pixels * tuple(shapely.get_coordinates(ring).T)) for ring in rings]


def ground(view: Layers) -> NDArray[np.uint8]:
    """(y, x, 4): relief in light grey, not observed hatched, outside the area of interest clear."""
    height, width = view.shade.shape
    grey = np.nan_to_num(0.35 + 0.6 * view.shade, nan=0.8)
    rows, columns = np.ogrid[:height, :width]
    stripes = np.where((rows + columns) // HATCH % 2 == 0, 0.62, 0.74)
    grey = np.where(view.blank, stripes, grey)
    return _bytes(np.stack([grey, grey, grey, view.inside.astype("float32")], axis=-1))


def tinted(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(y, x, 4): probability in colour, clear where it is low or not observed."""
    value = np.nan_to_num(probability, nan=0.0)
    colour = RAMP(0.08 + 0.67 * value)
    colour[..., 3] = np.clip((value - FAINT) / (CLEAR - FAINT), 0, 1) * OPAQUE
    return _bytes(colour)


def sightings(view: Layers) -> NDArray[np.uint8]:
    """(y, x, 4): how often each pixel was seen, from dark (never) to light; clear where that is not known."""
    colour = COUNTS(np.nan_to_num(view.seen / max(most_seen(view), 1), nan=0.0))
    colour[..., 3] = np.where(np.isfinite(view.seen) & view.inside, 0.75, 0)
    return _bytes(colour)


def most_seen(view: Layers) -> int:
    """The greatest number of acquisitions of a pixel; 0 where it is not known."""
    known = view.seen[np.isfinite(view.seen) & view.inside]
    return int(known.max()) if len(known) else 0


def lines(view: Layers) -> NDArray[np.uint8]:
    """(y, x, 4): the landslides' outlines."""
    height, width = view.shade.shape
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.add_collection(LineCollection(view.outlines, colors=OUTLINE, linewidths=1.4))
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.array(canvas.buffer_rgba(), "uint8")  # type: ignore[no-untyped-call]


def over(below: NDArray[np.uint8], above: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One (y, x, 4) picture laid over another; the lower one's alpha stays."""
    alpha = above[..., 3:] / 255
    mixed = below.copy()
    mixed[..., :3] = np.round(above[..., :3] * alpha + below[..., :3] * (1 - alpha))
    return mixed


def png(picture: NDArray[np.uint8]) -> bytes:
    """A (y, x, 4) picture as PNG."""
    buffer = BytesIO()
    imsave(buffer, picture, format="png")
    return buffer.getvalue()


def _bytes(colour: Any) -> NDArray[np.uint8]:
    return np.asarray(np.round(np.clip(colour, 0, 1) * 255), "uint8")
